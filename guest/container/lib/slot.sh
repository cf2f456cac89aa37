# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# The task's slot, which docker_wrapper has mounted as the job's directory: what is arranged in it, and given back.

# slot_arrange: the client put the job's files into the slot's shared/; they belong one higher, as in a machine. Whatever was
# moved at an earlier start stays where it is. Fails with SLOT_ERROR.
slot_arrange() {
	slot_out || :
	# The job may do with its files what it likes; only what has not been moved yet is.
	if [ ! -e "$B2D_KEEP/arranged" ]; then
		for slot_file in "$SLOT_OUT"/* "$SLOT_OUT"/.[!.]* "$SLOT_OUT"/..?*; do
			[ -e "$slot_file" ] || [ -L "$slot_file" ] || continue
			slot_name=${slot_file##*/}
			[ ! -e "$B2D_SHARE/$slot_name" ] || continue
			mv "$slot_file" "$B2D_SHARE/$slot_name" || {
				SLOT_ERROR="the job's file $slot_name cannot be moved out of shared/"
				return 1
			}
			chmod -R a+rwX "$B2D_SHARE/$slot_name" || : # Windows' file systems have modes of their own
		done
		: >"$B2D_KEEP/arranged"
	fi
	if [ -L "$B2D_JOB/results" ] || [ ! -d "$B2D_JOB/results" ]; then
		rm -rf "$B2D_JOB/results"
		mkdir "$B2D_JOB/results" || {
			SLOT_ERROR='results/ cannot be made in the slot'
			return 1
		}
	fi
	chmod 0777 "$B2D_JOB/results" 2>/dev/null || :
}

# slot_out: sets SLOT_OUT, where the client takes files from: a directory, whatever the job has put in its place. Links
# would lead the client elsewhere on the host.
slot_out() {
	SLOT_OUT=$B2D_SHARE/shared
	if [ -L "$SLOT_OUT" ] || [ ! -d "$SLOT_OUT" ]; then
		rm -rf "$SLOT_OUT"
		mkdir -p "$SLOT_OUT" || return 1
	fi
	rm -rf "$SLOT_OUT/results.tgz" "$SLOT_OUT/boinc_log.tgz"
}

# slot_still: ends what the job has left running, which could change the results while they are packed. Every process of
# this container goes but this one; the agent is its first process, or the child of an init.
slot_still() {
	! tr '\000' '\n' </proc/1/cmdline 2>/dev/null | grep -qxF "$B2D_HOME/agent" || kill -s KILL -- -1 2>/dev/null || :
	slot_out || :
}

# slot_boot: counts the starts of this job.
slot_boot() {
	slot_boots=$(record_boots)
	case $slot_boots in null | ??????*) slot_boots=0 ;; esac
	mkdir -p "$B2D_SHARE/.boinc2docker"
	printf '%s\n' "$((slot_boots + 1))" >"$B2D_SHARE/.boinc2docker/boots" || :
	[ "$slot_boots" -eq 0 ] || log boot "this is start $((slot_boots + 1)) of this job"
}

# slot_progress_start: from now on the job's progress is handed on, until the agent ends.
slot_progress_start() {
	slot_progress_loop "$$" </dev/null >/dev/null 2>&1 &
}

# slot_progress_loop PID: docker_wrapper reads a number from 0 to 1 from fraction_done every ten seconds.
slot_progress_loop() {
	trap - EXIT
	while kill -0 "$1" 2>/dev/null; do
		progress_copy
		sleep 5
	done
}

# progress_say FRACTION: as the machine's, which overwrites a file of VirtualBox' wrapper in place.
progress_say() {
	printf '%s\n' "$1" >"$B2D_SHARE/fraction_done.new" && mv -f "$B2D_SHARE/fraction_done.new" "$B2D_SHARE/fraction_done"
}

# slot_memory: notes the peak of the container's memory, in KB, where the kernel tells it.
slot_memory() {
	for slot_peak in /sys/fs/cgroup/memory.peak /sys/fs/cgroup/memory/memory.max_usage_in_bytes; do
		[ -r "$slot_peak" ] || continue
		awk 'NR == 1 { printf "%d\n", $1 / 1024 }' "$slot_peak" >"$B2D_RUN/memory-peak"
		return 0
	done
}

# slot_hand_over: puts results.tgz where the client takes it. Fails with RESULTS_ERROR.
slot_hand_over() {
	if ! mv -f "$B2D_KEEP/results.tgz" "$SLOT_OUT/results.tgz"; then
		RESULTS_ERROR='results.tgz cannot be moved into shared/'
		return 1
	fi
	log_mark results
	log results "results.tgz $(bytes_of "$SLOT_OUT/results.tgz") bytes"
}

# slot_log CODE MESSAGE: boinc_log.tgz.
slot_log() {
	slot_dir=$B2D_RUN/output
	mkdir -p "$slot_dir" "$SLOT_OUT" || return 1
	for slot_name in stdout.txt stderr.txt; do
		[ -e "$slot_dir/$slot_name" ] || : >"$slot_dir/$slot_name"
	done
	tail -c 262144 "$B2D_LOG" >"$slot_dir/agent.log" 2>/dev/null
	record_json "$1" "$2" >"$slot_dir/job.json" || return 1
	(cd "$slot_dir" && "$(tar_gnu)" -cf - stdout.txt stderr.txt agent.log job.json) 2>/dev/null |
		gzip -n >"$SLOT_OUT/boinc_log.tgz"
}

# slot_give_back: everything that was made in the slot belongs to its owner, who must be able to remove it.
slot_give_back() {
	slot_owner=$(stat -c %u:%g "$B2D_SHARE") || return 0
	chown -hR "$slot_owner" "$B2D_SHARE" 2>/dev/null || :
	find "$B2D_SHARE" -type d ! -perm -0700 -exec chmod u+rwx {} + 2>/dev/null || :
}
