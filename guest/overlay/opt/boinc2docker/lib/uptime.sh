# shellcheck shell=sh
# Time since power-on: the one clock that a machine can trust.

# uptime_now: sets UPTIME, seconds since power-on.
uptime_now() {
	UPTIME=0.00
	# A read that ends without a newline fails, but has read.
	read -r UPTIME _ <"$B2D_BOOTED" 2>/dev/null || [ -n "$UPTIME" ] || UPTIME=0.00
}
