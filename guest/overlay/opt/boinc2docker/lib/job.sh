# shellcheck shell=sh
# What a boinc_app calls: it names image, layers and container, in that order; job_run does the work.
#
# The same job file runs in a machine of its own and in a container that BOINC's docker_wrapper has made. The runner makes
# the difference: runner.sh here, and another runner.sh in the container's agent.
#
# Every function checks its arguments strictly and ends the job with a clear message if they are wrong: a program makes job
# files, and a mistake in one must show at once.

: "${B2D_HOME:=/opt/boinc2docker}"
for job_part in paths limit status uptime log runner; do
	# shellcheck disable=SC1090 # the agent's own files
	. "$B2D_HOME/lib/$job_part.sh"
done
mkdir -p "$B2D_STATE"
rm -f "$B2D_STATE"/* 2>/dev/null # forget an earlier run of this script
: >"$B2D_STATE/layers"

# job_fail PHASE MESSAGE: ends the job with exit code 1.
job_fail() {
	job_tell "$1" "$2"
	log "$1" "failed: $2"
	runner_close
	exit 1
}

# job_later SECONDS MESSAGE: ends the job for now, to be started again after that time.
job_later() {
	job_tell image "$2"
	printf '%s\n%s\n' "$1" "$2" >"$B2D_STATE/temporary-exit"
	log image "failed for now: $2"
	runner_close
	exit "$EXIT_TEMPORARY" # the file tells the agent for how long
}

# job_tell PHASE MESSAGE: notes what the report will say, and the phase that failed.
job_tell() {
	printf '%s' "$1" >"$B2D_STATE/failed-phase"
	printf '%s' "$2" >"$B2D_STATE/message"
}

# job_option NAME: keep-failed-results returns a failed container's results too.
job_option() {
	[ "$#" -eq 1 ] || job_fail run "job_option takes one name, not $# words"
	case $1 in
	keep-failed-results) : >"$B2D_STATE/keep-failed-results" ;;
	*) job_fail run "unknown option '$1': the job was made for another agent" ;;
	esac
}

# job_prerun TEXT, job_postrun TEXT: shell text for the machine to run in the job's directory before and after the container;
# postrun gets the container's exit code as $1.
job_prerun() { job_keep prerun "$@"; }
job_postrun() { job_keep postrun "$@"; }

# job_keep NAME TEXT: keeps a script for later.
job_keep() {
	[ "$#" -eq 2 ] || job_fail run "job_$1 takes one text, not $(($# - 1)) words"
	printf '%s\n' "$2" >"$B2D_STATE/$1" || job_fail run "job_$1: the text cannot be kept"
}

# job_unpack ARCHIVE NAME: unpacks ARCHIVE from the share as the directory NAME in the job's directory, once: what the job
# changes there survives a restart. No container can reach the note that it was done.
job_unpack() {
	[ "$#" -eq 2 ] || job_fail run "job_unpack takes an archive and a name, not $# words"
	for job_path in "$1" "$2"; do
		case /$job_path/ in
		*/../* | */./* | *//*) job_fail run "job_unpack: not a path below shared: '$job_path'" ;;
		esac
	done
	! grep -qxF -- "$2" "$B2D_KEEP/unpacked" 2>/dev/null || return 0
	job_inside "$2" || job_fail run "the input $2 cannot be unpacked: a link is in its way"
	log run "unpacking $2"
	runner_copy "$B2D_SHARE/$1" "$B2D_KEEP/archive" || job_fail run "the input $2 cannot be unpacked: $RUNNER_ERROR"
	rm -rf "${B2D_JOB:?}/$2"
	{ mkdir -p "$B2D_JOB/$2" && gzip -dc <"$B2D_KEEP/archive" | tar -xmof - -C "$B2D_JOB/$2"; } 2>"$B2D_STATE/unpack-errors" ||
		job_fail run "the input $2 cannot be unpacked: $(tail -n 2 "$B2D_STATE/unpack-errors")"
	[ ! -s "$B2D_STATE/unpack-errors" ] || job_fail run "the input $2 cannot be unpacked: $(tail -n 2 "$B2D_STATE/unpack-errors")"
	chmod -R a+rwX "$B2D_JOB/$2" && rm -f "$B2D_KEEP/archive" && sync
	printf '%s\n' "$2" >>"$B2D_KEEP/unpacked" || job_fail run "cannot note that $2 was unpacked: is the disk full?"
}

# job_inside NAME: does the path to NAME stay in the job's directory? A container may have put links there.
job_inside() {
	job_way=$B2D_JOB job_rest=$1
	while [ "$job_rest" != "${job_rest#*/}" ]; do
		job_way=$job_way/${job_rest%%/*} job_rest=${job_rest#*/}
		[ ! -L "$job_way" ] || return 1
	done
}

