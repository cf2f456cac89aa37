# shellcheck shell=sh
# Functions of the boot scripts; read with ".".

B2D=/run/boinc2docker
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# mark NAME: writes down when this stage was reached
mark() {
	read -r uptime _ </proc/uptime
	echo "$1 $uptime" >>"$B2D/marks"
}

# say TEXT: a line on every console the kernel knows
say() {
	echo "<2>boinc2docker: $1" >/dev/kmsg
}

# mounted DIRECTORY: is something mounted there? (This busybox has no mountpoint.)
mounted() {
	while read -r _ where _; do
		[ "$where" != "$1" ] || return 0
	done </proc/mounts
	return 1
}
