# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# Fetching one layer from the registries into the store, under its lock: in chunks, resumed, verified, renamed into place.
#
# FETCH_PART is the layer's file, FETCH_BESIDE a second one beside it (whole.sh).

FETCH_LATER=0        # seconds to wait after a temporary failure
FETCH_WAIT_MOST=120  # a server that asks for a longer pause causes a temporary exit
FETCH_BYTES=0        # received by this job so far
FETCH_PROGRESS=65536 # an attempt that brings this much is no failure in a row

# fetch_layer HEX BYTES: fetches the layer whose lock this machine holds. Returns FETCH_DONE, FETCH_LOST, FETCH_FULL or
# FETCH_NEVER (with FETCH_ERROR), or FETCH_AGAIN (with FETCH_ERROR, and FETCH_LATER: seconds to wait).
fetch_layer() {
	FETCH_PART=$STORE/partial/$1.$STORE_VM
	FETCH_BESIDE=$FETCH_PART.whole
	for fetch_file in "$FETCH_PART" "$FETCH_BESIDE"; do
		[ ! -d "$fetch_file" ] || rm -rf "$fetch_file"
	done
	fetch_inherit "$1" "$2"
	for fetch_attempt in 1 2; do
		fetch_registries "$1" "$2" || return
		store_point verify
		event_doing "verifying $(event_digest "$1")"
		if digest_verify "sha256:$1" "$FETCH_PART"; then
			fetch_commit "$1" "$2"
			return
		fi
		lock_held || return "$FETCH_LOST"
		log store "$(event_digest "$1") from $fetch_host has wrong bytes, set aside"
		store_set_aside "$FETCH_PART" "$STORE"
		rm -rf "$STORE/partial/$1".* # the wrong part may be inherited
		fetch_turn                   # try the next registry
	done
	FETCH_ERROR="sha256:$1: wrong bytes twice, the last from $fetch_host$fetch_reasons"
	return "$FETCH_NEVER"
}

# fetch_clear: removes what has come of the layer so far.
fetch_clear() {
	rm -rf "$FETCH_PART" "$FETCH_BESIDE" 2>/dev/null || :
}

# fetch_commit HEX BYTES: gives verified bytes their name. Returns FETCH_DONE, FETCH_LOST or FETCH_FULL.
fetch_commit() {
	sync "$FETCH_PART" 2>/dev/null || : # works over 9p; vboxsf has no flush, so a host's power cut may leave a bad layer
	store_point commit
	lock_held || return "$FETCH_LOST"
	store_point commit-now
	if ! store_has "$1" "$2"; then
		share_move "$FETCH_PART" "$STORE/layers/sha256/$1"
		store_point committed
		if ! store_has "$1" "$2"; then
			# Another machine may have believed this one dead and removed its file.
			[ -e "$FETCH_PART" ] || return "$FETCH_LOST"
			FETCH_ERROR='a layer cannot be renamed into place'
			return "$FETCH_FULL"
		fi
	fi
	rm -rf "$STORE/partial/$1".* 2>/dev/null || : # the next machine's store_tidy removes what is open now
	return "$FETCH_DONE"
}

# fetch_inherit HEX BYTES: continues where a dead machine stopped. Copies its file: that machine may wake up and write.
fetch_inherit() {
	fetch_best=$FETCH_PART fetch_most=0
	for fetch_file in "$STORE/partial/$1".*; do
		[ -f "$fetch_file" ] || continue
		fetch_size=$(bytes_of "$fetch_file") || continue
		if [ "$fetch_size" -gt "$2" ]; then
			part_drop "$fetch_file"
		elif [ "$fetch_size" -gt "$fetch_most" ] || { [ "$fetch_size" -eq "$fetch_most" ] && [ "$fetch_file" = "$FETCH_PART" ]; }; then
			fetch_best=$fetch_file fetch_most=$fetch_size
		fi
	done
	[ "$fetch_most" -gt 0 ] || return 0
	log store "$(event_digest "$1") resumes at $(bytes_mb "$fetch_most")"
	[ "$fetch_best" != "$FETCH_PART" ] || return 0
	store_point inherit
	# The copy may fail, or its source may grow meanwhile: in any case it is the beginning of the layer.
	part_drop "$FETCH_PART"
	fetch_block=0 fetch_have=0
	while [ "$fetch_have" -lt "$fetch_most" ]; do
		dd if="$fetch_best" bs="$B2D_CHUNK_BYTES" skip="$fetch_block" count=1 2>/dev/null >"$B2D_RUN/chunk"
		if [ ! -s "$B2D_RUN/chunk" ] || ! part_append "$FETCH_PART" "$fetch_have" || [ "$PART_BYTES" != "$B2D_CHUNK_BYTES" ]; then
			break
		fi
		fetch_block=$((fetch_block + 1)) fetch_have=$((fetch_have + PART_BYTES))
	done
	rm -f "$B2D_RUN/chunk"
	store_point inherited
}

