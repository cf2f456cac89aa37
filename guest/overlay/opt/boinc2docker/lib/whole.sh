# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154 # variables of fetch.sh, and for it
# Servers without ranges: all of a layer comes in one answer, which is written to the store as it comes.
#
# A login page or a proxy's message looks like such a server. So a server counts as one only after two answers of the layer's
# length, and what came before is kept until more has come this way.

# whole_answer BYTES CURL-STATUS GOT ASKED: we asked for ASKED of the layer's BYTES; a whole answer came, GOT bytes of it.
# FETCH_NO_RANGES: it is the layer, by its announced length, or by how much came if none was announced; FETCH_AGAIN: it is a
# login page or a proxy's message.
whole_answer() {
	whole_status=$FETCH_AGAIN
	if [ "${REGISTRY_LENGTH:-none}" = "$1" ]; then
		whole_status=$FETCH_NO_RANGES
	elif [ -z "$REGISTRY_LENGTH" ] && { [ "$2" -eq "$CURL_LARGE" ] || [ "$3" -ge "$4" ]; }; then
		whole_status=$FETCH_NO_RANGES
	else
		# An empty answer may be from a proxy whose connection to the server then broke.
		case "$2 $3" in
		"$CURL_DONE "* | "$CURL_LARGE "* | *' '[1-9]*) FETCH_REASON="${REGISTRY_LENGTH:-$3} bytes came instead of a part of the layer" ;;
		esac
	fi
	return "$whole_status"
}

# whole_fetch URL TOKEN-URL HAVE BYTES: fetches all of a layer from a server without ranges, into a file beside the HAVE bytes
# that came before; keeps the longer one. Returns as fetch_chunk does.
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
	FETCH_BEFORE=$FETCH_BYTES # the next attempt would start again, so a failed one is no progress
	case $whole_stop in
	lost) return "$FETCH_LOST" ;;
	gone)
		part_gone
		return
		;;
	full)
		FETCH_ERROR='it cannot be written (full?)'
		return "$FETCH_FULL"
		;;
	restored) whole_curl=$CURL_WRITE FETCH_REASON='the machine was restored from its saved state' ;;
	esac
	if [ "$whole_curl" -eq "$CURL_LARGE" ] || [ "$whole_got" -gt "$4" ]; then
		part_drop "$FETCH_BESIDE"
		FETCH_REASON="more than $4 bytes"
		return "$FETCH_NEVER"
	fi
	if [ "$whole_curl" -eq "$CURL_DONE" ] && [ "$whole_got" -lt "$4" ]; then
		part_drop "$FETCH_BESIDE"
		FETCH_RANGES=yes FETCH_DOUBTS=0 # perhaps the server has ranges after all
		FETCH_REASON="$whole_got of $4 bytes came"
		return "$FETCH_AGAIN"
	fi
	if [ "$(bytes_of "$FETCH_BESIDE" || echo 0)" -gt "$3" ]; then
		share_move "$FETCH_BESIDE" "$FETCH_PART" || {
			FETCH_ERROR='a layer cannot be renamed'
			return "$FETCH_FULL"
		}
	else
		part_drop "$FETCH_BESIDE"
	fi
	[ "$whole_curl" -eq "$CURL_DONE" ] || return "$FETCH_AGAIN"
	return "$FETCH_DONE"
}

# whole_stream BYTES: writes stdin to $FETCH_BESIDE, chunk by chunk, as long as this machine holds the lock. Notes in
# $B2D_RUN/stream how many bytes came and why it stopped: "", more (than BYTES), lost (the lock), gone (the file), full (the
# disk) or restored (the machine).
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
			"$FETCH_DONE") ;;
			"$FETCH_AGAIN") whole_stop=restored ;;
			"$FETCH_LOST") whole_stop=lost ;;
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
