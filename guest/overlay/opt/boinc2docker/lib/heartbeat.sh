# shellcheck shell=sh
# The sign of life. vboxwrapper ends a task whose heartbeat file stands still. So the file must change exactly as long as the
# agent lives: any longer, and a dead machine would occupy the host until the deadline.

HEARTBEAT_BYTES=21 # the file comes with the job and is overwritten in place: see share.sh

# heartbeat_start: rewrites $B2D_SHARE/heartbeat until this shell ($$) is gone. Sets HEARTBEAT_PID.
heartbeat_start() {
	heartbeat_write
	heartbeat_loop "$$" </dev/null >/dev/null 2>&1 &
	HEARTBEAT_PID=$!
}

# heartbeat_stop: ends this shell's heartbeats.
heartbeat_stop() {
	[ -n "${HEARTBEAT_PID:-}" ] || return 0
	kill "$HEARTBEAT_PID" 2>/dev/null
	HEARTBEAT_PID=
}

# heartbeat_loop PID: beats until that process is gone. Between two beats it samples memory and looks at the canary; with each
# beat it checks the clock and passes on the job's progress. All regular access to the host happens here, in sequence.
heartbeat_loop() {
	trap - EXIT HUP INT TERM
	heartbeat_rest=0 heartbeat_pause=3
	[ "$B2D_HEARTBEAT_SECONDS" -ge "$heartbeat_pause" ] || heartbeat_pause=$B2D_HEARTBEAT_SECONDS
	while kill -0 "$1" 2>/dev/null; do
		canary_look
		if [ "$heartbeat_rest" -le 0 ]; then
			# A file that was not just written does not tell the host's time.
			! heartbeat_write || clock_check "$B2D_SHARE/heartbeat" "$UPTIME"
			heartbeat_network
			heartbeat_forget
			progress_copy
			heartbeat_rest=$B2D_HEARTBEAT_SECONDS
		fi
		memory_sample
		sleep "$heartbeat_pause"
		heartbeat_rest=$((heartbeat_rest - heartbeat_pause))
	done
}

# heartbeat_write: one beat, made after the time in UPTIME; fails if the host does not accept it.
heartbeat_write() {
	uptime_now
	share_overwrite "$B2D_SHARE/heartbeat" "$UPTIME" "$HEARTBEAT_BYTES" && return 0
	share_reserve "$B2D_SHARE/heartbeat" "$HEARTBEAT_BYTES" &&
		share_overwrite "$B2D_SHARE/heartbeat" "$UPTIME" "$HEARTBEAT_BYTES"
}

# heartbeat_network: logs what the DHCP client noted about name servers.
heartbeat_network() {
	[ -f "$B2D_RUN/dns-note" ] || return 0
	log boot "$(head -n 1 "$B2D_RUN/dns-note")"
	rm -f "$B2D_RUN/dns-note"
}

# heartbeat_forget: removes init_data.xml. vboxwrapper copies it again when it restores a machine, and on Windows a scanner may
# have kept the agent from removing it.
heartbeat_forget() {
	[ ! -e "$B2D_SHARE/init_data.xml" ] || rm -f "$B2D_SHARE/init_data.xml" 2>/dev/null || :
}
