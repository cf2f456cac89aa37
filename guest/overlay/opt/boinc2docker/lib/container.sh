# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# Running the job's container and finding out how it ended.

CONTAINER_NAME=boinc2docker-job

# container_run IMAGE OPTION... -- WORD...: runs a container to its end; its output goes to this shell's stdout and stderr. Sets
# CONTAINER_EXIT (0-255) and CONTAINER_MESSAGE (empty for exit 0).
container_run() {
	CONTAINER_EXIT=125 CONTAINER_MESSAGE=
	docker_remove "$CONTAINER_NAME" # left by an earlier attempt
	container_create "$@" || return 0
	container_open_root
	log_mark run
	log run 'container started'
	progress_job
	# Its status is not the whole truth (a lost connection, a program that could not start): container_result asks Docker.
	docker start --attach "$CONTAINER_ID" </dev/null
	container_started=$?
	container_result "$container_started"
}

# container_create IMAGE OPTION... -- WORD...: makes the container and sets CONTAINER_ID; fails with CONTAINER_MESSAGE.
container_create() {
	container_image=$1 container_words=no
	shift
	# Puts the image in place of "--" by moving every word to the end of the list once.
	container_count=$#
	while [ "$container_count" -gt 0 ]; do
		if [ "$container_words" = no ] && [ "$1" = -- ]; then
			container_words=yes
			set -- "$@" "$container_image"
		elif [ "$container_words" = no ] && ! container_has_cpus "$1"; then
			log run "$1: this machine has no more than that, no limit is set"
		else
			set -- "$@" "$1"
		fi
		shift
		container_count=$((container_count - 1))
	done
	CONTAINER_ID=$(docker_call create --name "$CONTAINER_NAME" -v "$B2D_JOB:/root/shared" "$@" \
		</dev/null 2>"$B2D_STATE/create-errors")
	container_created=$?
	[ "$container_created" -ne 0 ] || [ -z "$CONTAINER_ID" ] || return 0
	case $container_created in
	137 | 143) CONTAINER_MESSAGE="Docker did not make the container within $B2D_DOCKER_CALL seconds" ;;
	*) CONTAINER_MESSAGE="Docker did not accept the container: $(tail -n 3 "$B2D_STATE/create-errors")" ;;
	esac
	return 1
}

# container_has_cpus OPTION: false for --cpus=N above this machine's processors, which Docker would refuse.
container_has_cpus() {
	case $1 in --cpus=*) ;; *) return 0 ;; esac
	awk -v wanted="${1#--cpus=}" -v here="$(grep -c '^processor' "$B2D_PROC/cpuinfo" 2>/dev/null)" \
		'BEGIN { exit !(here + 0 == 0 || wanted + 0 <= here + 0) }'
}

# container_open_root: lets a user other than root reach /root/shared. Most images have a /root that only root may enter; such
# a container gets one that anybody may pass through, but not list.
container_open_root() {
	if docker_has_api; then
		container_user=$(docker_api GET "/containers/$CONTAINER_ID/json" | sed -n 's/.*"Config":{[^{]*"User":"\([^"]*\)".*/\1/p')
	else
		container_user=$(docker_call inspect --format '{{.Config.User}}' "$CONTAINER_ID" 2>/dev/null) || return 0
	fi
	case ${container_user%%:*} in '' | root | 0) return 0 ;; esac
	rm -rf "$B2D_STATE/passage"
	mkdir -p "$B2D_STATE/passage/root" && chmod 0711 "$B2D_STATE/passage/root" || return 0
	tar -C "$B2D_STATE/passage" -cf - root 2>/dev/null | docker_call cp - "$CONTAINER_ID:/" >/dev/null 2>&1 ||
		log run '/root of the container could not be opened for its user'
}

# container_state: prints "RUNNING EXIT-CODE OOM-KILLED ERROR"; nothing if the container is gone (--rm).
container_state() {
	docker_call inspect --format '{{.State.Running}} {{.State.ExitCode}} {{.State.OOMKilled}} {{.State.Error}}' "$CONTAINER_ID" 2>/dev/null
}

# container_result STATUS: sets CONTAINER_EXIT and CONTAINER_MESSAGE; STATUS is that of `docker start`.
container_result() {
	container_said=$(container_state) || container_said=
	if [ "${container_said%% *}" = true ]; then
		log run 'the connection to the container was lost, waiting for its end'
		docker wait "$CONTAINER_ID" >/dev/null 2>&1 || :
		container_said=$(container_state) || container_said=
	fi
	read -r _ CONTAINER_EXIT container_killed container_error <<-STATE
		${container_said:-false $1 false}
	STATE
	case $CONTAINER_EXIT in '' | *[!0-9]*) CONTAINER_EXIT=125 ;; esac
	[ "$CONTAINER_EXIT" -le 255 ] || CONTAINER_EXIT=255
	container_explain "$CONTAINER_EXIT" "$container_killed" "$container_error"
	container_disk
}

# container_disk: if a container failed and the disk is full, adds that to its message.
container_disk() {
	[ "$CONTAINER_EXIT" -ne 0 ] || return 0
	container_free=$(work_free_kb)
	[ "$container_free" -lt 2048 ] || return 0
	CONTAINER_MESSAGE="$CONTAINER_MESSAGE; the machine's disk is full: the job needs more room for what it writes (--disk)"
}

# container_explain EXIT OOM ERROR: sets CONTAINER_MESSAGE.
container_explain() {
	CONTAINER_MESSAGE=
	if [ "$2" = true ] && [ "$1" -eq 137 ]; then
		CONTAINER_MESSAGE='killed: out of memory'
	elif [ "$2" = true ] && [ "$1" -ne 0 ]; then
		CONTAINER_MESSAGE="the container ended with exit code $1; a process of it was killed: out of memory"
	elif [ -n "$3" ]; then
		CONTAINER_MESSAGE="the container could not be started: $3"
	elif [ "$1" -eq 125 ]; then
		CONTAINER_MESSAGE='Docker failed to run the container (125)'
	elif [ "$1" -eq 126 ]; then
		CONTAINER_MESSAGE='the program in the image cannot be executed (126)'
	elif [ "$1" -eq 127 ]; then
		CONTAINER_MESSAGE='the program was not found in the image (127)'
	elif [ "$1" -gt 128 ] && [ "$1" -le 192 ]; then
		CONTAINER_MESSAGE="the container was ended by signal $(($1 - 128)) (exit code $1)"
	elif [ "$1" -ne 0 ]; then
		CONTAINER_MESSAGE="the container ended with exit code $1"
	fi
}
