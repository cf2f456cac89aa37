# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# The file in which a layer grows, chunk by chunk. Each chunk is in this machine's memory ($B2D_RUN/chunk) before it is added.

PART_BYTES=0 # size of the chunk that part_append took last

# part_append FILE BYTES: adds the chunk that is in memory to FILE, which has BYTES bytes. Sets PART_BYTES to the chunk's size.
# Returns FETCH_DONE, FETCH_LOST, FETCH_FULL or, if the machine was restored from its saved state meanwhile, FETCH_AGAIN; after
# a failure FILE is as it was, or gone.
part_append() {
	PART_BYTES=$(bytes_of "$B2D_RUN/chunk")
	part_since=$(canary_restores)
	share_append "$1" <"$B2D_RUN/chunk" && [ "$(bytes_of "$1")" = "$(($2 + PART_BYTES))" ] && return "$FETCH_DONE"
	part_cut "$1" "$2"
	lock_held || return "$FETCH_LOST"
	canary_look
	if [ "$(canary_restores)" != "$part_since" ]; then
		FETCH_REASON='the machine was restored from its saved state'
		return "$FETCH_AGAIN"
	fi
	FETCH_ERROR='it cannot be written (full?)'
	return "$FETCH_FULL"
}

# part_cut FILE BYTES: cuts FILE to the BYTES that it had before the chunk; removes it if it has fewer.
part_cut() {
	part_there=$(bytes_of "$1") || part_there=0
	if [ "$2" -gt 0 ] && [ "${part_there:-0}" -ge "$2" ] && ! part_anew "$1"; then
		[ "$part_there" -gt "$2" ] || return 0
		limit "$B2D_SHARE_SECONDS" dd if=/dev/null of="$1" bs=1 seek="$2" 2>/dev/null &&
			[ "$(bytes_of "$1")" = "$2" ] && return 0
	fi
	part_drop "$1"
}

# part_anew FILE: does it hold only the chunk, after somebody removed it? A machine that slept may find that.
part_anew() {
	[ "$part_there" -le "$PART_BYTES" ] && head -c "$part_there" "$B2D_RUN/chunk" | cmp -s - "$1"
}

# part_drop FILE: removes it, or empties it if another program on Windows has it open.
part_drop() {
	rm -f "$1" 2>/dev/null || limit "$B2D_SHARE_SECONDS" dd if=/dev/null of="$1" 2>/dev/null
}

# part_gone: another machine removed what had come, to keep the budget: this one stood still so long that it seemed dead.
# Returns FETCH_LOST or FETCH_AGAIN.
part_gone() {
	lock_held || return "$FETCH_LOST"
	FETCH_REASON='the partial download was removed while this machine stood still'
	return "$FETCH_AGAIN"
}
