# shellcheck shell=sh
# The job's directory, and what the agent keeps about the job: on the data disk, so that both survive a restart; in memory
# where there is none. $B2D_WORK/job is what the job and its container see as /root/shared; $B2D_WORK/agent they never see.

WORK_PLACE= # where it is, for messages: "on disk" or "in memory"

# work_prepare: mounts both, and empties them if they are another job's. Fails if they cannot be had.
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

# work_mount: on the data disk; else on the disk that the base has found for Docker; else in half of the memory.
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

# work_docker_disk: prints a directory beside Docker's data, if those are on a real disk.
work_docker_disk() {
	work_docker=$(readlink -f "$B2D_DOCKER_DATA") && [ -d "$work_docker" ] || return 1
	work_mounted=$(df -P "$work_docker" 2>/dev/null | awk 'NR == 2 { print $6 }')
	mount_point "$work_mounted" || return 1
	case $MOUNT_TYPE in
	ext[234] | xfs | btrfs | f2fs) printf '%s\n' "${work_docker%/*}/boinc2docker-work" ;;
	*) return 1 ;;
	esac
}

# work_belongs: is what is there this job's? Its script tells: a data disk is made anew for every task.
work_belongs() {
	[ -d "$B2D_WORK/job" ] && [ -d "$B2D_KEEP" ] &&
		[ "$(cat "$B2D_KEEP/job" 2>/dev/null)" = "$(work_job)" ]
}

# work_job: prints what tells this job from others.
work_job() {
	sha256sum <"$B2D_SHARE/boinc_app" 2>/dev/null || printf 'none\n'
}

# work_empty: nothing of another job, or of a half-made beginning, stays.
work_empty() {
	mkdir -p "$B2D_WORK/job" "$B2D_KEEP" && chmod 0700 "$B2D_KEEP" || return 1
	# Not the directories themselves: one is mounted elsewhere.
	find "$B2D_WORK/job" "$B2D_KEEP" -mindepth 1 -maxdepth 1 -exec rm -rf {} + && work_job >"$B2D_KEEP/job"
}

# work_free_kb: prints how many KB can be written there; in memory, no more than the memory that is left.
work_free_kb() {
	mount_free_kb "$B2D_WORK" || printf '0\n'
}

# work_results: makes the job's results/ anew where something else stands under that name: a link would lead elsewhere.
work_results() {
	if [ -L "$B2D_JOB/results" ] || [ ! -d "$B2D_JOB/results" ]; then
		rm -rf "$B2D_JOB/results"
		mkdir "$B2D_JOB/results" || return 1
	fi
	chmod 0777 "$B2D_JOB" "$B2D_JOB/results" # the container's user may be anybody
}
