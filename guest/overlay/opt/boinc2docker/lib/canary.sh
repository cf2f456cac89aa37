# shellcheck shell=sh
# A machine restored from its saved state goes on as if nothing had happened, but vboxsf's open files are dead, or are other
# files by now. The canary is the one file that is kept open to notice that: it is changed by its name, so that the kernel
# drops what it has cached, then read by its handle.
#
# Descriptor 9 is the canary's. It is never closed after a restore: the host would take that as the end of another file.

CANARY_LINE=16         # bytes read at each look
CANARY_LINES=4096      # looks until the file is opened anew
: "${CANARY_FILE:=}"   # its path; these are set in the shell that has made it and in its children
: "${CANARY_TEXT:=}"   # a line of it, without its end; empty without a canary
: "${CANARY_OPENED:=}" # how many restores had been noticed when this shell's descriptor 9 was opened

# canary_start: makes the file and opens it for this shell and its children. Without it (a full disk) nothing is noticed.
canary_start() {
	[ ! -L "$B2D_SHARE/.boinc2docker" ] || rm -f "$B2D_SHARE/.boinc2docker"
	mkdir -p "$B2D_SHARE/.boinc2docker" 2>/dev/null || :
	CANARY_FILE=$B2D_SHARE/.boinc2docker/canary
	CANARY_TEXT=$(head -c 8 /dev/urandom | od -An -tx1 | tr -dc '0-9a-f' | head -c 15)
	[ "${#CANARY_TEXT}" -eq 15 ] && rm -rf "$CANARY_FILE" &&
		canary_lines | share_write "$CANARY_FILE" && canary_open && return 0
	CANARY_TEXT=
	return 1
}

# canary_lines: prints what the file holds.
canary_lines() {
	awk -v text="$CANARY_TEXT" -v lines="$CANARY_LINES" 'BEGIN { for (i = 0; i < lines; i++) print text }'
}

# canary_open: opens it; children of this shell inherit it.
canary_open() {
	if [ ! -f "$CANARY_FILE" ]; then
		CANARY_TEXT=
		return 1
	fi
	exec 9<"$CANARY_FILE"
	CANARY_OPENED=$(canary_restores)
	export CANARY_FILE CANARY_TEXT CANARY_OPENED
}

# canary_look: one look. On a restored machine: says so, ends the programs that have files of the host open, and counts,
# unless another shell of this machine has done that since this one opened the file.
canary_look() {
	[ -n "$CANARY_TEXT" ] || return 0
	if [ "$(canary_position)" -ge "$((CANARY_LINE * CANARY_LINES))" ]; then
		exec 9<&- # known to be good at the look before this one
		canary_open || return 0
	fi
	share_overwrite "$CANARY_FILE" "$CANARY_TEXT" "$CANARY_LINE" || :
	stat "$CANARY_FILE" >/dev/null 2>&1 # asks the host for the time of the change
	canary_seen=$(limit "$B2D_SHARE_SECONDS" dd bs="$CANARY_LINE" count=1 <&9 2>/dev/null) || canary_seen=failed
	[ "$canary_seen" = "$CANARY_TEXT" ] || canary_died
}

# canary_position: prints how far descriptor 9 has been read.
canary_position() {
	canary_at=0
	while read -r canary_key canary_value; do
		[ "$canary_key" != pos: ] || canary_at=$canary_value
	done 2>/dev/null </proc/self/fdinfo/9
	printf '%s\n' "$canary_at"
}

# canary_died: see canary_look.
canary_died() {
	canary_hold </dev/null >/dev/null 2>&1 &
	if [ "$(canary_restores)" -ne "$CANARY_OPENED" ]; then
		canary_open || :
		return
	fi
	printf '%s\n' "$((CANARY_OPENED + 1))" >"$B2D_RUN/restores"
	canary_end_writers
	canary_open || :
	log boot 'this machine was restored from its saved state: files of the host are opened anew'
}

# canary_hold: keeps descriptor 9 open as long as the machine runs, also when the job's processes are ended.
canary_hold() {
	trap - EXIT HUP INT TERM
	if command -v setsid >/dev/null 2>&1; then
		exec setsid sleep 2147483647
	fi
	exec sleep 2147483647
}

# canary_restores: prints how often this was noticed since this machine's start.
canary_restores() {
	canary_count=0
	{ read -r canary_count <"$B2D_RUN/restores"; } 2>/dev/null || canary_count=0
	printf '%s\n' "${canary_count:-0}"
}

# canary_end_writers: SIGKILL to every process that has a file of the host open, but for the canary. One that was writing
# would write for ever, into whatever file gets its handle next.
canary_end_writers() {
	canary_writers >"$B2D_RUN/writers"
	[ -s "$B2D_RUN/writers" ] || return 0
	sleep 1 # a shell that just rewrites a file in place is done by then
	canary_writers | grep -xF -f "$B2D_RUN/writers" | while read -r canary_pid; do
		kill -s KILL "$canary_pid" 2>/dev/null
	done
}

# canary_writers: prints the numbers of these processes.
canary_writers() {
	# shellcheck disable=SC2012 # ls tells where all descriptors lead, in one process
	ls -l "$B2D_PROC"/[0-9]*/fd 2>/dev/null | awk -v share="$B2D_SHARE/" -v scratch="$B2D_SCRATCH/" -v canary="$CANARY_FILE" '
		/^\/.*\/fd:$/ { pid = $0; sub(/\/fd:$/, "", pid); sub(/.*\//, "", pid) }
		{ at = index($0, " -> "); to = at ? substr($0, at + 4) : "" }
		to != canary && to != canary " (deleted)" && (index(to, share) == 1 || index(to, scratch) == 1) && !seen[pid]++ { print pid }'
}
