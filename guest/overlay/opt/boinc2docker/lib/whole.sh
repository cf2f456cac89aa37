# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # variables of fetch.sh, and for it
# Servers without ranges: all of a layer in one answer, written to the store while it comes.
#
# A login page or a proxy's word looks like such a server. So it is believed only when the length is the layer's, twice; and
# what has come before stays until more has come this way.

# whole_answer BYTES CURL-STATUS GOT ASKED: a part of ASKED bytes was asked for, and a whole answer came. 5: it is the layer, of BYTES, by what it says of its
# length, or by how much came if it says nothing; 2: it is a login page or the word of a proxy.
whole_answer() {
	whole_status=2
	if [ "${REGISTRY_LENGTH:-none}" = "$1" ]; then
		whole_status=5
	elif [ -z "$REGISTRY_LENGTH" ] && { [ "$2" -eq 63 ] || [ "$3" -ge "$4" ]; }; then
		whole_status=5
	else
		# Without a byte it may be a proxy's, whose connection to the server broke then.
		case "$2 $3" in
		'0 '* | '63 '* | *' '[1-9]*) FETCH_REASON="${REGISTRY_LENGTH:-$3} bytes came instead of a part of the layer" ;;
		esac
	fi
	return "$whole_status"
}

# whole_fetch URL TOKEN-URL HAVE BYTES: all of a layer from a server that has no ranges, beside what has come before; the longer of both is
# kept. 0-4 as in fetch_chunk.
whole_fetch() {
	registry_get "$1" "$2" "|whole_stream" "$4"
	whole_curl=$?
	FETCH_REASON=$REGISTRY_ERROR
	read -r whole_got whole_stop <"$B2D_RUN/stream"
	if [ "$REGISTRY_STATUS" -ne 200 ]; then
		part_drop "$FETCH_BESIDE" # an error's page
		[ "$REGISTRY_STATUS" -ne 206 ] || REGISTRY_STATUS=502
		registry_judge "$whole_curl"
		return
	fi
	FETCH_BYTES=$((FETCH_BYTES + whole_got))
	FETCH_BEFORE=$FETCH_BYTES # if it fails, the next attempt begins anew: this one was no step forward
	case $whole_stop in
	lost) return 3 ;;
	gone)
		part_gone
		return
		;;
	full)
		FETCH_ERROR='it cannot be written (full?)'
		return 4
		;;
	restored) whole_curl=23 FETCH_REASON='the machine was restored from its saved state' ;;
	esac
	if [ "$whole_curl" -eq 63 ] || [ "$whole_got" -gt "$4" ]; then
		part_drop "$FETCH_BESIDE"
		FETCH_REASON="more than $4 bytes"
		return 1
	fi
	if [ "$whole_curl" -eq 0 ] && [ "$whole_got" -lt "$4" ]; then
		part_drop "$FETCH_BESIDE"
		FETCH_RANGES=yes FETCH_DOUBTS=0 # perhaps it was believed too early
		FETCH_REASON="$whole_got of $4 bytes came"
		return 2
	fi
	if [ "$(bytes_of "$FETCH_BESIDE" || echo 0)" -gt "$3" ]; then
		share_move "$FETCH_BESIDE" "$FETCH_PART" || {
			FETCH_ERROR='a layer cannot be renamed'
			return 4
		}
	else
		part_drop "$FETCH_BESIDE"
	fi
	[ "$whole_curl" -eq 0 ] || return 2
}

# whole_stream BYTES: makes $FETCH_BESIDE of stdin, chunk by chunk, as long as the lock is held. Says in $B2D_RUN/stream how
# many bytes came and why it stopped: "", more (than BYTES), lost (the lock), gone (what had come), full (the disk) or
# restored (the machine).
whole_stream() {
	whole_flag=iflag=fullblock # without it (an old busybox) a chunk is what one read gives
	dd if=/dev/null of=/dev/null count=0 "$whole_flag" 2>/dev/null || whole_flag=conv=notrunc
	whole_got=0 whole_stop=
	part_drop "$FETCH_BESIDE"
	while [ -z "$whole_stop" ]; do
		dd bs="$B2D_CHUNK_BYTES" count=1 "$whole_flag" 2>/dev/null >"$B2D_RUN/chunk" || whole_stop=full
		[ -s "$B2D_RUN/chunk" ] || break
		store_point append
		if ! lock_held; then
			whole_stop=lost
		elif [ "$whole_got" -gt 0 ] && [ ! -f "$FETCH_BESIDE" ]; then
			whole_stop=gone
		else
			part_append "$FETCH_BESIDE" "$whole_got"
			case $? in
			0) ;;
			2) whole_stop=restored ;;
			3) whole_stop=lost ;;
			*) whole_stop=full ;;
			esac
		fi
		whole_got=$((whole_got + $(bytes_of "$B2D_RUN/chunk")))
		if [ -z "$whole_stop" ]; then
			if [ "$whole_got" -gt "$1" ]; then whole_stop='more'; else progress_fetched "$whole_got"; fi
		fi
		store_point appended
	done
	rm -f "$B2D_RUN/chunk"
	printf '%s %s\n' "$whole_got" "$whole_stop" >"$B2D_RUN/stream"
}
