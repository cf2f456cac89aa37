# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# How files on the host are used. The rules are those of vboxsf, the strictest file system that leads to a host:
#
#   * The kernel retries a refused write (full disk, dead handle) for ever. So a program under a limit makes each write, after
#     a look at the free space; or the write goes over existing bytes, which no full disk refuses.
#   * A machine restored from its saved state has lost all open files, or their handles lead to other files. So no file stays
#     open for more than a moment: large ones are copied in pieces.
#   * On Windows a file that another program has open (a scanner, an indexer) cannot be renamed or replaced. So a rename is
#     retried for a minute.
#   * Modes mean nothing to the machine but something to the host, so they are never changed.

SHARE_SLACK_KB=256 # left free by large files, for the small ones: heartbeat, report
SHARE_SMALL=98304  # bytes: no small file is larger

# share_free_kb PATH: prints how many KB can be written to the host's disk where PATH is; fails if that cannot be told.
share_free_kb() {
	share_free=$(df -Pk "$1" 2>/dev/null | awk 'NR == 2 { print $4 }')
	case $share_free in '' | *[!0-9]*) return 1 ;; esac
	printf '%s\n' "$share_free"
}

# share_room PATH BYTES [KB]: is there room for BYTES more where PATH is, with KB (SHARE_SLACK_KB) left over? Yes, if that
# cannot be told.
share_room() {
	share_free=$(share_free_kb "$1") || return 0
	[ "$share_free" -ge "$(($2 / 1024 + ${3:-$SHARE_SLACK_KB}))" ]
}

# share_write FILE: writes stdin to FILE, a small file. Fails, perhaps after writing a part of it, if the host does not accept
# it.
share_write() {
	share_room "${1%/*}" "$SHARE_SMALL" 0 || return 1
	limit "$B2D_SHARE_SECONDS" dd of="$1" bs=65536 2>/dev/null
}

# share_append FILE: appends stdin to FILE; fails as share_write does.
share_append() {
	share_room "${1%/*}" "$B2D_CHUNK_BYTES" || return 1
	# shellcheck disable=SC2016 # expanded by the inner shell
	limit "$B2D_SHARE_SECONDS" sh -c 'exec cat >>"$1"' sh "$1" 2>/dev/null
}

# share_reserve FILE BYTES: makes sure that FILE has at least BYTES bytes, to be overwritten in place. Replaces a link, or
# whatever else has that name.
share_reserve() {
	if [ -L "$1" ] || [ ! -f "$1" ]; then
		rm -rf "$1" || return 1
	fi
	share_has=$(bytes_of "$1") || share_has=0
	[ "${share_has:-0}" -lt "$2" ] || return 0
	head -c "$2" /dev/zero | tr '\000' ' ' | share_write "$1"
}

# share_overwrite FILE TEXT BYTES: writes TEXT as one line of BYTES bytes over the beginning of FILE. Fails if that is no file,
# or an empty one, which a write left that hung and was killed. Allocates nothing and starts no program, so that it works on a
# full disk, at every beat.
share_overwrite() {
	[ -f "$1" ] && [ -s "$1" ] && [ ! -L "$1" ] && { printf "%-$(($3 - 1))s\n" "$2" 1<>"$1"; } 2>/dev/null
}

# share_move SOURCE TARGET: renames SOURCE, replacing TARGET. Retries for B2D_MOVE_SECONDS as long as SOURCE exists.
share_move() {
	[ ! -d "$2" ] || rm -rf "$2" # mv would move into it, or into a link's target
	share_tries=$B2D_MOVE_SECONDS
	until mv -f "$1" "$2" 2>/dev/null; do
		[ -e "$1" ] || [ -L "$1" ] || return 1
		share_tries=$((share_tries - 1))
		[ "$share_tries" -gt 0 ] || return 1
		sleep 1
	done
}

# share_copy SOURCE TARGET [verify]: copies one file, to or from the host, piece by piece; with "verify" it reads every piece
# back and compares. TARGET must not be in use. The caller must notice whether the machine was restored meanwhile. Fails with
# SHARE_ERROR; TARGET is then no copy.
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

# share_copy_piece SOURCE TARGET [verify]: copies piece number $share_piece.
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
