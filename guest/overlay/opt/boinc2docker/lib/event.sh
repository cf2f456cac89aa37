# shellcheck shell=sh
# Events about long work on layers: what is going on, told now and then by another process (beat.sh).

# event_digest HEX: prints a layer's digest as events show it.
event_digest() {
	printf 'sha256:%.12s' "$1"
}

# event_doing TEXT [FILE]: notes the work that has begun; FILE grows meanwhile.
event_doing() {
	printf '%s\n%s\n' "$1" "${2-}" >"$B2D_RUN/store-doing"
}

# event_done: that work is over.
event_done() {
	rm -f "$B2D_RUN/store-doing"
}

# event_tell: logs what is still going on, if anything is.
event_tell() {
	[ -f "$B2D_RUN/store-doing" ] || return 0
	{ read -r event_text && read -r event_file; } <"$B2D_RUN/store-doing" || return 0
	if [ -n "$event_file" ] && [ -f "$event_file" ]; then
		event_text="$event_text, $(bytes_mb "$(bytes_of "$event_file")") so far"
	fi
	log store "still $event_text"
}
