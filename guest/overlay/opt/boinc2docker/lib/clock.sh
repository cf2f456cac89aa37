# shellcheck shell=sh
# The clock. A paused or restored machine continues with the time it had; on Windows hosts that keep local time it starts
# hours off. Certificates are then "not yet valid". The host's time comes from the time stamp that the host gives to a file of
# the share (vboxsf, 9p and virtiofs alike).

: "${B2D_DATE:=date}" # tests set no real clock

CLOCK_FAR=60           # the clock is stepped if it is more seconds off
CLOCK_LEAST=1700000000 # November 2023: an earlier time is wrong. A file's own time is no bound: it may be this boot's.
CLOCK_LINES=20         # steps to log: a machine that is often paused must not fill the log
CLOCK_SEEN='' CLOCK_LOGGED=0 CLOCK_TROUBLE=''

# clock_check FILE UPTIME: steps the clock to the host's if it is more than CLOCK_FAR seconds off. FILE, on the share, must
# just have been written, after UPTIME (seconds since power-on). Never fails.
clock_check() {
	clock_host=$(stat -c %Y -- "$1" 2>/dev/null)
	[ "$clock_host" != "$CLOCK_SEEN" ] || return 0 # not written since the last look
	clock_here=$("$B2D_DATE" +%s 2>/dev/null)
	clock_is_time "$clock_host" && clock_is_time "$clock_here" || return 0
	CLOCK_SEEN=$clock_host
	# The time since the write is no difference between the clocks.
	uptime_now
	clock_passed=0
	clock_then=${2:-}
	clock_then=${clock_then%%.*}
	case $clock_then in '' | 0?* | *[!0-9]*) ;; *) clock_passed=$((${UPTIME%%.*} - clock_then)) ;; esac
	[ "$clock_passed" -ge 0 ] || clock_passed=0
	clock_host=$((clock_host + clock_passed))
	clock_off=$((clock_host - clock_here))
	[ "$clock_off" -gt "$CLOCK_FAR" ] || [ "$clock_off" -lt "-$CLOCK_FAR" ] || return 0
	clock_step
}

# clock_step: sets the clock to $clock_host, unless no correct clock can show that time.
clock_step() {
	if [ "$clock_host" -lt "$CLOCK_LEAST" ]; then
		clock_trouble "the host's clock is years behind: not followed"
	elif "$B2D_DATE" -u -s "@$clock_host" >/dev/null 2>&1; then # busybox and GNU
		clock_log "clock stepped by $clock_off s"
	else
		clock_trouble "clock is $((-clock_off)) s off and cannot be set"
	fi
}

# clock_is_time TEXT: is it a number of seconds since 1970 that every shell can compute with?
clock_is_time() {
	case $1 in '' | 0* | *[!0-9]* | ????????????*) return 1 ;; esac
}

# clock_trouble TEXT: logs why the clock stays wrong, once.
clock_trouble() {
	[ -n "$CLOCK_TROUBLE" ] || log boot "$1"
	CLOCK_TROUBLE=yes
}

# clock_log TEXT: logs a step, the first CLOCK_LINES times.
clock_log() {
	CLOCK_LOGGED=$((CLOCK_LOGGED + 1))
	[ "$CLOCK_LOGGED" -le "$CLOCK_LINES" ] || return 0
	log boot "$1"
	[ "$CLOCK_LOGGED" -lt "$CLOCK_LINES" ] || log boot 'clock: further steps are not logged'
}
