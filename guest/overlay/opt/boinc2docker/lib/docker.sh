# shellcheck shell=sh
# The Docker engine of this machine: waiting for it, restarting it, its disk, its log.

# docker_api METHOD PATH: sends a request over the engine's socket and prints the answer; fails if there is none, or an error.
# Used for small requests where there is curl: starting the docker program takes seconds on a slow machine.
docker_api() {
	# The URL's host means nothing on a socket, but curl wants one.
	curl -s -f -m 120 -X "$1" --unix-socket "$B2D_SOCKET" "http://docker$2" 2>/dev/null
}

# docker_call WORD...: runs the docker program under a limit, so that a hanging engine does not hang the agent.
docker_call() {
	limit "$B2D_DOCKER_CALL" docker "$@"
}

# docker_has_api: can docker_api be used on this base?
docker_has_api() {
	command -v curl >/dev/null 2>&1
}

# docker_answers: is the engine ready?
docker_answers() {
	[ -S "$B2D_SOCKET" ] || return 1
	if docker_has_api; then
		[ "$(docker_api GET /_ping)" = OK ]
	else
		docker_call version >/dev/null 2>&1
	fi
}

# docker_has_image NAME: is this image loaded?
docker_has_image() {
	if docker_has_api; then
		docker_api GET "/images/$1/json" >/dev/null
	else
		docker_call image inspect --format '{{.Id}}' "$1" >/dev/null 2>&1
	fi
}

# docker_remove NAME: removes a container, if it exists.
docker_remove() {
	if docker_has_api; then
		docker_api DELETE "/containers/$1?force=1" >/dev/null || :
	else
		docker_call rm -f "$1" >/dev/null 2>&1 || :
	fi
}

# docker_wait: returns when Docker answers; fails after $B2D_DOCKER_WAIT seconds.
docker_wait() {
	uptime_now
	docker_until=$((${UPTIME%%.*} + B2D_DOCKER_WAIT))
	docker_next=$((${UPTIME%%.*} + 60))
	until docker_answers; do
		uptime_now
		[ "${UPTIME%%.*}" -lt "$docker_until" ] || return 1
		if [ "${UPTIME%%.*}" -ge "$docker_next" ]; then
			log boot "still waiting for Docker (at most $((docker_until - ${UPTIME%%.*})) s more)"
			docker_next=$((docker_next + 60))
		fi
		sleep 0.3 2>/dev/null || sleep 1
	done
	log_mark docker
	log boot 'Docker is ready'
}

# docker_started: has an engine already started at this boot? (Then its data can no longer be moved.)
docker_started() {
	[ -S "$B2D_SOCKET" ] || [ -s "$B2D_ROOT/var/run/docker.pid" ]
}

# docker_restart: restarts a running engine by the base's own script. Fails where there is none.
docker_restart() {
	for docker_script in /etc/init.d/docker /usr/local/etc/init.d/docker /etc/rc.d/docker; do
		[ -x "$B2D_ROOT$docker_script" ] || continue
		"$B2D_ROOT$docker_script" restart </dev/null >>"$B2D_LOG" 2>&1
		return
	done
	return 1
}

# docker_clean all|running WHY: removes all containers, or the running ones.
docker_clean() {
	docker_query='' docker_flags=-q
	[ "$1" != all ] || docker_query='?all=1' docker_flags=-aq
	! docker_has_api || [ "$(docker_api GET "/containers/json$docker_query")" != '[]' ] || return 0
	docker_old=$(docker_call ps "$docker_flags" 2>/dev/null) || docker_old=
	[ -n "$docker_old" ] || return 0
	log boot "removing containers $2: $docker_old"
	# shellcheck disable=SC2086 # a list of identifiers in hexadecimal
	docker_call rm -f $docker_old >/dev/null 2>&1 || log boot 'some containers could not be removed'
}

# docker_free_kb: prints how many KB can be written to Docker's disk. In memory, no more than the memory that is left.
docker_free_kb() {
	mount_free_kb "$B2D_DOCKER_DATA"
}

# docker_log_tail BYTES: prints the end of the engine's log, wherever this base keeps it.
docker_log_tail() {
	for docker_log in /var/log/dockerd.log /var/lib/boot2docker/log/docker.log /var/lib/boot2docker/docker.log /var/log/docker.log; do
		[ -f "$B2D_ROOT$docker_log" ] || continue
		tail -c "$1" "$B2D_ROOT$docker_log"
		return
	done
}
