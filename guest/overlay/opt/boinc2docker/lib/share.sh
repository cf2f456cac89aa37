# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# How files on the host are used. The rules are vboxsf's, which is the strictest file system a host can be reached by:
#
#   * A refused write (full disk, dead handle) is repeated by the kernel for ever. So a write is made by a program under a
#     limit, after a look at the free space; or in place over bytes that are there already, which no full disk refuses.
#   * A machine restored from its saved state has lost all open files, or has other files under their handles. So no file
#     stays open for more than a moment: large ones are copied in pieces.
#   * On Windows a file that somebody has open (a scanner, an indexer) cannot be renamed or replaced. So a rename is tried
#     again for a minute.
#   * Modes mean nothing to the machine and something on the host, so they are never changed.

SHARE_SLACK_KB=256 # what large files leave free, for the small ones: heartbeat, report
SHARE_SMALL=98304  # bytes: no small file is larger

# share_free_kb PATH: prints how many KB can be written to the host's disk where PATH is; fails if that cannot be told.
share_free_kb() {
	share_free=$(df -Pk "$1" 2>/dev/null | awk 'NR == 2 { print $4 }')
	case $share_free in '' | *[!0-9]*) return 1 ;; esac
	printf '%s\n' "$share_free"
}

# share_room PATH BYTES [KB]: is there room for BYTES more where PATH is, and for KB (SHARE_SLACK_KB) after them? Yes if it
# cannot be told.
share_room() {
	share_free=$(share_free_kb "$1") || return 0
	[ "$share_free" -ge "$(($2 / 1024 + ${3:-$SHARE_SLACK_KB}))" ]
}

# share_write FILE: makes FILE of stdin, for small files. Fails, perhaps with a part of it written, if the host does not
# take it.
share_write() {
	share_room "${1%/*}" "$SHARE_SMALL" 0 || return 1
	limit "$B2D_SHARE_SECONDS" dd of="$1" bs=65536 2>/dev/null
}

# share_append FILE: adds stdin to FILE; as share_write.
share_append() {
	share_room "${1%/*}" "$B2D_CHUNK_BYTES" || return 1
	# shellcheck disable=SC2016 # expanded by the inner shell
	limit "$B2D_SHARE_SECONDS" sh -c 'exec cat >>"$1"' sh "$1" 2>/dev/null
}

# share_reserve FILE BYTES: sees to it that FILE has at least BYTES bytes, to be overwritten in place. A link, or whatever
# else stands under that name, goes.
share_reserve() {
	if [ -L "$1" ] || [ ! -f "$1" ]; then
		rm -rf "$1" || return 1
	fi
	share_has=$(bytes_of "$1") || share_has=0
	[ "${share_has:-0}" -lt "$2" ] || return 0
	head -c "$2" /dev/zero | tr '\000' ' ' | share_write "$1"
}

# share_overwrite FILE TEXT BYTES: writes TEXT as one line of BYTES bytes over the beginning of FILE, if that is a file with
# something in it: an empty one was left by a write that hung and was ended. Nothing is allocated and no program is started,
# so this works on a full disk, at every beat.
share_overwrite() {
	[ -f "$1" ] && [ -s "$1" ] && [ ! -L "$1" ] && { printf "%-$(($3 - 1))s\n" "$2" 1<>"$1"; } 2>/dev/null
}

# share_move SOURCE TARGET: renames, and replaces. Tries for B2D_MOVE_SECONDS while SOURCE is there.
share_move() {
	[ ! -d "$2" ] || rm -rf "$2" # mv would put it inside, also where a link leads
	share_tries=$B2D_MOVE_SECONDS
	until mv -f "$1" "$2" 2>/dev/null; do
		[ -e "$1" ] || [ -L "$1" ] || return 1
		share_tries=$((share_tries - 1))
		[ "$share_tries" -gt 0 ] || return 1
		sleep 1
	done
}

# share_copy SOURCE TARGET [verify]: copies one file, to or from the host, piece by piece; with "verify" every piece is read
# back and compared. TARGET must not be in use. Restores of the machine meanwhile are the caller's to notice. Fails with SHARE_ERROR; what is there of TARGET then is no copy.
share_copy() {
	SHARE_ERROR=
	share_bytes=$(bytes_of "$1") || {
		SHARE_ERROR="${1##*/} cannot be read"
		return 1
	}
	rm -rf "$2"
	if [ "$share_bytes" -eq 0 ]; then
		share_write "$2" </dev/null && return 0
		SHARE_ERROR="${2##*/} cannot be written"
		return 1
	fi
	share_pieces=$(((share_bytes + B2D_PIECE_MB * 1048576 - 1) / (B2D_PIECE_MB * 1048576))) share_piece=0
	while [ "$share_piece" -lt "$share_pieces" ]; do
		share_copy_piece "$@" || return 1
		share_piece=$((share_piece + 1))
	done
	[ "$(bytes_of "$2")" = "$share_bytes" ] && return 0
	SHARE_ERROR="${2##*/} has $(bytes_of "$2") bytes instead of $share_bytes"
	return 1
}

# share_copy_piece SOURCE TARGET [verify]: piece number $share_piece.
share_copy_piece() {
	share_at=$((share_piece * B2D_PIECE_MB))
	share_left=$((share_bytes - share_at * 1048576))
	[ "$share_left" -le "$((B2D_PIECE_MB * 1048576))" ] || share_left=$((B2D_PIECE_MB * 1048576))
	if ! share_room "${2%/*}" "$share_left"; then
		SHARE_ERROR="there is no room for ${2##*/}"
		return 1
	fi
	limit "$B2D_SHARE_SECONDS" dd if="$1" of="$2" bs=1048576 count="$B2D_PIECE_MB" skip="$share_at" seek="$share_at" \
		conv=notrunc 2>"$B2D_RUN/share.errors" || {
		SHARE_ERROR="${2##*/} cannot be written: $(tail -n 1 "$B2D_RUN/share.errors" | cut -c 1-200)"
		return 1
	}
	[ "${3:-}" = verify ] || return 0
	[ "$(share_piece_digest "$1")" = "$(share_piece_digest "$2")" ] && return 0
	SHARE_ERROR="${2##*/} does not hold what was written"
	return 1
}

# share_piece_digest FILE: prints a digest of piece number $share_piece.
share_piece_digest() {
	dd if="$1" bs=1048576 count="$B2D_PIECE_MB" skip="$share_at" 2>/dev/null | sha256sum
}
