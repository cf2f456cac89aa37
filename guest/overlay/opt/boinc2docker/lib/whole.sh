# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # variables of fetch.sh, and for it
# Servers without ranges: all of a layer in one answer, written to the store while it comes.
#
# A login page or a proxy's word looks like such a server. So it is believed only when the length is the layer's, twice; and
# what has come before stays until more has come this way.

# whole_answer BYTES: a part was asked for, and a whole answer came. 5: it is the layer, of BYTES, by what it says of its
# length, or by how much came if it says nothing; 2: it is a login page or the word of a proxy.
whole_answer() {
	whole_status=2
	if [ "${REGISTRY_LENGTH:-none}" = "$1" ]; then
		whole_status=5
	elif [ -z "$REGISTRY_LENGTH" ] && { [ "$fetch_curl" -eq 63 ] || [ "$fetch_got" -ge "$fetch_size" ]; }; then
		whole_status=5
	else
		# Without a byte it may be a proxy's, whose connection to the server broke then.
		case "$fetch_curl $fetch_got" in
		'0 '* | '63 '* | *' '[1-9]*) FETCH_REASON="${REGISTRY_LENGTH:-$fetch_got} bytes came instead of a part of the layer" ;;
		esac
	fi
	return "$whole_status"
}

# whole_fetch URL BYTES: all of a layer from a server that has no ranges, beside what has come before; the longer of both is
# kept. 0-4 as in fetch_chunk.
whole_fetch() {
	registry_get "$1" "$fetch_token" - "$2"
	fetch_curl=$?
	FETCH_REASON=$REGISTRY_ERROR
	read -r fetch_got fetch_stop <"$B2D_RUN/stream"
	if [ "$REGISTRY_STATUS" -ne 200 ]; then
		fetch_drop "$fetch_beside" # an error's page
		[ "$REGISTRY_STATUS" -ne 206 ] || REGISTRY_STATUS=502
		fetch_judge
		return
	fi
	FETCH_BYTES=$((FETCH_BYTES + fetch_got))
	fetch_before=$FETCH_BYTES # if it fails, the next attempt begins anew: this one was no step forward
	case $fetch_stop in
	lost) return 3 ;;
	gone)
		fetch_gone
		return
		;;
	full)
		FETCH_ERROR='it cannot be written (full?)'
		return 4
		;;
	restored) fetch_curl=23 FETCH_REASON='the machine was restored from its saved state' ;;
	esac
	if [ "$fetch_curl" -eq 63 ] || [ "$fetch_got" -gt "$2" ]; then
		fetch_drop "$fetch_beside"
		FETCH_REASON="more than $2 bytes"
		return 1
	fi
	if [ "$fetch_curl" -eq 0 ] && [ "$fetch_got" -lt "$2" ]; then
		fetch_drop "$fetch_beside"
		fetch_ranges=yes fetch_doubts=0 # perhaps it was believed too early
		FETCH_REASON="$fetch_got of $2 bytes came"
		return 2
	fi
	if [ "$(file_bytes "$fetch_beside" || echo 0)" -gt "$fetch_have" ]; then
		share_move "$fetch_beside" "$fetch_part" || {
			FETCH_ERROR='a layer cannot be renamed'
			return 4
		}
	else
		fetch_drop "$fetch_beside"
	fi
	[ "$fetch_curl" -eq 0 ] || return 2
}

# whole_stream BYTES: makes $fetch_beside of stdin, chunk by chunk, as long as the lock is held. Says in $B2D_RUN/stream how
# many bytes came and why it stopped: "", more (than BYTES), lost (the lock), gone (what had come), full (the disk) or
# restored (the machine).
whole_stream() {
	fetch_flag=iflag=fullblock # without it (an old busybox) a chunk is what one read gives
	dd if=/dev/null of=/dev/null count=0 "$fetch_flag" 2>/dev/null || fetch_flag=conv=notrunc
	fetch_got=0 fetch_stop=
	fetch_drop "$fetch_beside"
	while [ -z "$fetch_stop" ]; do
		dd bs="$B2D_CHUNK_BYTES" count=1 "$fetch_flag" 2>/dev/null >"$B2D_RUN/chunk" || fetch_stop=full
		[ -s "$B2D_RUN/chunk" ] || break
		store_point append
		if ! lock_held; then
			fetch_stop=lost
		elif [ "$fetch_got" -gt 0 ] && [ ! -f "$fetch_beside" ]; then
			fetch_stop=gone
		else
			fetch_append "$fetch_beside" "$fetch_got"
			case $? in
			0) ;;
			2) fetch_stop=restored ;;
			3) fetch_stop=lost ;;
			*) fetch_stop=full ;;
			esac
		fi
		fetch_got=$((fetch_got + $(file_bytes "$B2D_RUN/chunk")))
		if [ -z "$fetch_stop" ]; then
			if [ "$fetch_got" -gt "$1" ]; then fetch_stop='more'; else gather_tell "$fetch_got"; fi
		fi
		store_point appended
	done
	rm -f "$B2D_RUN/chunk"
	printf '%s %s\n' "$fetch_got" "$fetch_stop" >"$B2D_RUN/stream"
}
