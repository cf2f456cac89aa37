# shellcheck shell=sh
# The end of a job: boinc_log.tgz, then, last of all, the completion file that the host is waiting for.

REPORT_FILE=$B2D_SHARED/completion_trigger_file

# report_exists: has this job been reported before (a power cut came after it)?
report_exists() {
	[ -e "$REPORT_FILE" ]
}

# report_job EXIT CODE MESSAGE: EXIT is what the host is told, CODE the job's own exit code.
report_job() {
	mark report
	report_log "$2" "$3" || log report 'boinc_log.tgz could not be written'
	report_complete "$1" "$3"
}

# report_complete EXIT MESSAGE: writes the completion file under a temporary name, flushes, renames. Without room it
# gives up the log archive first. Fails after ten minutes; the heartbeat ends with the agent then.
report_complete() {
	log_clean "$2" # it ends in the task's stderr, too
	report_message=$LOG_TEXT
	report_tries=120
	until report_place "$1" "$report_message"; do
		report_tries=$((report_tries - 1))
		[ "$report_tries" -gt 0 ] || return 1
		rm -f "$B2D_SHARED/boinc_log.tgz" "$REPORT_FILE.part"
		sleep "$B2D_RETRY_SECONDS"
	done
}

# report_place EXIT MESSAGE: one attempt. The last event is logged before the rename: after it the machine may be gone.
report_place() {
	{ printf '%s\n0\n%s' "$1" "$2" >"$REPORT_FILE.part"; } 2>/dev/null || return 1
	[ "$(file_bytes "$REPORT_FILE.part")" -eq "$((${#1} + 3 + ${#2}))" ] || return 1
	flush "$REPORT_FILE.part" 2>/dev/null || return 1
	[ -n "${REPORT_SAID:-}" ] || log report "exit $1"
	REPORT_SAID=yes
	mv -f "$REPORT_FILE.part" "$REPORT_FILE" 2>/dev/null
}

# report_later SECONDS CODE MESSAGE: asks the host to switch this machine off and start the job anew after that time. Every
# boot of the job waits longer. The notice flag must be 1, else BOINC starts the task again at once.
report_later() {
	mark report
	report_log "$2" "$3" || log report 'boinc_log.tgz could not be written'
	report_seconds=$(json_number "$1")
	case $report_seconds in null | *.* | ???????*) report_seconds=300 ;; esac
	report_again=$(report_boots)
	case $report_again in null | *.* | ???*) report_again=99 ;; esac
	report_seconds=$((report_seconds + report_again * 300))
	[ "$report_seconds" -le 86400 ] || report_seconds=86400
	log_clean "$3"
	report_message=$LOG_TEXT
	log report "temporary exit, again in $report_seconds s"
	report_tries=60
	until { printf '%s\n1\n%s' "$report_seconds" "$report_message" >"$B2D_SHARED/temporary_exit_trigger_file.part"; } 2>/dev/null &&
		flush "$B2D_SHARED/temporary_exit_trigger_file.part" 2>/dev/null &&
		mv -f "$B2D_SHARED/temporary_exit_trigger_file.part" "$B2D_SHARED/temporary_exit_trigger_file"; do
		report_tries=$((report_tries - 1))
		[ "$report_tries" -gt 0 ] || return 1
		rm -f "$B2D_SHARED/boinc_log.tgz"
		sleep "$B2D_RETRY_SECONDS"
	done
}

# report_log CODE MESSAGE: boinc_log.tgz. Its failure is not the job's.
report_log() {
	report_dir=$B2D_RUN/output
	mkdir -p "$report_dir" || return 1
	for report_name in stdout.txt stderr.txt; do
		[ -e "$report_dir/$report_name" ] || : >"$report_dir/$report_name"
	done
	tail -c 262144 "$B2D_LOG" >"$report_dir/agent.log" 2>/dev/null
	docker_log_tail 65536 >"$report_dir/dockerd.log" 2>/dev/null
	report_json "$1" "$2" >"$report_dir/job.json" || return 1
	if (cd "$report_dir" && tar -cf - stdout.txt stderr.txt agent.log dockerd.log job.json) 2>/dev/null |
		gzip -n 2>/dev/null >"$B2D_SHARED/boinc_log.tgz.part" && flush "$B2D_SHARED/boinc_log.tgz.part"; then
		mv -f "$B2D_SHARED/boinc_log.tgz.part" "$B2D_SHARED/boinc_log.tgz" && return 0
	fi
	rm -f "$B2D_SHARED/boinc_log.tgz.part"
	return 1
}

# report_json CODE MESSAGE: prints job.json, format 1.
report_json() {
	printf '{"format":1,"exit_code":%s,' "$(json_number "$1")"
	printf '"image":%s,' "$(report_state image)"
	printf '"image_id":%s,' "$(report_state image-id)"
	printf '"message":%s,' "$(json_text "$2")"
	printf '"failed_phase":%s,' "$(report_state failed-phase)"
	printf '"marks":{%s},' "$(report_marks)"
	printf '"downloaded_bytes":%s,"reused_bytes":%s,' \
		"$(report_count downloaded-bytes)" "$(report_count reused-bytes)"
	printf '"layers":[%s],' "$(report_layers)"
	printf '"memory_peak_mb":%s,' "$(awk 'NR == 1 { print int($1 / 1024) }' "$B2D_RUN/memory-peak" 2>/dev/null | grep . || printf null)"
	printf '"boots":%s,' "$(report_boots)"
	printf '"agent":%s,"base":%s}\n' "$(json_text "$AGENT_VERSION")" "$(json_text "$AGENT_BASE")"
}

# report_state NAME: prints what the job left under this name in $B2D_STATE as a JSON string, or null.
report_state() {
	if [ -s "$B2D_STATE/$1" ]; then
		head -c 4096 "$B2D_STATE/$1" | awk 'NR > 1 { printf "\n" } { printf "%s", $0 }' | json_string
	else
		printf 'null'
	fi
}

# report_count NAME: prints the number of bytes the store left under this name in $B2D_STATE, else 0.
report_count() {
	report_number=$(json_number "$(head -n 1 "$B2D_STATE/$1" 2>/dev/null)")
	[ "$report_number" != null ] || report_number=0
	printf '%s' "$report_number"
}

# report_marks: prints the stages' times, the first of each name, as members of an object.
report_marks() {
	awk '$1 ~ /^[a-z][a-z0-9-]*$/ && $2 ~ /^[0-9]+(\.[0-9]+)?$/ && !seen[$1]++ {
		printf "%s\"%s\":%.2f", separator, $1, $2
		separator = ","
	}' "$B2D_RUN/marks" 2>/dev/null
}

# report_layers: prints the layers and where they came from, as elements of an array.
report_layers() {
	awk '{ printf "%s{\"digest\":\"%s\",\"bytes\":%s,\"source\":\"%s\"}", separator, $1, $2, $3; separator = "," }' \
		"$B2D_STATE/sources" 2>/dev/null
}

# report_boots: prints how often this job was started.
report_boots() {
	json_number "$(head -n 1 "$B2D_SHARED/.boinc2docker/boots" 2>/dev/null)"
}