# job_progress NAME: names the file below the job's directory whose number, from 0 to 1, the volunteer sees.
job_progress() {
	[ "$#" -eq 1 ] || job_fail run "job_progress takes one name, not $# words"
	case /$1/ in
	*/../* | */./* | *//*) job_fail run "job_progress: not a path below shared: '$1'" ;;
	esac
	printf '%s\n' "$1" >"$B2D_STATE/progress-file"
}

# job_script NAME [WORD]: runs a script that job_keep kept, if there is one.
job_script() {
	[ -s "$B2D_STATE/$1" ] || return 0
	log run "$1"
	(cd "$B2D_JOB" && sh "$B2D_STATE/$1" ${2+"$2"} </dev/null)
}

# job_image NAME CONFIG-DIGEST CONFIG-BYTES: names the image; NAME is for humans.
job_image() {
	[ "$#" -eq 3 ] || job_fail image "job_image takes name, digest and size, not $# words"
	{ job_digest "$2" && job_number "$3"; } || job_fail image "job_image: not a digest and a size: '$2' '$3'"
	printf '%s' "$1" >"$B2D_STATE/image"
	printf '%s\n' "$2" >"$B2D_STATE/image-id"
	printf '%s\n' "$3" >"$B2D_STATE/image-bytes"
}

# job_registry BLOBS-URL TOKEN-URL: names a registry to fetch layers from, the best first. TOKEN-URL may be empty.
job_registry() {
	[ "$#" -eq 2 ] || job_fail image "job_registry takes two URLs, not $# words"
	for job_url in "$1" "${2:-http://}"; do
		case $job_url in
		*[!!-~]*) job_fail image "job_registry: not a URL: '$job_url'" ;;
		http://* | https://*) ;;
		*) job_fail image "job_registry: not a URL: '$job_url'" ;;
		esac
	done
	printf '%s %s\n' "$1" "$2" >>"$B2D_STATE/job-registries"
}

# job_layer DIGEST BYTES DIFF-ID [COMPRESSION]: adds a layer, the lowest first. Docker detects the compression itself.
job_layer() {
	case $# in
	3 | 4) ;;
	*) job_fail image "job_layer takes digest, size, diff id and compression, not $# words" ;;
	esac
	{ job_digest "$1" && job_number "$2" && job_digest "$3"; } ||
		job_fail image "job_layer: not a digest, a size and a digest: '$1' '$2' '$3'"
	case ${4:-gzip} in
	gzip | zstd | none) ;;
	*) job_fail image "job_layer: unknown compression '$4': the job was made for another agent" ;;
	esac
	printf '%s %s %s %s\n' "$1" "$2" "$3" "${4:-}" >>"$B2D_STATE/layers"
}

# job_run OPTION... -- WORD...: runs the job's words, in a container of the image; returns their exit code.
job_run() {
	job_has_separator "$@" || job_fail run 'job_run: there is no "--" between options and words'
	[ -s "$B2D_STATE/image-id" ] || job_fail image 'job_run: job_image was not called'
	[ -s "$B2D_STATE/layers" ] || job_fail image 'job_run: job_layer was not called'
	log image "$(cat "$B2D_STATE/image")"
	runner_prepare || {
		[ "$RUNNER_LATER" -eq 0 ] || job_later "$RUNNER_LATER" "$RUNNER_ERROR"
		job_fail image "$RUNNER_ERROR"
	}
	job_script prerun || job_fail run "prerun ended with exit code $?"
	runner_run "$@"
	if [ -n "$CONTAINER_MESSAGE" ]; then
		job_tell run "$CONTAINER_MESSAGE"
	fi
	log run "container exit $CONTAINER_EXIT"
	job_script postrun "$CONTAINER_EXIT" || job_after "$?"
	runner_close
	return "$CONTAINER_EXIT"
}

# job_after STATUS: fails a job whose container succeeded but whose postrun failed.
job_after() {
	log run "postrun ended with exit code $1"
	[ "$CONTAINER_EXIT" -eq 0 ] || return 0
	CONTAINER_EXIT=$1
	job_tell run "postrun ended with exit code $1"
}

# job_has_separator WORD...: is one of them "--"?
job_has_separator() {
	for job_word in "$@"; do
		[ "$job_word" != -- ] || return 0
	done
	return 1
}

# job_digest TEXT: is it "sha256:" and 64 lower-case hexadecimal digits?
job_digest() {
	case $1 in
	sha256:*[!0-9a-f]*) return 1 ;;
	sha256:*) [ "${#1}" -eq 71 ] ;;
	*) return 1 ;;
	esac
}

# job_number TEXT: is it a decimal number that a shell can compute with?
job_number() {
	case $1 in
	'' | *[!0-9]* | 0?*) return 1 ;;
	*) [ "${#1}" -le 18 ] ;;
	esac
}
