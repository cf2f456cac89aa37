# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# One layer from the registries into the store, under its lock: in chunks, resumed, verified, renamed into place.

FETCH_LATER=0        # seconds after which a temporary failure is worth another try
FETCH_WAIT_MOST=120  # a server that wants to be left alone for longer gets a temporary exit
FETCH_BYTES=0        # what this job has received so far
FETCH_PROGRESS=65536 # an attempt that brings so much has not failed

# fetch_layer HEX BYTES: the layer's lock is held. 0: it is there; 1: it cannot be had (FETCH_ERROR); 2: perhaps later
# (FETCH_ERROR, FETCH_LATER); 3: the lock is another's now; 4: the store cannot be written (FETCH_ERROR).
fetch_layer() {
	fetch_part=$STORE/partial/$1.$STORE_VM
	fetch_beside=$fetch_part.whole
	for fetch_file in "$fetch_part" "$fetch_beside"; do
		[ ! -d "$fetch_file" ] || rm -rf "$fetch_file"
	done
	fetch_inherit "$1" "$2"
	for fetch_attempt in 1 2; do
		fetch_registries "$1" "$2" || return
		store_point verify
		store_doing "verifying $(store_short "$1")"
		if image_verify "sha256:$1" "$fetch_part"; then
			fetch_commit "$1" "$2"
			return
		fi
		lock_held || return 3
		log store "$(store_short "$1") from $fetch_host has wrong bytes, set aside"
		store_set_aside "$fetch_part" "$STORE"
		rm -rf "$STORE/partial/$1".* # what was inherited may be the wrong part
		fetch_turn                   # the next registry has the next try
	done
	FETCH_ERROR="sha256:$1: wrong bytes twice, the last from $fetch_host$fetch_reasons"
	return 1
}

# fetch_clear: removes what has come of the layer.
fetch_clear() {
	rm -rf "$fetch_part" "$fetch_beside" 2>/dev/null || :
}

# fetch_commit HEX BYTES: gives verified bytes their name.
fetch_commit() {
	sync "$fetch_part" 2>/dev/null || : # by 9p; vboxsf has no flush, so a host's power cut may leave a bad layer
	store_point commit
	lock_held || return 3
	store_point commit-now
	if ! store_has "$1" "$2"; then
		share_move "$fetch_part" "$STORE/layers/sha256/$1"
		store_point committed
		if ! store_has "$1" "$2"; then
			# Another machine may have believed this one dead, and have removed what was its own.
			[ -e "$fetch_part" ] || return 3
			FETCH_ERROR='a layer cannot be renamed into place'
			return 4
		fi
	fi
	rm -rf "$STORE/partial/$1".* 2>/dev/null || : # what somebody has open goes with the next machine: store_tidy
}

# fetch_inherit HEX BYTES: goes on where a machine that is gone has stopped. Its file is copied: it may wake up and write.
fetch_inherit() {
	fetch_best=$fetch_part fetch_most=0
	for fetch_file in "$STORE/partial/$1".*; do
		[ -f "$fetch_file" ] || continue
		fetch_size=$(file_bytes "$fetch_file") || continue
		if [ "$fetch_size" -gt "$2" ]; then
			fetch_drop "$fetch_file"
		elif [ "$fetch_size" -gt "$fetch_most" ] || { [ "$fetch_size" -eq "$fetch_most" ] && [ "$fetch_file" = "$fetch_part" ]; }; then
			fetch_best=$fetch_file fetch_most=$fetch_size
		fi
	done
	[ "$fetch_most" -gt 0 ] || return 0
	log store "$(store_short "$1") goes on at $(store_mb "$fetch_most")"
	[ "$fetch_best" != "$fetch_part" ] || return 0
	store_point inherit
	# The copy may fail, or its source grow while it is made: whatever it is, it is the beginning of the layer.
	fetch_drop "$fetch_part"
	fetch_block=0 fetch_have=0
	while [ "$fetch_have" -lt "$fetch_most" ]; do
		dd if="$fetch_best" bs="$B2D_CHUNK_BYTES" skip="$fetch_block" count=1 2>/dev/null >"$B2D_RUN/chunk"
		if [ ! -s "$B2D_RUN/chunk" ] || ! fetch_append "$fetch_part" "$fetch_have" || [ "$fetch_piece" != "$B2D_CHUNK_BYTES" ]; then
			break
		fi
		fetch_block=$((fetch_block + 1)) fetch_have=$((fetch_have + fetch_piece))
	done
	rm -f "$B2D_RUN/chunk"
	store_point inherited
}

