# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by job.sh
# How a job runs in a container that is there already: its words become a process of the image's user, with the image's
# environment and directory, as `docker run` would start them. Network, limits and mounts were docker_wrapper's to set.

for runner_part in bytes tools progress slot user; do
	# shellcheck disable=SC1090 # the agent's own files
	. "$B2D_HOME/lib/$runner_part.sh"
done

# What the image says; written at submission into b2d_image, as shell words within a text.
CONFIG_ENTRYPOINT='' CONFIG_CMD='' CONFIG_ENV='' CONFIG_USER='' CONFIG_WORKDIR=''
# shellcheck disable=SC1091 # beside the agent in the container only
. "$B2D_HOME/b2d_image"

# runner_copy FILE TO: copies a file of the slot's. Fails with RUNNER_ERROR.
runner_copy() {
	cp "$1" "$2" 2>"$B2D_STATE/copy-errors" && return 0
	RUNNER_ERROR=$(tail -n 1 "$B2D_STATE/copy-errors")
	return 1
}

# runner_prepare: the image is this file system.
runner_prepare() { :; }

# runner_close: nothing is held.
runner_close() { :; }

# runner_run OPTION... -- WORD...: runs the words to their end; sets CONTAINER_EXIT (0-255) and CONTAINER_MESSAGE.
runner_run() {
	CONTAINER_EXIT=125 CONTAINER_MESSAGE=
	RUNNER_ENTRYPOINT=$CONFIG_ENTRYPOINT RUNNER_CMD=$CONFIG_CMD RUNNER_USER=$CONFIG_USER
	RUNNER_DIRECTORY=${CONFIG_WORKDIR:-/} RUNNER_DROP='' RUNNER_NAMES=' '
	: >"$B2D_STATE/env"
	while [ "$1" != -- ]; do
		runner_option "$1"
		shift
	done
	shift
	[ "$#" -eq 0 ] || RUNNER_CMD=$(printf '%s\000' "$@" | runner_quote)
	if ! user_find "$RUNNER_USER"; then
		CONTAINER_MESSAGE="the container could not be started: $USER_ERROR"
		return 0
	fi
	runner_enter || return 0
	progress_job
	log_mark run
	log run 'container started'
	# A shell of its own, so that this one goes on afterwards.
	(
		trap - EXIT HUP INT TERM
		runner_exec
	) </dev/null
	CONTAINER_EXIT=$?
	runner_explain
}

# runner_option OPTION: notes what it says of the process; the rest is docker_wrapper's to do.
runner_option() {
	runner_value=${1#*=}
	case $1 in
	--env=*)
		printf '%s\000' "$runner_value" >>"$B2D_STATE/env"
		RUNNER_NAMES="$RUNNER_NAMES${runner_value%%=*} "
		;;
	--entrypoint=*)
		RUNNER_ENTRYPOINT='' RUNNER_CMD=''
		[ -z "$runner_value" ] || RUNNER_ENTRYPOINT=$(printf '%s\000' "$runner_value" | runner_quote)
		;;
	--user=*) RUNNER_USER=$runner_value ;;
	--workdir=*) RUNNER_DIRECTORY=$runner_value ;;
	--cap-drop=*)
		case $runner_value in '' | *[!A-Za-z_]*) job_fail run "not a capability: '$runner_value'" ;; esac
		RUNNER_DROP="$RUNNER_DROP,-$(printf '%s' "$runner_value" | tr '[:upper:]' '[:lower:]' | sed 's/^cap_//')"
		;;
	--network=* | --hostname=* | --init | --read-only | --tmpfs=* | --shm-size=* | --cpus=* | --ulimit=*) ;;
	*) job_fail run "unknown option '$1': the job is made for another agent" ;;
	esac
}

# runner_quote: stdin, words that end with a zero each, as words in single quotes.
runner_quote() {
	"$B2D_HOME/usr/bin/sed" -z "s/'/'\\\\''/g; s/^/'/; s/\$/'/" | tr '\000' ' '
}

# runner_enter: makes the working directory where it is missing, as Docker does, and opens the way to /root/shared for a
# user who is not root.
runner_enter() {
	case $RUNNER_DIRECTORY in /*) ;; *) RUNNER_DIRECTORY=/$RUNNER_DIRECTORY ;; esac
	if [ ! -d "$RUNNER_DIRECTORY" ] && ! mkdir -p "$RUNNER_DIRECTORY" 2>/dev/null; then
		CONTAINER_MESSAGE="the container could not be started: the working directory $RUNNER_DIRECTORY cannot be made"
		return 1
	fi
	[ "$USER_ID" = 0 ] || chmod 0711 /root 2>/dev/null || : # in a read-only container --tmpfs=/root has done it
}

# runner_exec: becomes the job's program.
runner_exec() {
	runner_environment=$(runner_variables | runner_quote)
	runner_loader="'$B2D_HOME/lib/ld.so' --inhibit-cache --library-path '$B2D_HOME/lib'"
	runner_become="--reuid=$USER_ID --regid=$USER_GROUP --groups=$USER_GROUPS${RUNNER_DROP:+ --bounding-set=${RUNNER_DROP#,}}"
	# The variables are set, then the user is changed, then the program is looked for where the image's PATH says.
	eval "exec $runner_loader '$B2D_HOME/usr/bin/env' -i -C \"\$RUNNER_DIRECTORY\" -- $runner_environment" \
		"$runner_loader '$B2D_HOME/usr/bin/setpriv' $runner_become -- $RUNNER_ENTRYPOINT $RUNNER_CMD 3>&-"
	exit 125
}

# runner_variables: prints the container's variables, ended by zeros, in Docker's order: PATH, the host's name, the job's own,
# what the image sets and the job does not, HOME; last the volunteer's proxy.
runner_variables() {
	printf '%s\000' PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "HOSTNAME=$AGENT_HOSTNAME"
	cat "$B2D_STATE/env"
	eval "runner_unset $CONFIG_ENV"
	runner_unset "HOME=$USER_HOME"
	for runner_name in http_proxy https_proxy no_proxy; do
		eval "runner_value=\${$runner_name-}"
		[ -z "$runner_value" ] || runner_unset "$runner_name=$runner_value"
	done
}

# runner_unset PAIR...: prints those whose name has no value yet. A name without "=" would be taken for the program.
runner_unset() {
	for runner_pair in "$@"; do
		case $runner_pair in ?*=*) ;; *) continue ;; esac
		case $RUNNER_NAMES in *" ${runner_pair%%=*} "*) continue ;; esac
		RUNNER_NAMES="$RUNNER_NAMES${runner_pair%%=*} "
		printf '%s\000' "$runner_pair"
	done
}

# runner_explain: sets CONTAINER_MESSAGE for CONTAINER_EXIT, in the machine's words.
runner_explain() {
	case $CONTAINER_EXIT in
	0) CONTAINER_MESSAGE= ;;
	126) CONTAINER_MESSAGE='the program in the image cannot be executed (126)' ;;
	127) CONTAINER_MESSAGE='the program was not found in the image (127)' ;;
	129 | 1[3-8]? | 19[0-2])
		CONTAINER_MESSAGE="the container was ended by signal $((CONTAINER_EXIT - 128)) (exit code $CONTAINER_EXIT)"
		;;
	*) CONTAINER_MESSAGE="the container ended with exit code $CONTAINER_EXIT" ;;
	esac
}
