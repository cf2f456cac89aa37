# shellcheck shell=sh
# The progress that the volunteer sees. vboxwrapper reads a number from 0 to 1 from $B2D_SHARE/progress. Booting, fetching and
# loading the image take it up to PROGRESS_READY; after that the job's own file counts, if it writes one.

PROGRESS_BYTES=21
PROGRESS_READY=0.01 # when the container starts
PROGRESS_THERE=0    # bytes of the image that are complete layers
PROGRESS_TOTAL=0    # bytes of the image

# progress_start: makes the file, which is then overwritten in place.
progress_start() {
	share_reserve "$B2D_SHARE/progress" "$PROGRESS_BYTES"
	progress_say 0.001
}

# progress_say FRACTION: tells the host.
progress_say() {
	share_overwrite "$B2D_SHARE/progress" "$1" "$PROGRESS_BYTES" || :
}

# progress_part FROM TO DONE ALL: tells the host how far a stage is that leads from FROM to TO: DONE of ALL.
progress_part() {
	progress_say "$(awk -v from="$1" -v to="$2" -v part="$3" -v all="$4" \
		'BEGIN { if (all <= 0) part = all = 1; if (part > all) part = all; printf "%.4f", from + (to - from) * part / all }')"
}

# progress_fetched [BYTES]: tells the host how much of the image has come, BYTES of the layer under way included.
progress_fetched() {
	progress_part 0.003 0.008 "$((PROGRESS_THERE + ${1:-0}))" "$PROGRESS_TOTAL" || :
}

# progress_job: from now on the job's own file counts. Until it exists the host is told 0, and BOINC's client estimates.
progress_job() {
	progress_say 0
	: >"$B2D_RUN/progress-job"
}

# progress_copy: passes on the number in the job's file. Whatever the job put there, only a number gets out, never less than
# PROGRESS_READY.
progress_copy() {
	[ -e "$B2D_RUN/progress-job" ] || return 0
	progress_name=progress
	{ IFS= read -r progress_name <"$B2D_STATE/progress-file"; } 2>/dev/null || progress_name=progress
	[ -f "$B2D_JOB/$progress_name" ] && [ ! -L "$B2D_JOB/$progress_name" ] || return 0
	# The limit is for a pipe that has just taken its place.
	progress_number=$(limit 5 tail -c 32 "$B2D_JOB/$progress_name" 2>/dev/null | tr -d '\000' | awk -v least="$PROGRESS_READY" '
		{ for (i = 1; i <= NF; i++) if ($i ~ /^([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$/) number = $i }
		END {
			if (number == "") exit
			if (number + 0 < least) number = least
			if (number + 0 > 1) number = 1
			printf "%.6f", number
		}')
	[ -z "$progress_number" ] || progress_say "$progress_number"
}