# fetch_registries HEX BYTES: completes $FETCH_PART from the first registry that can; see fetch_layer.
fetch_registries() {
	fetch_result=$FETCH_NEVER fetch_reasons='' FETCH_LATER=0
	fetch_count=$(grep -c . "$B2D_STATE/registries")
	while [ "$fetch_count" -gt 0 ]; do
		read -r fetch_blobs fetch_token <"$B2D_STATE/registries"
		fetch_host=$(registry_host "$fetch_blobs")
		event_doing "fetching $(event_digest "$1") ($(bytes_mb "$2")) from $fetch_host" "$FETCH_PART"
		fetch_complete "$1" "$2"
		fetch_status=$?
		case $fetch_status in
		"$FETCH_DONE" | "$FETCH_LOST" | "$FETCH_FULL") return "$fetch_status" ;;
		"$FETCH_AGAIN") fetch_result=$FETCH_AGAIN ;;
		esac
		log store "$(event_digest "$1"): $fetch_host: $FETCH_REASON"
		fetch_reasons="$fetch_reasons, $fetch_host: $FETCH_REASON"
		fetch_turn
		fetch_count=$((fetch_count - 1))
	done
	FETCH_ERROR="sha256:$1: ${fetch_reasons#, }"
	return "$fetch_result"
}

# fetch_turn: moves the first registry to the end, for the following layers too.
fetch_turn() {
	# shellcheck disable=SC2016 # sed's own $
	sed '1{h;d;};$G' "$B2D_STATE/registries" >"$B2D_STATE/registries.new"
	# sed prints nothing if there is only one line.
	[ ! -s "$B2D_STATE/registries.new" ] || mv -f "$B2D_STATE/registries.new" "$B2D_STATE/registries"
}

# fetch_complete HEX BYTES: completes $FETCH_PART from this registry, chunk by chunk. Returns as fetch_layer does, with
# FETCH_REASON.
fetch_complete() {
	fetch_failures=0 FETCH_RANGES=yes FETCH_DOUBTS=0
	while :; do
		fetch_have=0
		[ ! -f "$FETCH_PART" ] || fetch_have=$(bytes_of "$FETCH_PART")
		if [ "$fetch_have" -gt "$2" ]; then
			part_drop "$FETCH_PART"
			fetch_have=0
		fi
		progress_fetched "$fetch_have"
		[ "$fetch_have" -ne "$2" ] || return "$FETCH_DONE"
		store_point chunk
		lock_held || return "$FETCH_LOST"
		store_point chunk-now
		FETCH_BEFORE=$FETCH_BYTES
		if [ "$FETCH_RANGES" = yes ]; then
			fetch_chunk "$fetch_blobs/sha256:$1" "$fetch_have" "$2"
		else
			whole_fetch "$fetch_blobs/sha256:$1" "$fetch_token" "$fetch_have" "$2"
		fi
		fetch_outcome=$?
		case $fetch_outcome in
		"$FETCH_DONE") fetch_failures=0 FETCH_DOUBTS=0 ;;
		"$FETCH_AGAIN")
			[ "$((FETCH_BYTES - FETCH_BEFORE))" -lt "$FETCH_PROGRESS" ] || fetch_failures=0
			fetch_failures=$((fetch_failures + 1))
			fetch_again "$1" || return "$FETCH_AGAIN"
			;;
		"$FETCH_NO_RANGES")
			FETCH_DOUBTS=$((FETCH_DOUBTS + 1))
			[ "$FETCH_DOUBTS" -lt 2 ] || FETCH_RANGES=no
			;;
		*) return "$fetch_outcome" ;;
		esac
	done
}

