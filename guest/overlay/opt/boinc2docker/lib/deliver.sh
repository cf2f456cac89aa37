# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# Delivering a file to the host, where it appears whole or not at all.

# deliver SOURCE NAME [SECONDS]: copies a file of this machine's to $B2D_SHARE/NAME. Waits up to SECONDS (B2D_ROOM_SECONDS)
# for room. Fails with DELIVER_ERROR.
deliver() {
	deliver_part=$B2D_SHARE/$2.part
	deliver_wait=${3:-$B2D_ROOM_SECONDS} deliver_again=3
	while :; do
		deliver_before=$(canary_restores)
		if share_copy "$1" "$deliver_part" verify; then
			canary_look
			if [ "$(canary_restores)" = "$deliver_before" ]; then
				share_move "$deliver_part" "$B2D_SHARE/$2" && return 0
				SHARE_ERROR="$2 cannot be renamed into place"
			fi
		fi
		DELIVER_ERROR=$SHARE_ERROR
		rm -rf "$deliver_part"
		canary_look
		deliver_need=$(bytes_of "$1") || return 1
		if [ "$(canary_restores)" != "$deliver_before" ] || share_room "$B2D_SHARE" "$deliver_need"; then
			deliver_again=$((deliver_again - 1))
			[ "$deliver_again" -gt 0 ] || return 1
			sleep "$B2D_RETRY_SECONDS"
			continue
		fi
		DELIVER_ERROR="the host's disk is full: $2 needs $((deliver_need / 1000000 + 1)) MB"
		[ "$deliver_wait" -gt 0 ] || return 1
		[ "$deliver_wait" -ne "${3:-$B2D_ROOM_SECONDS}" ] || log results "$DELIVER_ERROR, waiting for room"
		sleep "$B2D_RETRY_SECONDS"
		deliver_wait=$((deliver_wait - 5))
	done
}
