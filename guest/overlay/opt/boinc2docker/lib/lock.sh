# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# Locks between machines that share only a directory of the host: no links, no file locks, no common clock.
#
#   locks/<hex>/                  mkdir = taken
#   locks/<hex>/<vm>/heartbeat    its owner; the content changes while that machine lives
#
# The owner's is the only directory inside. A machine that wakes up after its lock was taken over cannot disturb the new
# owner: its heartbeat would go into a directory that is gone.

SEEN_STILL_SECONDS=60 # a heartbeat that stands still so long is a dead machine's
LOCK_BYTES=32         # of a heartbeat
SEEN_LOOK_SECONDS=20  # what one look adds at most: a machine that slept has not watched in the meantime

LOCK= # the layer whose lock this machine holds, as far as it knows
LOCK_BEATS=0

# lock_try HEX: takes the lock of a layer if it is free.
lock_try() {
	mkdir "$STORE/locks/$1" 2>/dev/null || return 1
	store_point lock-made
	if mkdir "$STORE/locks/$1/$STORE_VM" 2>/dev/null; then
		store_point lock-named
		# A machine that slept after the first mkdir may be in another's lock, and leaves it. Two that meet there both leave.
		if [ "$(ls "$STORE/locks/$1" 2>/dev/null)" = "$STORE_VM" ]; then
			LOCK=$1
			printf '%s\n' "$1" >"$B2D_RUN/store-lock"
			lock_beat
			store_point lock-taken
			return 0
		fi
		rmdir "$STORE/locks/$1/$STORE_VM" 2>/dev/null
	fi
	rmdir "$STORE/locks/$1" 2>/dev/null
	return 1
}

# lock_held: does this machine still have the lock it took last?
lock_held() {
	[ -n "$LOCK" ] && [ -d "$STORE/locks/$LOCK/$STORE_VM" ]
}

# lock_beat: writes one heartbeat into the lock that this machine holds. The process that beats calls it too.
lock_beat() {
	LOCK_BEATS=$((LOCK_BEATS + 1))
	uptime_now
	share_overwrite "$STORE/locks/$LOCK/$STORE_VM/heartbeat" "$LOCK_BEATS $UPTIME" "$LOCK_BYTES" ||
		printf "%-$((LOCK_BYTES - 1))s\n" "$LOCK_BEATS $UPTIME" | share_write "$STORE/locks/$LOCK/$STORE_VM/heartbeat" || :
}

# lock_release: gives it up. If another machine has it now, its directory is not empty, so nothing of it is touched.
lock_release() {
	[ -n "$LOCK" ] || return 0
	rm -f "$B2D_RUN/store-lock"
	lock_tries=5
	until lock_leave; do
		# One last heartbeat may be on its way; without store-lock no other follows. Or, on Windows, another program has the
		# heartbeat open. A lock that stays counts as a dead machine's.
		lock_tries=$((lock_tries - 1))
		[ "$lock_tries" -gt 0 ] || break
		[ "$lock_tries" -eq 4 ] || store_rest
	done
	store_point lock-nameless
	rmdir "$STORE/locks/$LOCK" 2>/dev/null || rmdir "$STORE/locks/$LOCK" 2>/dev/null
	LOCK=
}

# lock_leave: removes this machine's name from the lock; fails if it is still there.
lock_leave() {
	rm -f "$STORE/locks/$LOCK/$STORE_VM/heartbeat" 2>/dev/null
	store_point lock-stopped
	rmdir "$STORE/locks/$LOCK/$STORE_VM" 2>/dev/null || [ ! -e "$STORE/locks/$LOCK/$STORE_VM" ]
}

# lock_stale HEX: has its heartbeat stood still for too long, as far as this machine has seen?
lock_stale() {
	lock_seen=$(lock_look "$1") && seen_still "lock.$1" "${lock_seen%% *}"
}

# lock_look HEX: prints a digest that changes with the owner and with every heartbeat.
lock_look() {
	{
		ls -a "$STORE/locks/$1"
		for lock_file in "$STORE/locks/$1"/*/heartbeat; do
			[ ! -f "$lock_file" ] || head -c 256 "$lock_file"
		done
	} 2>/dev/null | sha256sum
}

# lock_break HEX SECONDS: takes away whatever stands under a stale lock's name, so that anybody can take the lock. Tries for
# SECONDS. Returns LOCK_GONE, LOCK_STUCK or LOCK_ALIVE.
#
# Of several machines that find it stale one succeeds. A machine that fell asleep just before its rename may take away the
# next owner's lock: that owner notices before its next chunk and starts again.
lock_break() {
	store_point lock-stale
	LOCK_BEATS=$((LOCK_BEATS + 1))
	lock_away=$STORE/locks/$1.$STORE_VM.$LOCK_BEATS
	lock_tries=$2
	until mv "$STORE/locks/$1" "$lock_away" 2>/dev/null; do
		[ -e "$STORE/locks/$1" ] || [ -L "$STORE/locks/$1" ] || return "$LOCK_GONE"
		lock_tries=$((lock_tries - 1))
		[ "$lock_tries" -gt 0 ] || return "$LOCK_STUCK"
		store_pause 1
		lock_stale "$1" || return "$LOCK_ALIVE"
	done
	rm -f "$B2D_RUN/seen/lock.$1"
	store_point lock-moved
	rm -rf "$lock_away" 2>/dev/null || :
	return "$LOCK_GONE"
}

# lock_tidy: takes away stale locks that no machine waits for: those of complete layers, whose machines died after the rename
# (with the rest of their downloads), and those of layers that this machine does not want. It takes over a lock that it waits
# for elsewhere. Tries each lock once, since a beat must not be late.
lock_tidy() {
	for lock_file in "$STORE/locks"/*; do
		lock_hex=${lock_file##*/}
		case $lock_hex in *[!0-9a-f]* | "$LOCK") continue ;; esac
		if [ -f "$STORE/layers/sha256/$lock_hex" ]; then
			if lock_stale "$lock_hex" && lock_break "$lock_hex" 1; then
				rm -rf "$STORE/partial/$lock_hex".* 2>/dev/null || :
			fi
		elif ! grep -q "^$lock_hex " "$B2D_STATE/missing" 2>/dev/null; then
			if lock_stale "$lock_hex" && lock_break "$lock_hex" 1; then
				log store "$(event_digest "$lock_hex"): the other machine is gone, and its lock"
			fi
		fi
	done
}
