# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# Where the bytes of a layer come from: the task's own files, else the image store and the registries behind it.

# source_gather: gets all layers in $B2D_STATE/layers that are not in shared/image, if the job names a registry. Fails with
# SOURCE_ERROR and SOURCE_LATER: seconds to wait before another try, 0 for never.
source_gather() {
	SOURCE_ERROR='' SOURCE_LATER=0
	[ -s "$B2D_STATE/job-registries" ] || return 0
	: >"$B2D_STATE/wanted"
	while read -r source_digest source_bytes _; do
		source_hex=${source_digest#sha256:}
		[ ! -f "$B2D_SHARE/image/$source_hex" ] || continue
		grep -q "^$source_hex " "$B2D_STATE/wanted" || printf '%s %s\n' "$source_hex" "$source_bytes" >>"$B2D_STATE/wanted"
	done <"$B2D_STATE/layers"
	[ -s "$B2D_STATE/wanted" ] || return 0
	source_registries
	gather_layers && return 0
	SOURCE_ERROR=$GATHER_ERROR SOURCE_LATER=$GATHER_LATER
	return 1
}

# source_registries: writes $B2D_STATE/registries (lines of "BLOBS-URL TOKEN-URL", best first): the site's mirrors, then the
# job's registries. A mirror that is one of these keeps its token.
source_registries() {
	{
		for source_mirror in ${SITE_REGISTRY_MIRROR:-}; do
			while read -r source_blobs _; do
				source_path=${source_blobs#*://}
				printf '%s/%s\n' "${source_mirror%/}" "${source_path#*/}"
			done <"$B2D_STATE/job-registries"
		done
		cat "$B2D_STATE/job-registries"
	} | awk '
		NR == FNR { if (!($1 in token)) token[$1] = $2; next }
		!seen[$1]++ { print $1, token[$1] }' "$B2D_STATE/job-registries" - >"$B2D_STATE/registries"
}

# source_find DIGEST BYTES: sets SOURCE_FILE (the file with exactly the bytes that the digest is of) and SOURCE_KIND (shared,
# store or registry). Fails with SOURCE_ERROR if there is none. Checks only the size: Docker verifies what it loads.
source_find() {
	SOURCE_FILE=$B2D_SHARE/image/${1#sha256:}
	SOURCE_KIND=shared
	SOURCE_ERROR=
	if [ ! -f "$SOURCE_FILE" ]; then
		source_gathered "${1#sha256:}" && return 0
		SOURCE_ERROR="$1 is missing (expected as shared/image/${1#sha256:})"
		return 1
	fi
	source_bytes=$(bytes_of "$SOURCE_FILE") || source_bytes=unreadable
	if [ "$source_bytes" != "$2" ]; then
		SOURCE_ERROR="$1 has $source_bytes bytes instead of $2"
		return 1
	fi
}

# source_gathered HEX: did the store supply it? Sets SOURCE_KIND and SOURCE_FILE.
source_gathered() {
	source_line=$(grep "^$1 " "$B2D_STATE/gathered" 2>/dev/null | head -n 1)
	[ -n "$source_line" ] || return 1
	read -r _ SOURCE_KIND SOURCE_FILE <<-LINE
		$source_line
	LINE
}

# source_replace DIGEST FILE: sets aside a file that lacks this digest, if it can be fetched again; else fails.
source_replace() {
	source_root=${2%/layers/sha256/*}
	[ -n "${STORE:-}" ] && { [ "$source_root" = "$STORE" ] || [ "$source_root" = "$STORE_HOST" ]; } || return 1
	store_quarantine "${1#sha256:}" "$source_root"
}
