# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# Checking bytes against their digest.

# digest_verify DIGEST FILE: do the file's bytes have this digest? Bytes read while the machine is restored from its saved
# state prove nothing about the file, so it is then read again.
digest_verify() {
	for digest_look in 1 2 3; do
		digest_restores=$(canary_restores)
		digest_sum=$(sha256sum <"$2" 2>/dev/null) && [ "sha256:${digest_sum%% *}" = "$1" ] && return 0
		canary_look
		[ "$(canary_restores)" != "$digest_restores" ] || return 1
	done
	return 1
}