# fetch_registries HEX BYTES: completes $fetch_part from the first registry that can; see fetch_layer.
fetch_registries() {
	fetch_result=1 fetch_reasons='' FETCH_LATER=0
	fetch_count=$(grep -c . "$B2D_STATE/registries")
	while [ "$fetch_count" -gt 0 ]; do
		read -r fetch_blobs fetch_token <"$B2D_STATE/registries"
		fetch_host=$(registry_host "$fetch_blobs")
		store_doing "fetching $(store_short "$1") ($(store_mb "$2")) from $fetch_host" "$fetch_part"
		fetch_complete "$1" "$2"
		fetch_status=$?
		case $fetch_status in
		0 | 3 | 4) return "$fetch_status" ;;
		2) fetch_result=2 ;;
		esac
		log store "$(store_short "$1"): $fetch_host: $FETCH_REASON"
		fetch_reasons="$fetch_reasons, $fetch_host: $FETCH_REASON"
		fetch_turn
		fetch_count=$((fetch_count - 1))
	done
	FETCH_ERROR="sha256:$1: ${fetch_reasons#, }"
	return "$fetch_result"
}

# fetch_turn: the registry that is first becomes the last, for the layers to come, too.
fetch_turn() {
	# shellcheck disable=SC2016 # sed's own $
	sed '1{h;d;};$G' "$B2D_STATE/registries" >"$B2D_STATE/registries.new"
	# One line alone stays.
	[ ! -s "$B2D_STATE/registries.new" ] || mv -f "$B2D_STATE/registries.new" "$B2D_STATE/registries"
}

# fetch_complete HEX BYTES: completes $fetch_part from this registry, chunk by chunk. 0-4 as in fetch_layer, with FETCH_REASON.
fetch_complete() {
	fetch_failures=0 fetch_ranges=yes fetch_doubts=0
	while :; do
		fetch_have=0
		[ ! -f "$fetch_part" ] || fetch_have=$(file_bytes "$fetch_part")
		if [ "$fetch_have" -gt "$2" ]; then
			fetch_drop "$fetch_part"
			fetch_have=0
		fi
		gather_tell "$fetch_have"
		[ "$fetch_have" -ne "$2" ] || return 0
		store_point chunk
		lock_held || return 3
		store_point chunk-now
		fetch_before=$FETCH_BYTES
		if [ "$fetch_ranges" = yes ]; then
			fetch_chunk "$fetch_blobs/sha256:$1" "$fetch_have" "$2"
		else
			whole_fetch "$fetch_blobs/sha256:$1" "$2"
		fi
		fetch_done=$?
		case $fetch_done in
		0) fetch_failures=0 fetch_doubts=0 ;;
		2)
			[ "$((FETCH_BYTES - fetch_before))" -lt "$FETCH_PROGRESS" ] || fetch_failures=0
			fetch_failures=$((fetch_failures + 1))
			fetch_again "$1" || return 2
			;;
		5)
			fetch_doubts=$((fetch_doubts + 1))
			[ "$fetch_doubts" -lt 2 ] || fetch_ranges=no
			;;
		3 | 4) return "$fetch_done" ;;
		*) return 1 ;;
		esac
	done
}

# fetch_again HEX: waits before the next attempt; fails if there is none.
fetch_again() {
	[ "$fetch_failures" -lt "$B2D_FETCH_TRIES" ] || return 1
	fetch_pause=$((B2D_FETCH_PAUSE << fetch_failures))
	[ "$fetch_pause" -le 60 ] || fetch_pause=60
	# Machines that failed together do not come back together.
	fetch_pause=$((fetch_pause + $(fetch_random) % (fetch_pause + 1)))
	if [ -n "$REGISTRY_AFTER" ]; then
		[ "$REGISTRY_AFTER" -le "$FETCH_LATER" ] || FETCH_LATER=$REGISTRY_AFTER
		[ "$REGISTRY_AFTER" -le "$FETCH_WAIT_MOST" ] || return 1
		[ "$REGISTRY_AFTER" -le "$fetch_pause" ] || fetch_pause=$REGISTRY_AFTER
	fi
	log store "$(store_short "$1"): $fetch_host: $FETCH_REASON, again in $fetch_pause s"
	store_pause "$fetch_pause"
}

# fetch_random: prints a number below 65536.
fetch_random() {
	od -An -N2 -tu2 /dev/urandom | tr -dc '0-9'
}