# fetch_again HEX: waits before the next attempt; fails if there should be none.
fetch_again() {
	[ "$fetch_failures" -lt "$B2D_FETCH_TRIES" ] || return 1
	fetch_pause=$((B2D_FETCH_PAUSE << fetch_failures))
	[ "$fetch_pause" -le 60 ] || fetch_pause=60
	# Machines that failed together should not come back together.
	fetch_pause=$((fetch_pause + $(fetch_random) % (fetch_pause + 1)))
	if [ -n "$REGISTRY_AFTER" ]; then
		[ "$REGISTRY_AFTER" -le "$FETCH_LATER" ] || FETCH_LATER=$REGISTRY_AFTER
		[ "$REGISTRY_AFTER" -le "$FETCH_WAIT_MOST" ] || return 1
		[ "$REGISTRY_AFTER" -le "$fetch_pause" ] || fetch_pause=$REGISTRY_AFTER
	fi
	log store "$(event_digest "$1"): $fetch_host: $FETCH_REASON, again in $fetch_pause s"
	store_pause "$fetch_pause"
}

# fetch_random: prints a number below 65536.
fetch_random() {
	od -An -N2 -tu2 /dev/urandom | tr -dc '0-9'
}

# fetch_chunk URL FIRST BYTES: adds the next chunk, from byte FIRST, of a layer of BYTES, by way of this machine's memory.
# Returns any FETCH_ status.
fetch_chunk() {
	fetch_last=$(($2 + B2D_CHUNK_BYTES - 1))
	[ "$fetch_last" -lt "$3" ] || fetch_last=$(($3 - 1))
	fetch_size=$((fetch_last - $2 + 1))
	if [ "$fetch_size" -eq "$3" ]; then # all of it: needs no range
		registry_get "$1" "$fetch_token" "$B2D_RUN/chunk" "$fetch_size"
	else
		registry_get "$1" "$fetch_token" "$B2D_RUN/chunk" "$fetch_size" "$2" "$fetch_last"
	fi
	fetch_curl=$?
	FETCH_REASON=$REGISTRY_ERROR
	fetch_got=$(bytes_of "$B2D_RUN/chunk") || fetch_got=0
	case "$REGISTRY_STATUS $REGISTRY_RANGE" in
	"206 $2 $fetch_last $3" | "206 $2 $fetch_last 0") ;;
	'200 ')
		if [ "$fetch_size" -ne "$3" ]; then
			whole_answer "$3" "$fetch_curl" "$fetch_got" "$fetch_size"
			return
		fi
		;;
	206*)
		FETCH_REASON="wrong range ($REGISTRY_RANGE for $2 $fetch_last $3)"
		return "$FETCH_NO_RANGES"
		;;
	*)
		registry_judge "$fetch_curl"
		return
		;;
	esac
	if [ "$fetch_curl" -eq "$CURL_LARGE" ] || [ "$fetch_got" -gt "$fetch_size" ]; then
		FETCH_REASON="more than $fetch_size bytes"
		return "$FETCH_NEVER"
	fi
	# What came before a connection broke is good, too.
	FETCH_BYTES=$((FETCH_BYTES + fetch_got))
	if [ "$REGISTRY_STATUS" -eq 200 ] && [ "$fetch_curl" -eq "$CURL_DONE" ] && [ "$fetch_got" -lt "$fetch_size" ]; then
		fetch_page "$fetch_size"
		return
	fi
	store_point append
	if [ "$2" -gt 0 ] && [ ! -f "$FETCH_PART" ]; then
		part_gone
		return
	fi
	part_append "$FETCH_PART" "$2" || return
	store_point appended
	rm -f "$B2D_RUN/chunk"
	[ "$fetch_got" -lt "$fetch_size" ] || return "$FETCH_DONE"
	[ "$fetch_curl" -ne "$CURL_DONE" ] || FETCH_REASON="$fetch_got of $fetch_size bytes came"
	return "$FETCH_AGAIN"
}

# fetch_page BYTES: handles a whole answer that is shorter than the layer. It is not the layer's beginning: a proxy's page,
# perhaps.
fetch_page() {
	part_drop "$FETCH_PART"
	FETCH_BEFORE=$FETCH_BYTES # no progress
	FETCH_REASON="$fetch_got of $1 bytes came"
	return "$FETCH_AGAIN"
}
