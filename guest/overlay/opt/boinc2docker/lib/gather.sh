# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# All layers of an image, from the store or into it. Machines that start together share the work: each starts at another
# layer, takes those that are free, and waits only for those that others are fetching.

# gather_layers: reads $B2D_STATE/wanted (lines of "hex bytes") and writes $B2D_STATE/gathered (lines of "hex kind file", where
# kind is store or registry). Fails with GATHER_ERROR and GATHER_LATER: seconds to wait before another try, 0 for never.
gather_layers() {
	GATHER_ERROR='' GATHER_LATER=0
	store_open || {
		GATHER_ERROR=$STORE_ERROR
		return 1
	}
	cp "$B2D_STATE/wanted" "$B2D_RUN/store-running"
	cp "$B2D_STATE/wanted" "$B2D_STATE/missing"
	: >"$B2D_STATE/gathered"
	PROGRESS_THERE=0 PROGRESS_TOTAL=$(awk '{ n += $2 } END { printf "%.0f", n }' "$B2D_STATE/wanted")
	[ -z "$STORE_HOST" ] || budget_mark main || { store_pause 1 && budget_mark main; } ||
		store_private 'the store cannot be written' || return 1
	beat_start
	gather_found
	gather_count
	if [ -s "$B2D_STATE/missing" ]; then
		gather_room || return 1
		gather_missing || return 1
	fi
	event_done
	gather_note
}

# gather_found: moves the layers that are there from missing to gathered.
gather_found() {
	: >"$B2D_STATE/missing.new"
	while read -r gather_hex gather_bytes; do
		gather_has store "${STORE_HOST:-$STORE}" || gather_has store "$STORE" || gather_again
	done <"$B2D_STATE/missing"
	mv -f "$B2D_STATE/missing.new" "$B2D_STATE/missing"
}

# gather_has KIND STORE: notes the layer as gathered if it is there.
gather_has() {
	store_has "$gather_hex" "$gather_bytes" "$2" || return 1
	printf '%s %s %s\n' "$gather_hex" "$1" "$2/layers/sha256/$gather_hex" >>"$B2D_STATE/gathered"
	PROGRESS_THERE=$((PROGRESS_THERE + gather_bytes))
}

# gather_again: keeps the layer on the list of missing ones.
gather_again() {
	printf '%s %s\n' "$gather_hex" "$gather_bytes" >>"$B2D_STATE/missing.new"
}

# gather_count: logs what there is to do.
gather_count() {
	gather_all=$(grep -c . "$B2D_STATE/wanted")
	gather_less=$(grep -c . "$B2D_STATE/missing")
	gather_text="$gather_all layers: $((gather_all - gather_less)) in the store"
	[ "$gather_less" -eq 0 ] ||
		gather_text="$gather_text, $gather_less to fetch ($(bytes_mb "$(awk '{ n += $2 } END { printf "%.0f", n }' "$B2D_STATE/missing")"))"
	log store "$gather_text"
}

# gather_room: makes room in the host's store. If there is none, the missing layers go elsewhere and the store need not keep
# room for them.
gather_room() {
	[ "$STORE" = "$STORE_HOST" ] || return 0
	budget_keep && return 0
	gather_leave "its budget of $(bytes_mb "$(budget_bytes)") is in use"
}

# gather_leave WHY: continues without the host's store; still uses what was found there.
gather_leave() {
	lock_release
	if [ "$STORE" = "$STORE_HOST" ]; then
		# The mark names only what this machine uses there.
		awk 'NR == FNR { kept[$1] = 1; next } $1 in kept' "$B2D_STATE/gathered" "$B2D_STATE/wanted" >"$B2D_RUN/store-running.new"
		mv -f "$B2D_RUN/store-running.new" "$B2D_RUN/store-running" # the process that beats reads it too
		budget_mark main
	fi
	store_private "$1" && return 0
	GATHER_ERROR=$STORE_ERROR
	return 1
}

# gather_missing: fetches layers, or waits for them, until none is missing.
gather_missing() {
	command -v curl >/dev/null 2>&1 || {
		GATHER_ERROR='this base has no curl to fetch layers with'
		return 1
	}
	gather_turn
	while [ -s "$B2D_STATE/missing" ]; do
		gather_got=no
		: >"$B2D_STATE/missing.new"
		while read -r gather_hex gather_bytes <&3; do
			gather_layer || return 1
		done 3<"$B2D_STATE/missing"
		mv -f "$B2D_STATE/missing.new" "$B2D_STATE/missing"
		[ "$gather_got" = yes ] || [ ! -s "$B2D_STATE/missing" ] || gather_wait || return 1
	done
}

