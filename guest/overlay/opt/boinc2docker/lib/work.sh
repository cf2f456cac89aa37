# shellcheck shell=sh
# The job's directory, and what the agent remembers about the job. Both are on the data disk, so that they survive a restart,
# or in memory where there is none. The job and its container see $B2D_WORK/job as /root/shared; they never see $B2D_WORK/agent.

WORK_PLACE= # where it is, for messages: "on disk" or "in memory"

# work_prepare: mounts both; empties them if they are another job's. Fails if it cannot.
work_prepare() {
	mkdir -p "$B2D_WORK" "$B2D_JOB" || return 1
	mount_point "$B2D_WORK" || work_mount || return 1
	mount_point "$B2D_WORK" || :
	WORK_PLACE='on disk'
	[ "$MOUNT_TYPE" != tmpfs ] || WORK_PLACE='in memory'
	work_belongs || work_empty || return 1
	mount_point "$B2D_JOB" || "$B2D_MOUNT" --bind "$B2D_WORK/job" "$B2D_JOB" || return 1
	log boot "the job's directory is $WORK_PLACE, $(($(work_free_kb) / 1024)) MB free"
}

# work_mount: mounts them on the data disk, else on the disk that the base found for Docker, else in half of the memory.
work_mount() {
	if mount_point "$B2D_DATA_MOUNT"; then
		work_disk=$B2D_DATA_MOUNT/work
	elif mount_point "$B2D_DOCKER_DATA" && [ "$MOUNT_TYPE" = tmpfs ]; then
		work_disk=
	else
		work_disk=$(work_docker_disk) || work_disk=
	fi
	if [ -n "$work_disk" ]; then
		mkdir -p "$work_disk" && "$B2D_MOUNT" --bind "$work_disk" "$B2D_WORK" && return 0
		log boot "the job's directory cannot be put on the disk"
	fi
	"$B2D_MOUNT" -t tmpfs -o mode=0755,size=50%,nr_inodes=0 tmpfs "$B2D_WORK"
}

# work_docker_disk: prints a directory beside Docker's data, if that is on a real disk.
work_docker_disk() {
	work_docker=$(readlink -f "$B2D_DOCKER_DATA") && [ -d "$work_docker" ] || return 1
	work_mounted=$(df -P "$work_docker" 2>/dev/null | awk 'NR == 2 { print $6 }')
	mount_point "$work_mounted" || return 1
	case $MOUNT_TYPE in
	ext[234] | xfs | btrfs | f2fs) printf '%s\n' "${work_docker%/*}/boinc2docker-work" ;;
	*) return 1 ;;
	esac
}

# work_belongs: does the content belong to this job? The job's script tells them apart; each task has a new data disk.
work_belongs() {
	[ -d "$B2D_WORK/job" ] && [ -d "$B2D_KEEP" ] &&
		[ "$(cat "$B2D_KEEP/job" 2>/dev/null)" = "$(work_job)" ]
}

# work_job: prints what identifies this job.
work_job() {
	sha256sum <"$B2D_SHARE/boinc_app" 2>/dev/null || printf 'none\n'
}

# work_empty: removes everything that another job or an interrupted start left.
work_empty() {
	mkdir -p "$B2D_WORK/job" "$B2D_KEEP" && chmod 0700 "$B2D_KEEP" || return 1
	# Not the directories themselves: one is mounted elsewhere.
	find "$B2D_WORK/job" "$B2D_KEEP" -mindepth 1 -maxdepth 1 -exec rm -rf {} + && work_job >"$B2D_KEEP/job"
}

# work_free_kb: prints how many KB can be written there; 0 if it cannot be told.
work_free_kb() {
	mount_free_kb "$B2D_WORK" || printf '0\n'
}

# work_results: makes the job's results/, replacing whatever else has that name: a link would lead elsewhere.
work_results() {
	if [ -L "$B2D_JOB/results" ] || [ ! -d "$B2D_JOB/results" ]; then
		rm -rf "$B2D_JOB/results"
		mkdir "$B2D_JOB/results" || return 1
	fi
	chmod 0777 "$B2D_JOB" "$B2D_JOB/results" # the container's user may be anybody
}
