# shellcheck shell=sh
# Time limits for programs. A shell's builtin cannot be ended from outside, so whatever may hang is run as a program.

# limit SECONDS COMMAND...: runs the command with this shell's streams; kills it after SECONDS (status 137 or 143).
limit() {
	case $LIMIT_SYNTAX in
	new) timeout -s KILL "$@" ;;
	old)
		limit_seconds=$1
		shift
		timeout -t "$limit_seconds" -s KILL "$@"
		;;
	*)
		shift
		"$@"
		;;
	esac
}

# limit_find: finds out which timeout this base has; busybox before 1.30 took the seconds as an option.
limit_find() {
	LIMIT_SYNTAX=none
	if timeout -s KILL 5 true 2>/dev/null; then
		LIMIT_SYNTAX=new
	elif timeout -t 5 -s KILL true 2>/dev/null; then
		LIMIT_SYNTAX=old
	fi
}

limit_find # here, so that the subshells that write to the host need not