# gather_turn: puts another layer first on each machine.
gather_turn() {
	gather_first=$(($(fetch_random) % $(grep -c . "$B2D_STATE/missing")))
	awk -v first="$gather_first" '{ line[NR] = $0 } END { for (i = 0; i < NR; i++) print line[(i + first) % NR + 1] }' \
		"$B2D_STATE/missing" >"$B2D_STATE/missing.new"
	mv -f "$B2D_STATE/missing.new" "$B2D_STATE/missing"
}

# gather_layer: takes or fetches one layer, if it is there or its lock is free; else it stays missing. Fails if no server has it.
gather_layer() {
	store_point look
	gather_has store "$STORE" && return 0
	store_point try
	if ! lock_try "$gather_hex"; then
		gather_again
		return 0
	fi
	if gather_has store "$STORE"; then # another machine has just finished it
		lock_release
		gather_got=yes
		return 0
	fi
	uptime_now
	gather_since=${UPTIME%%.*} gather_before=$FETCH_BYTES
	fetch_layer "$gather_hex" "$gather_bytes"
	gather_status=$?
	uptime_now
	case $gather_status in
	"$FETCH_DONE")
		gather_has registry "$STORE" || gather_again
		progress_fetched
		log store "fetched $(event_digest "$gather_hex") $(bytes_mb "$((FETCH_BYTES - gather_before))") in $((${UPTIME%%.*} - gather_since)) s"
		;;
	"$FETCH_NEVER" | "$FETCH_AGAIN")
		GATHER_ERROR=$FETCH_ERROR
		[ "$gather_status" -eq "$FETCH_NEVER" ] || GATHER_LATER=$((FETCH_LATER > 300 ? FETCH_LATER : 300))
		lock_release
		return 1
		;;
	"$FETCH_LOST")
		log store "$(event_digest "$gather_hex") was taken over by another machine"
		gather_again
		;;
	"$FETCH_FULL")
		fetch_clear # the host's disk must not stay full because of us
		if [ "$STORE" != "$STORE_HOST" ]; then
			GATHER_ERROR="sha256:$gather_hex: Docker's disk is full"
			lock_release
			return 1
		fi
		gather_again
		gather_leave "$FETCH_ERROR" || return 1
		;;
	esac
	lock_release
	gather_got=yes
}

# gather_wait: waits: other machines are fetching all that is missing, or were when they died.
gather_wait() {
	read -r gather_hex _ <"$B2D_STATE/missing"
	if [ "${gather_waited:-}" != "$gather_hex" ]; then
		gather_waited=$gather_hex
		log store "waits for another machine ($(event_digest "$gather_hex"))"
	fi
	event_doing "waiting for another machine ($(event_digest "$gather_hex"))"
	store_pause 2
	gather_free=$((${gather_free:-0} + 1))
	while read -r gather_hex _; do
		[ -e "$STORE/locks/$gather_hex" ] || [ -L "$STORE/locks/$gather_hex" ] || continue
		gather_free=0
		lock_stale "$gather_hex" || continue
		log store "$(event_digest "$gather_hex"): the other machine is gone, taking over"
		lock_break "$gather_hex" "$B2D_MOVE_SECONDS"
		[ "$?" -ne "$LOCK_STUCK" ] || {
			gather_leave 'a lock of a dead machine cannot be taken away'
			return
		}
	done <"$B2D_STATE/missing"
	# No machine has a lock, yet none can be taken, again and again.
	[ "$gather_free" -lt 10 ] || gather_leave 'no lock can be taken'
}

# gather_note: notes which layers were used, how many bytes were received and how many saved. Then evicts once more: before,
# this image did not count as the last used.
gather_note() {
	if [ -n "$STORE_HOST" ]; then
		gather_used=$(awk -v root="$STORE_HOST/" 'index($3, root) == 1 { print $1 }' "$B2D_STATE/gathered")
		# shellcheck disable=SC2086 # digests
		[ -z "$gather_used" ] || budget_used "$(cat "$B2D_STATE/image")" $gather_used
		# The mark comes first: a machine that stood still for long has lost it, and would evict what it is going to load.
		if budget_mark main; then
			budget_evict || : # others' layers stay; there is nothing left to make room for
		fi
	fi
	printf '%s\n' "$FETCH_BYTES" >"$B2D_STATE/downloaded-bytes"
	awk -v got="$FETCH_BYTES" '{ n += $2 } END { if (n < got) n = got; printf "%.0f\n", n - got }' "$B2D_STATE/wanted" >"$B2D_STATE/reused-bytes"
}

# gather_close: gives up this machine's layers. A machine that dies instead is found out by its mark.
gather_close() {
	[ -n "$BEAT_PID" ] || return 0
	beat_stop
	lock_release
	[ -z "$STORE_HOST" ] || budget_unmark
	event_done
	STORE='' STORE_HOST=''
}
