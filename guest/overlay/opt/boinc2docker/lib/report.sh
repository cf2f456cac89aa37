# shellcheck shell=sh
# The end of a job: boinc_log.tgz, then, last of all, the completion file for which the host waits.

REPORT_FILE=$B2D_SHARE/completion_trigger_file
REPORT_BYTES=4096 # reserved at the start, so that a job can end although the host's disk is full

# report_exists: was this job reported before a power cut?
report_exists() {
	[ -e "$REPORT_FILE" ] && [ ! -L "$REPORT_FILE" ]
}

# report_job EXIT CODE MESSAGE: reports EXIT to the host; CODE is the job's own exit code.
report_job() {
	log_mark report
	report_log "$2" "$3" || log report 'boinc_log.tgz could not be written'
	report_complete "$1" "$3"
}

# report_reserve: makes the file that will become the report, to be overwritten in place. Fails if the host has no room.
report_reserve() {
	share_reserve "$REPORT_FILE.part" "$REPORT_BYTES"
}

# report_complete EXIT MESSAGE: writes the completion file under a temporary name, then renames it. Without room it gives up the
# log archive first. Fails after ten minutes; then the heartbeat ends with the agent.
report_complete() {
	log_clean "$2" # the message ends up in the task's stderr too
	report_message=$LOG_TEXT
	report_tries=120
	until report_place "$1" 0 "$report_message" "$REPORT_FILE"; do
		report_tries=$((report_tries - 1))
		[ "$report_tries" -gt 0 ] || return 1
		rm -f "$B2D_SHARE/boinc_log.tgz"
		sleep "$B2D_RETRY_SECONDS"
	done
}

# report_place NUMBER NOTICE MESSAGE FILE: makes one attempt. Logs the last event before the rename: after it the machine may be
# gone.
report_place() {
	report_text=$(printf '%s\n%s\n%s.' "$1" "$2" "$3")
	report_text=${report_text%.}
	report_reserve || return 1
	share_overwrite "$REPORT_FILE.part" "$report_text" "$REPORT_BYTES" || return 1
	# dd cuts off the rest when it opens the file.
	limit "$B2D_SHARE_SECONDS" dd if=/dev/null of="$REPORT_FILE.part" bs=1 seek="${#report_text}" 2>/dev/null || return 1
	[ "$(limit "$B2D_SHARE_SECONDS" cat "$REPORT_FILE.part" 2>/dev/null && printf '.')" = "$report_text." ] || return 1
	[ -n "${REPORT_SAID:-}" ] || log report "$([ "$2" -eq 0 ] && printf 'exit %s' "$1" || printf 'temporary exit, again in %s s' "$1")"
	REPORT_SAID=yes
	share_move "$REPORT_FILE.part" "$4"
}

# report_later SECONDS CODE MESSAGE: asks the host to switch this machine off and start the job again after that time, longer at
# every boot of the job. The notice flag must be 1, else BOINC starts the task again at once.
report_later() {
	log_mark report
	report_log "$2" "$3" || log report 'boinc_log.tgz could not be written'
	report_seconds=$(json_number "$1")
	case $report_seconds in null | *.* | ???????*) report_seconds=300 ;; esac
	report_again=$(record_boots)
	case $report_again in null | *.* | ???*) report_again=99 ;; esac
	report_seconds=$((report_seconds + report_again * 300))
	[ "$report_seconds" -le 86400 ] || report_seconds=86400
	log_clean "$3"
	report_message=$LOG_TEXT
	report_tries=60
	until report_place "$report_seconds" 1 "$report_message" "$B2D_SHARE/temporary_exit_trigger_file"; do
		report_tries=$((report_tries - 1))
		[ "$report_tries" -gt 0 ] || return 1
		rm -f "$B2D_SHARE/boinc_log.tgz"
		sleep "$B2D_RETRY_SECONDS"
	done
	REPORT_SAID= # a restored machine logs its own end
	report_reserve || :
}

# report_log CODE MESSAGE: packs and delivers boinc_log.tgz. If that fails the job does not.
report_log() {
	report_dir=$B2D_RUN/output
	mkdir -p "$report_dir" || return 1
	for report_name in stdout.txt stderr.txt; do
		[ -e "$report_dir/$report_name" ] || : >"$report_dir/$report_name"
	done
	tail -c 262144 "$B2D_LOG" >"$report_dir/agent.log" 2>/dev/null
	docker_log_tail 65536 >"$report_dir/dockerd.log" 2>/dev/null
	# shellcheck disable=SC2034 # read by record.sh
	RECORD_RESTORES=$(canary_restores)
	record_json "$1" "$2" >"$report_dir/job.json" || return 1
	if (cd "$report_dir" && tar -cf - stdout.txt stderr.txt agent.log dockerd.log job.json) 2>/dev/null |
		gzip -n 2>/dev/null >"$B2D_RUN/boinc_log.tgz"; then
		deliver "$B2D_RUN/boinc_log.tgz" boinc_log.tgz 0 # not worth waiting for room
		return
	fi
	return 1
}
