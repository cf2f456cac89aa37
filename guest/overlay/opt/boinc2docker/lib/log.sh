# shellcheck shell=sh
# Events: one line each, on the console, in the hypervisor's log and in the agent's log.
#
# The hypervisor's log ends up in the task's stderr, of which BOINC keeps 63 KB. So the amount is bounded, and lines are plain
# ASCII, which can harm no reader (XML, VirtualBox, a terminal). Full texts are in boinc_log.tgz.

LOG_LINE_BYTES=400
LOG_TOTAL_BYTES=46000  # ordinary events stop here;
LOG_REPORT_BYTES=48000 # a job's last ones still fit

# log_clean TEXT: sets LOG_TEXT, the text as one short line of printable ASCII.
log_clean() {
	LOG_TEXT=$1
	if [ "${#LOG_TEXT}" -gt "$LOG_LINE_BYTES" ]; then
		LOG_TEXT=$(printf "%.${LOG_LINE_BYTES}s ..." "$LOG_TEXT")
	fi
	case $LOG_TEXT in
	*[!\ -~]*) LOG_TEXT=$(printf '%s' "$LOG_TEXT" | tr '\n\t' '  ' | tr -d '\000-\037\177' | tr '\200-\377' '?') ;;
	esac
}

# log PHASE TEXT: logs one event. Never fails: an unwritable console is no reason to lose a job.
log() {
	log_clean "$2"
	uptime_now
	log_line="b2d $UPTIME $1 $LOG_TEXT"
	printf '%s\n' "$log_line" 2>/dev/null >>"$B2D_LOG" || :
	printf '%s\n' "$log_line" 2>/dev/null >>"$B2D_CONSOLE" || :
	log_to_hypervisor "$1" "$log_line"
}

# log_to_hypervisor PHASE LINE: writes the line to the hypervisor's log while there is room.
log_to_hypervisor() {
	log_spent=0
	{ read -r log_spent <"$B2D_RUN/log-spent"; } 2>/dev/null || log_spent=0
	case $log_spent in '' | *[!0-9]*) log_spent=0 ;; esac
	log_limit=$LOG_TOTAL_BYTES
	[ "$1" = report ] && log_limit=$LOG_REPORT_BYTES
	log_send=$2
	if [ "$((log_spent + ${#log_send} + 1))" -gt "$log_limit" ]; then
		[ -e "$B2D_RUN/log-full" ] && return 0
		{ : >"$B2D_RUN/log-full"; } 2>/dev/null
		log_send='b2d 0.00 report the log is full here, the rest is in boinc_log.tgz'
	fi
	{ printf '%s\n' "$((log_spent + ${#log_send} + 1))" >"$B2D_RUN/log-spent"; } 2>/dev/null || :
	[ -x "$B2D_GUESTLOG" ] || return 0
	"$B2D_GUESTLOG" 2>/dev/null <<-LINE || :
		$log_send
	LINE
}

# log_mark NAME: notes that a stage was reached now; job.json lists these marks.
log_mark() {
	uptime_now
	{ printf '%s %s\n' "$1" "$UPTIME" >>"$B2D_RUN/marks"; } 2>/dev/null || :
}

# log_marked NAME: was this stage reached in this boot?
log_marked() {
	grep -q "^$1 " "$B2D_RUN/marks" 2>/dev/null
}
