# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# A job's inputs: copied once from the host into the job's directory, before any part of the job runs.

# Names in the share that are not inputs: the agent's own, and layers, which are used where they are.
INPUTS_OWN='boinc_app heartbeat progress image init_data.xml completion_trigger_file completion_trigger_file.part temporary_exit_trigger_file results.tgz results.tgz.part boinc_log.tgz boinc_log.tgz.part .boinc2docker'

# inputs_bring: copies the inputs, unless that is done. Fails with INPUTS_ERROR.
inputs_bring() {
	INPUTS_ERROR=
	[ ! -e "$B2D_KEEP/inputs" ] || return 0
	inputs_tries=3
	while :; do
		inputs_before=$(canary_restores)
		rm -f "$B2D_RUN/inputs.large"
		work_empty && inputs_list && inputs_fit && inputs_copy && inputs_same && canary_look &&
			[ "$(canary_restores)" = "$inputs_before" ] && break
		canary_look
		inputs_tries=$((inputs_tries - 1))
		if [ "$inputs_tries" -le 0 ] || [ -n "${INPUTS_NEVER:-}" ]; then
			[ -n "$INPUTS_ERROR" ] || INPUTS_ERROR='the inputs cannot be copied from the host'
			return 1
		fi
		log boot "${INPUTS_ERROR:-the copied inputs differ from those on the host}: once more"
		INPUTS_ERROR=
		sleep "$B2D_RETRY_SECONDS"
	done
	work_results || return 1
	sync
	: >"$B2D_KEEP/inputs" && sync
	[ "$inputs_count" -eq 0 ] || log boot "$inputs_count inputs, $((inputs_kb / 1024)) MB, are in place"
}

# inputs_list: writes $B2D_RUN/inputs.files and inputs.directories (names ended by zeros) and inputs.host (a "bytes name" a
# line); sets inputs_count (files) and inputs_kb.
inputs_list() {
	inputs_find f >"$B2D_RUN/inputs.files" && inputs_find d >"$B2D_RUN/inputs.directories" &&
		inputs_sizes "$B2D_SHARE" >"$B2D_RUN/inputs.host" || return 1
	inputs_count=$(grep -c . "$B2D_RUN/inputs.host")
	inputs_kb=$(awk '{ n += int(($1 + 4095) / 4096) * 4 } END { printf "%.0f", n }' "$B2D_RUN/inputs.host")
}

# inputs_find TYPE: prints the names of all inputs of one of find's types, ended by zeros.
inputs_find() (
	cd "$B2D_SHARE" || exit 1
	inputs_type=$1
	set --
	for inputs_name in $INPUTS_OWN; do
		set -- "$@" ! -name "$inputs_name"
	done
	find . -mindepth 1 -maxdepth 1 "$@" -exec find {} -type "$inputs_type" -print0 \;
)

# inputs_sizes DIRECTORY: prints "bytes name" for every input file in that directory.
inputs_sizes() (
	cd "$1" && inputs_each stat -c '%s %n' <"$B2D_RUN/inputs.files"
)

# inputs_each COMMAND...: appends the names on stdin, ended by zeros, as words and runs it. By way of a shell: busybox' xargs
# runs applets in its own process, where they see words of the previous batch.
inputs_each() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	xargs -0 -r sh -c 'exec "$@"' sh "$@"
}

# inputs_fit: is there room for them? If not, no retry will help.
inputs_fit() {
	inputs_free=$(work_free_kb)
	[ "$((inputs_kb + 1024))" -gt "$inputs_free" ] || return 0
	INPUTS_NEVER=yes
	INPUTS_ERROR="the inputs need $((inputs_kb / 1024 + 1)) MB but only $((inputs_free / 1024)) MB are free $WORK_PLACE: the machine needs a (larger) data disk"
	return 1
}

# inputs_copy: copies small files by tar, which opens each for a moment, and large ones piece by piece. Everything is open to
# any user of a container, as it was on VirtualBox' shared folders.
inputs_copy() {
	# Names are arguments, since an old tar reads no lists. By default GNU tar takes backslashes in them for escapes.
	inputs_plain=--no-unquote
	inputs_tar=$(tar_gnu) || inputs_tar=tar inputs_plain=
	awk -v most="$((B2D_PIECE_MB * 1048576))" -v large="$B2D_RUN/inputs.large" '
		{ bytes = $1; sub(/^[0-9]+ /, "") }
		bytes > most { print >large; next }
		{ print }' "$B2D_RUN/inputs.host" >"$B2D_RUN/inputs.small"
	{
		# shellcheck disable=SC2016 # expanded by the inner shell
		(cd "$B2D_WORK/job" && inputs_each mkdir -p <"$B2D_RUN/inputs.directories") &&
			tr '\n' '\000' <"$B2D_RUN/inputs.small" | xargs -0 -r sh -c \
				'tar=$1 from=$2 to=$3 && shift 3 && "$tar" -C "$from" -cf - "$@" | "$tar" -C "$to" -xomf -' \
				sh "$inputs_tar" "$B2D_SHARE" "$B2D_WORK/job" ${inputs_plain:+"$inputs_plain"}
	} 2>"$B2D_RUN/inputs.errors" || {
		INPUTS_ERROR="an input cannot be copied: $(tail -n 1 "$B2D_RUN/inputs.errors" | cut -c 1-200)"
		return 1
	}
	[ ! -e "$B2D_RUN/inputs.large" ] || while IFS= read -r inputs_name; do
		share_copy "$B2D_SHARE/$inputs_name" "$B2D_WORK/job/$inputs_name" && continue
		INPUTS_ERROR="an input cannot be copied: $SHARE_ERROR"
		return 1
	done <"$B2D_RUN/inputs.large"
	chmod -R 0777 "$B2D_WORK/job"
}

# inputs_same: does every copy have the size that the host shows?
inputs_same() {
	inputs_sizes "$B2D_WORK/job" >"$B2D_RUN/inputs.here" && inputs_sizes "$B2D_SHARE" >"$B2D_RUN/inputs.host" &&
		cmp -s "$B2D_RUN/inputs.here" "$B2D_RUN/inputs.host"
}
