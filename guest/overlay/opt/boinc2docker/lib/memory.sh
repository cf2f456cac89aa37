# shellcheck shell=sh
# How much of the machine's memory is in use.

# memory_sample: keeps the largest amount in use so far, in KB, in $B2D_RUN/memory-peak.
memory_sample() {
	memory_total=0 memory_free=0
	while read -r memory_key memory_value _; do
		case $memory_key in
		MemTotal:) memory_total=$memory_value ;;
		MemAvailable:) memory_free=$memory_value && break ;;
		esac
	done 2>/dev/null <"$B2D_PROC/meminfo"
	[ "$memory_free" -gt 0 ] || return 0
	# From the file: the agent and its heartbeat both sample, each in a shell of its own.
	{ read -r memory_peak <"$B2D_RUN/memory-peak"; } 2>/dev/null || memory_peak=0
	[ "$((memory_total - memory_free))" -gt "${memory_peak:-0}" ] || return 0
	{ printf '%s\n' "$((memory_total - memory_free))" >"$B2D_RUN/memory-peak"; } 2>/dev/null || :
}