# fetch_chunk URL FIRST BYTES: the next chunk of a layer of BYTES, by way of this machine's memory. 0: got it; 1: never;
# 2: perhaps again; 3: the lock is another's; 4: the store is full; 5: this server seems to have no ranges.
fetch_chunk() {
	fetch_last=$(($2 + B2D_CHUNK_BYTES - 1))
	[ "$fetch_last" -lt "$3" ] || fetch_last=$(($3 - 1))
	fetch_size=$((fetch_last - $2 + 1))
	if [ "$fetch_size" -eq "$3" ]; then # all of it: no need of a range
		registry_get "$1" "$fetch_token" "$B2D_RUN/chunk" "$fetch_size"
	else
		registry_get "$1" "$fetch_token" "$B2D_RUN/chunk" "$fetch_size" "$2" "$fetch_last"
	fi
	fetch_curl=$?
	FETCH_REASON=$REGISTRY_ERROR
	fetch_got=$(file_bytes "$B2D_RUN/chunk") || fetch_got=0
	case "$REGISTRY_STATUS $REGISTRY_RANGE" in
	"206 $2 $fetch_last $3" | "206 $2 $fetch_last 0") ;;
	'200 ')
		if [ "$fetch_size" -ne "$3" ]; then
			whole_answer "$3"
			return
		fi
		;;
	206*)
		FETCH_REASON="wrong range ($REGISTRY_RANGE for $2 $fetch_last $3)"
		return 5
		;;
	*)
		fetch_judge
		return
		;;
	esac
	if [ "$fetch_curl" -eq 63 ] || [ "$fetch_got" -gt "$fetch_size" ]; then
		FETCH_REASON="more than $fetch_size bytes"
		return 1
	fi
	# What came before a connection broke is the right part of the layer, too.
	FETCH_BYTES=$((FETCH_BYTES + fetch_got))
	if [ "$REGISTRY_STATUS" -eq 200 ] && [ "$fetch_curl" -eq 0 ] && [ "$fetch_got" -lt "$fetch_size" ]; then
		fetch_page "$fetch_size"
		return
	fi
	store_point append
	if [ "$2" -gt 0 ] && [ ! -f "$fetch_part" ]; then
		fetch_gone
		return
	fi
	fetch_append "$fetch_part" "$2" || return
	store_point appended
	rm -f "$B2D_RUN/chunk"
	[ "$fetch_got" -lt "$fetch_size" ] || return 0
	[ "$fetch_curl" -ne 0 ] || FETCH_REASON="$fetch_got of $fetch_size bytes came"
	return 2
}

# fetch_append FILE BYTES: adds the chunk that is in memory to FILE, which has BYTES bytes. Sets fetch_piece to its size.
# 2: the machine was restored from its saved state meanwhile; 3, 4 as in fetch_chunk. FILE is as it was then, or gone.
fetch_append() {
	fetch_piece=$(file_bytes "$B2D_RUN/chunk")
	fetch_since=$(canary_restores)
	share_append "$1" <"$B2D_RUN/chunk" && [ "$(file_bytes "$1")" = "$(($2 + fetch_piece))" ] && return 0
	fetch_cut "$1" "$2"
	lock_held || return 3
	canary_look
	if [ "$(canary_restores)" != "$fetch_since" ]; then
		FETCH_REASON='the machine was restored from its saved state'
		return 2
	fi
	FETCH_ERROR='it cannot be written (full?)'
	return 4
}

# fetch_cut FILE BYTES: leaves so much of FILE as was there before a chunk was added; nothing, if there is less.
fetch_cut() {
	fetch_there=$(file_bytes "$1") || fetch_there=0
	if [ "$2" -gt 0 ] && [ "${fetch_there:-0}" -ge "$2" ] && ! fetch_anew "$1"; then
		[ "$fetch_there" -gt "$2" ] || return 0
		limit "$B2D_SHARE_SECONDS" dd if=/dev/null of="$1" bs=1 seek="$2" 2>/dev/null &&
			[ "$(file_bytes "$1")" = "$2" ] && return 0
	fi
	fetch_drop "$1"
}

# fetch_anew FILE: was it removed, and made anew by the chunk alone? A machine that slept may find that.
fetch_anew() {
	[ "$fetch_there" -le "$fetch_piece" ] && head -c "$fetch_there" "$B2D_RUN/chunk" | cmp -s - "$1"
}

# fetch_drop FILE: removes it, or empties it while somebody has it open on Windows.
fetch_drop() {
	rm -f "$1" 2>/dev/null || limit "$B2D_SHARE_SECONDS" dd if=/dev/null of="$1" 2>/dev/null
}

# fetch_page BYTES: a whole answer that is shorter than the layer is not its beginning: a proxy's page, perhaps.
fetch_page() {
	fetch_drop "$fetch_part"
	fetch_before=$FETCH_BYTES # no step forward
	FETCH_REASON="$fetch_got of $1 bytes came"
	return 2
}

# fetch_gone: what had come was removed, to keep the budget: this machine stood still for so long that it seemed dead.
fetch_gone() {
	lock_held || return 3
	FETCH_REASON='what had come was removed while this machine stood still'
	return 2
}

# fetch_judge: an answer without bytes: 1 never, 2 perhaps again.
fetch_judge() {
	case $REGISTRY_STATUS in
	0 | 408 | 425 | 429 | 5??) return 2 ;;
	1?? | 2?? | 3??)
		# A redirection or a proxy answered, and the server behind it did not; but for addresses that nobody can fetch
		# (1, 3), too many redirections (47) and more bytes than there may be (63).
		case $fetch_curl in
		0 | 1 | 3 | 47 | 63) ;;
		*) return 2 ;;
		esac
		;;
	esac
	case $REGISTRY_STATUS in
	2?? | 1??) FETCH_REASON="unexpected HTTP status $REGISTRY_STATUS" ;;
	esac
	return 1
}
