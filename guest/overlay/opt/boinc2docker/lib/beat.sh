# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# Showing other machines that this one lives: a second process renews its lock and its mark, and looks at theirs.

BEAT_PID= # that process

# beat_start: starts it. It also logs long work about once a minute.
beat_start() {
	[ -z "$BEAT_PID" ] || return 0
	beat_loop "$$" </dev/null >/dev/null 2>&1 &
	BEAT_PID=$!
}

# beat_loop PID: beats until that process is gone.
beat_loop() {
	trap - EXIT HUP INT
	# On TERM the command under way is finished first: it would outlive this process and write the mark again after
	# budget_unmark removed it. A beat may stop between two commands, so budget_unmark also removes a mark not yet renamed.
	beat_nap=
	trap '[ -z "$beat_nap" ] || kill "$beat_nap"; exit 0' TERM
	# The next beat is the next try: nothing here may keep the lock's heartbeat waiting.
	B2D_MOVE_SECONDS=1
	beat_silent=0
	while kill -0 "$1" 2>/dev/null; do
		beat_once
		beat_silent=$((beat_silent + B2D_BEAT_SECONDS))
		if [ "$beat_silent" -ge 45 ]; then
			event_tell
			beat_silent=0
		fi
		sleep "$B2D_BEAT_SECONDS" &
		beat_nap=$!
		wait "$beat_nap"
		beat_nap=
	done
}

# beat_once: one sign of life, and one look at the other machines' signs.
beat_once() {
	LOCK=
	if [ -f "$B2D_RUN/store-lock" ]; then
		{ read -r LOCK <"$B2D_RUN/store-lock"; } 2>/dev/null || :
	fi
	[ -z "$LOCK" ] || lock_beat
	[ -z "$STORE_HOST" ] || {
		budget_mark beat
		budget_look
		[ "$STORE" != "$STORE_HOST" ] || lock_tidy
	}
}

# beat_stop: ends the process that beats. One that hangs in a write to the host is killed after a while.
beat_stop() {
	kill "$BEAT_PID" 2>/dev/null
	beat_kill "$BEAT_PID" "$((2 * B2D_SHARE_SECONDS))" </dev/null >/dev/null 2>&1 &
	beat_guard=$!
	wait "$BEAT_PID" 2>/dev/null
	kill "$beat_guard" 2>/dev/null
	wait "$beat_guard" 2>/dev/null
	BEAT_PID=
}

# beat_kill PID SECONDS: kills that process after this time, unless this one is ended before.
beat_kill() {
	trap - EXIT HUP INT
	beat_nap=
	trap '[ -z "$beat_nap" ] || kill "$beat_nap"; exit 0' TERM
	sleep "$2" &
	beat_nap=$!
	wait "$beat_nap"
	kill -s KILL "$1"
}
