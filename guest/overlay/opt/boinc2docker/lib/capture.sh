# shellcheck shell=sh
# Keeping a job's output, however much it is: the first and the last B2D_OUTPUT_BYTES of each stream.

# capture NAME DIRECTORY: reads stdin to its end into DIRECTORY/NAME.txt. The first byte of any stream is marked.
capture() {
	trap '' HUP INT
	capture_file=$2/$1.txt
	# One read, however short: the first output is wanted now, not when a buffer is full.
	dd bs=4096 count=1 2>/dev/null >"$capture_file"
	[ ! -s "$capture_file" ] || ! mkdir "$2/first-output" 2>/dev/null || log_mark first-output
	capture_head >>"$capture_file"
	# One byte more than is kept tells whether something was cut. What tail has seen is lost if it is killed, so it is not.
	tail -c "$((B2D_OUTPUT_BYTES + 1))" >"$2/$1.tail"
	if [ "$(bytes_of "$2/$1.tail")" -gt "$B2D_OUTPUT_BYTES" ]; then
		printf '\n[boinc2docker: the output was cut here; this is its end:]\n' >>"$capture_file"
		tail -c "$B2D_OUTPUT_BYTES" "$2/$1.tail" >>"$capture_file"
	else
		cat "$2/$1.tail" >>"$capture_file"
	fi
	rm -f "$2/$1.tail"
}

# capture_head: copies B2D_OUTPUT_BYTES from stdin and not a byte more is taken from it. Where dd cannot fill its blocks
# (an old busybox) a block may be short, so less is copied; nothing is lost.
capture_head() {
	if dd if=/dev/null of=/dev/null count=0 iflag=fullblock 2>/dev/null; then
		dd bs=65536 count="$((B2D_OUTPUT_BYTES / 65536))" iflag=fullblock 2>/dev/null
	else
		dd bs=4096 count="$((B2D_OUTPUT_BYTES / 4096))" 2>/dev/null
	fi
}
