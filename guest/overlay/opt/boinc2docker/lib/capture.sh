# shellcheck shell=sh
# Keeping a job's output, however long: the first and the last B2D_OUTPUT_BYTES of each stream.

# capture NAME DIRECTORY: reads stdin to its end into DIRECTORY/NAME.txt. Marks the time of the first byte of any stream.
capture() {
	trap '' HUP INT
	capture_file=$2/$1.txt
	# One read, however short: the first output counts now, not when a buffer is full.
	dd bs=4096 count=1 2>/dev/null >"$capture_file"
	[ ! -s "$capture_file" ] || ! mkdir "$2/first-output" 2>/dev/null || log_mark first-output
	capture_head >>"$capture_file"
	# One byte more than is kept tells whether output was cut. tail is never killed: what it has read would be lost.
	tail -c "$((B2D_OUTPUT_BYTES + 1))" >"$2/$1.tail"
	if [ "$(bytes_of "$2/$1.tail")" -gt "$B2D_OUTPUT_BYTES" ]; then
		printf '\n[boinc2docker: the output was cut here; this is its end:]\n' >>"$capture_file"
		tail -c "$B2D_OUTPUT_BYTES" "$2/$1.tail" >>"$capture_file"
	else
		cat "$2/$1.tail" >>"$capture_file"
	fi
	rm -f "$2/$1.tail"
}

# capture_head: copies B2D_OUTPUT_BYTES from stdin and reads no byte more. Where dd cannot fill its blocks (an old busybox)
# blocks may be short, so it copies less; nothing is lost.
capture_head() {
	if dd if=/dev/null of=/dev/null count=0 iflag=fullblock 2>/dev/null; then
		dd bs=65536 count="$((B2D_OUTPUT_BYTES / 65536))" iflag=fullblock 2>/dev/null
	else
		dd bs=4096 count="$((B2D_OUTPUT_BYTES / 4096))" 2>/dev/null
	fi
}
