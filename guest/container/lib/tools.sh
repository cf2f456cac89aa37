# shellcheck shell=sh
# Programs of our own that busybox' shell would not take by their plain names: it prefers its own applets.

# gzip: GNU gzip, whose bytes are those of the machine's results.
gzip() {
	"$B2D_HOME/usr/bin/gzip" "$@"
}

# work_free_kb: prints how many KB can be written to the slot's disk; plenty where that cannot be told.
work_free_kb() {
	tools_free=$(df -Pk "$B2D_JOB" 2>/dev/null | awk 'NR == 2 { print $4 }')
	case $tools_free in '' | *[!0-9]*) tools_free=1073741824 ;; esac
	printf '%s\n' "$tools_free"
}
