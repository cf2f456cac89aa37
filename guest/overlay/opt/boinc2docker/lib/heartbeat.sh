# shellcheck shell=sh
# The sign of life. vboxwrapper ends a task whose heartbeat file stands still, so the file must move exactly as long as
# the agent lives: no longer, or a dead machine would hold its place until the deadline.

HEARTBEAT_BYTES=21 # the file comes with the job, and is written in place: see share.sh

# heartbeat_start: rewrites $B2D_SHARE/heartbeat until this shell ($$) is gone. Sets HEARTBEAT_PID.
heartbeat_start() {
	heartbeat_write
	heartbeat_loop "$$" </dev/null >/dev/null 2>&1 &
	HEARTBEAT_PID=$!
}

# heartbeat_stop: no more heartbeats from this shell.
heartbeat_stop() {
	[ -n "${HEARTBEAT_PID:-}" ] || return 0
	kill "$HEARTBEAT_PID" 2>/dev/null
	HEARTBEAT_PID=
}

# heartbeat_loop PID: the loop itself. Between two beats it looks for the memory's peak and after the canary; with each it sets
# the clock and hands on the job's progress. All that touches the host again and again is done here, one after the other.
heartbeat_loop() {
	trap - EXIT HUP INT TERM
	heartbeat_rest=0 heartbeat_pause=3
	[ "$B2D_HEARTBEAT_SECONDS" -ge "$heartbeat_pause" ] || heartbeat_pause=$B2D_HEARTBEAT_SECONDS
	while kill -0 "$1" 2>/dev/null; do
		canary_look
		if [ "$heartbeat_rest" -le 0 ]; then
			# What was not written just now does not tell the host's time.
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

# heartbeat_write: one beat, after the time in UPTIME; fails if the host does not take it.
heartbeat_write() {
	uptime_now
	share_overwrite "$B2D_SHARE/heartbeat" "$UPTIME" "$HEARTBEAT_BYTES" && return 0
	share_reserve "$B2D_SHARE/heartbeat" "$HEARTBEAT_BYTES" &&
		share_overwrite "$B2D_SHARE/heartbeat" "$UPTIME" "$HEARTBEAT_BYTES"
}

# heartbeat_network: logs what the DHCP client had to say about name servers.
heartbeat_network() {
	[ -f "$B2D_RUN/dns-note" ] || return 0
	log boot "$(head -n 1 "$B2D_RUN/dns-note")"
	rm -f "$B2D_RUN/dns-note"
}

# heartbeat_forget: removes init_data.xml, which vboxwrapper copies again when it restores a machine, and which a scanner on
# Windows may have held when the agent removed it.
heartbeat_forget() {
	[ ! -e "$B2D_SHARE/init_data.xml" ] || rm -f "$B2D_SHARE/init_data.xml" 2>/dev/null || :
}
