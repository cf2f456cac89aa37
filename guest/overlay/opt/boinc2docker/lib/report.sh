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
	report_again=$(report_boots)
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
	report_json "$1" "$2" >"$report_dir/job.json" || return 1
	if (cd "$report_dir" && tar -cf - stdout.txt stderr.txt agent.log dockerd.log job.json) 2>/dev/null |
		gzip -n 2>/dev/null >"$B2D_RUN/boinc_log.tgz"; then
		deliver "$B2D_RUN/boinc_log.tgz" boinc_log.tgz 0 # not worth waiting for room
		return
	fi
	return 1
}

# report_json CODE MESSAGE: prints job.json, format 1.
report_json() {
	printf '{"format":1,"exit_code":%s,' "$(json_number "$1")"
	[ ! -e "$B2D_STATE/kept" ] || printf '"kept":true,'
	printf '"image":%s,' "$(report_state image)"
	printf '"image_id":%s,' "$(report_state image-id)"
	printf '"message":%s,' "$(json_text "$2")"
	printf '"failed_phase":%s,' "$(report_state failed-phase)"
	printf '"marks":{%s},' "$(report_marks)"
	printf '"downloaded_bytes":%s,"reused_bytes":%s,' \
		"$(report_count downloaded-bytes)" "$(report_count reused-bytes)"
	printf '"layers":[%s],' "$(report_layers)"
	printf '"memory_peak_mb":%s,' "$(awk 'NR == 1 { print int($1 / 1024) }' "$B2D_RUN/memory-peak" 2>/dev/null | grep . || printf null)"
	printf '"boots":%s,"restores":%s,' "$(report_boots)" "$(canary_restores)"
	printf '"agent":%s,"base":%s}\n' "$(json_text "$AGENT_VERSION")" "$(json_text "$AGENT_BASE")"
}

# report_state NAME: prints as a JSON string what the job left under this name in $B2D_STATE, or null.
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

# report_marks: prints the stages' times as members of an object, the first of each name.
report_marks() {
	awk '$1 ~ /^[a-z][a-z0-9-]*$/ && $2 ~ /^[0-9]+(\.[0-9]+)?$/ && !seen[$1]++ {
		printf "%s\"%s\":%.2f", separator, $1, $2
		separator = ","
	}' "$B2D_RUN/marks" 2>/dev/null
}

# report_layers: prints the layers and their sources as elements of an array.
report_layers() {
	awk '{ printf "%s{\"digest\":\"%s\",\"bytes\":%s,\"source\":\"%s\"}", separator, $1, $2, $3; separator = "," }' \
		"$B2D_STATE/sources" 2>/dev/null
}

# report_boots: prints how often this job was started, or null.
report_boots() {
	json_number "$(head -c 16 "$B2D_SHARE/.boinc2docker/boots" 2>/dev/null | tr -dc '0-9')"
}
