# shellcheck shell=sh
# What this machine has watched standing still. Modification times prove nothing: hosts and machines have different clocks.

SEEN_STILL_SECONDS=60 # whatever stands still this long belongs to a dead machine
SEEN_LOOK_SECONDS=20  # one look adds no more than this: a machine that slept has not watched in the meantime

# seen_still KEY CONTENT: has the content been the same at every look, for SEEN_STILL_SECONDS of this machine's own uptime?
# Keeps what it saw in $B2D_RUN/seen.
seen_still() {
	uptime_now
	seen_now=${UPTIME%%.*} seen_at=$seen_now seen_for=0 seen_before=
	if [ -f "$B2D_RUN/seen/$1" ]; then
		read -r seen_at seen_for seen_before <"$B2D_RUN/seen/$1" || :
	fi
	seen_step=$((seen_now - seen_at))
	[ "$seen_step" -le "$SEEN_LOOK_SECONDS" ] || seen_step=$SEEN_LOOK_SECONDS
	if [ "$seen_before" != "$2" ]; then
		seen_for=0
	elif [ "$seen_step" -gt 0 ]; then
		seen_for=$((seen_for + seen_step))
	fi
	printf '%s %s %s\n' "$seen_now" "$seen_for" "$2" >"$B2D_RUN/seen/$1"
	[ "$seen_for" -ge "$SEEN_STILL_SECONDS" ]
}
