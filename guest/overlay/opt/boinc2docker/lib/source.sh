# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# Where the bytes of a layer come from. This file is the seam for the image store: it may fetch, verify and lock here.

# image_source DIGEST BYTES: sets SOURCE_FILE (the file with these bytes, as they are hashed) and SOURCE_KIND (for
# job.json). Fails, with the reason in SOURCE_ERROR, if they cannot be had. Sizes only: Docker verifies what it loads.
image_source() {
	SOURCE_FILE=$B2D_SHARED/image/${1#sha256:}
	SOURCE_KIND=shared
	SOURCE_ERROR=
	if [ ! -f "$SOURCE_FILE" ]; then
		SOURCE_ERROR="$1 is missing (expected as shared/image/${1#sha256:})"
		return 1
	fi
	source_bytes=$(file_bytes "$SOURCE_FILE") || source_bytes=unreadable
	if [ "$source_bytes" != "$2" ]; then
		SOURCE_ERROR="$1 has $source_bytes bytes instead of $2"
		return 1
	fi
}

# image_verify DIGEST FILE: do the file's bytes have this digest?
image_verify() {
	image_sum=$(sha256sum <"$2" 2>/dev/null) || return 1
	[ "sha256:${image_sum%% *}" = "$1" ]
}

# file_bytes FILE: prints its size.
file_bytes() {
	stat -c %s -- "$1" 2>/dev/null || wc -c 2>/dev/null <"$1"
}
