# shellcheck shell=sh
# A machine restored from its saved state continues as if nothing had happened, but vboxsf's open files are dead, or have
# become other files. The canary is the one file kept open to notice that: it is changed by name, so that the kernel drops what
# it has cached, then read by its handle.
#
# Descriptor 9 is the canary's. It is never closed after a restore: the host would close another file.

CANARY_LINE=16         # bytes read at each look
CANARY_LINES=4096      # looks until the file is opened again
: "${CANARY_FILE:=}"   # its path; these are set in the shell that made it and in its children
: "${CANARY_TEXT:=}"   # a line of it, without its end; empty without a canary
: "${CANARY_OPENED:=}" # restores noticed before this shell's descriptor 9 was opened

# canary_start: makes the file and opens it for this shell and its children. Fails on a full disk; then restores go unnoticed.
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

# canary_lines: prints the file's content.
canary_lines() {
	awk -v text="$CANARY_TEXT" -v lines="$CANARY_LINES" 'BEGIN { for (i = 0; i < lines; i++) print text }'
}

# canary_open: opens the file; children of this shell inherit it.
canary_open() {
	if [ ! -f "$CANARY_FILE" ]; then
		CANARY_TEXT=
		return 1
	fi
	exec 9<"$CANARY_FILE"
	CANARY_OPENED=$(canary_restores)
	export CANARY_FILE CANARY_TEXT CANARY_OPENED
}

# canary_look: looks once. On a restored machine it logs and counts the restore and kills the programs that have files of the
# host open, unless another shell of this machine has done so since this one opened the file.
canary_look() {
	[ -n "$CANARY_TEXT" ] || return 0
	if [ "$(canary_position)" -ge "$((CANARY_LINE * CANARY_LINES))" ]; then
		exec 9<&- # it was good at the previous look
		canary_open || return 0
	fi
	share_overwrite "$CANARY_FILE" "$CANARY_TEXT" "$CANARY_LINE" || :
	stat "$CANARY_FILE" >/dev/null 2>&1 # makes the kernel ask the host when it changed
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

# canary_died: handles a restore; see canary_look.
canary_died() {
	canary_hold </dev/null >/dev/null 2>&1 &
	if [ "$(canary_restores)" -ne "$CANARY_OPENED" ]; then
		canary_open || :
		return
	fi
	printf '%s\n' "$((CANARY_OPENED + 1))" >"$B2D_RUN/restores"
	canary_end_writers
	canary_open || :
	log boot 'this machine was restored from its saved state: files on the host are opened again'
}

# canary_hold: keeps descriptor 9 open as long as the machine runs, even when the job's processes are killed.
canary_hold() {
	trap - EXIT HUP INT TERM
	if command -v setsid >/dev/null 2>&1; then
		exec setsid sleep 2147483647
	fi
	exec sleep 2147483647
}

# canary_restores: prints how many restores were noticed since the machine started.
canary_restores() {
	canary_count=0
	{ read -r canary_count <"$B2D_RUN/restores"; } 2>/dev/null || canary_count=0
	printf '%s\n' "${canary_count:-0}"
}

# canary_end_writers: kills every process that has a file of the host open, other than the canary. A process that was writing
# would go on for ever, into whatever file gets its handle next.
canary_end_writers() {
	canary_writers >"$B2D_RUN/writers"
	[ -s "$B2D_RUN/writers" ] || return 0
	sleep 1 # a shell that is overwriting a file in place is done by then
	canary_writers | grep -xF -f "$B2D_RUN/writers" | while read -r canary_pid; do
		kill -s KILL "$canary_pid" 2>/dev/null
	done
}

# canary_writers: prints these processes' numbers.
canary_writers() {
	# shellcheck disable=SC2012 # ls resolves all descriptors in one process
	ls -l "$B2D_PROC"/[0-9]*/fd 2>/dev/null | awk -v share="$B2D_SHARE/" -v scratch="$B2D_SCRATCH/" -v canary="$CANARY_FILE" '
		/^\/.*\/fd:$/ { pid = $0; sub(/\/fd:$/, "", pid); sub(/.*\//, "", pid) }
		{ at = index($0, " -> "); to = at ? substr($0, at + 4) : "" }
		to != canary && to != canary " (deleted)" && (index(to, share) == 1 || index(to, scratch) == 1) && !seen[pid]++ { print pid }'
}
