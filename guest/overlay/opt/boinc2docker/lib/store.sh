# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# The image store: a directory of layers on the host, shared by all tasks of a project there (DESIGN, section 5).
#
#   layers/sha256/<hex>       complete layers; they appear under these names by a rename of verified bytes only
#   partial/<hex>.<vm>        downloads; each machine writes to its own, and reads others' when it takes one over
#   locks/                    lock.sh
#   used/<hex>                "tick N", then names of images; used/running.<vm>: budget.sh
#   corrupt/<name>.<epoch>    what failed verification, for a day
#
# <vm> is a random name, new at each boot of a machine. Only mkdir, rename, and plain reads and writes are used, by the rules
# of share.sh.
# A store without an own directory on the host is made on Docker's disk, private to this machine, by the same rules.

STORE=        # the directory where missing layers go
STORE_HOST=   # the host's store, once it is open; also when missing layers go elsewhere
STORE_VM=     # this boot's name
STORE_BEATER= # process that shows that this machine lives
STORE_DAY=86400
: "${B2D_UUID:=/proc/sys/kernel/random/uuid}" # another random name at each reading

# store_point NAME: where tests stop a machine, or cut its power.
store_point() {
	:
}

# store_pause SECONDS: waits for others.
store_pause() {
	sleep "$1"
}

# store_rest: a moment, for a file on the host that somebody holds.
store_rest() {
	sleep 1
}

# store_open: opens the host's store, or the private one if that cannot be used. Fails, with STORE_ERROR, without any.
store_open() {
	[ -z "$STORE" ] || return 0
	store_name || return 1
	mkdir -p "$B2D_RUN/seen"
	STORE_ERROR=
	if ! mount_point "$B2D_SCRATCH"; then
		STORE_ERROR='there is no scratch'
	elif [ -e "$B2D_SCRATCH/boinc2docker/v1/format" ] &&
		[ "$(head -c 16 "$B2D_SCRATCH/boinc2docker/v1/format" 2>/dev/null | tr -d '\000')" != 1 ]; then
		STORE_ERROR='scratch has a store of another version'
	elif ! store_make "$B2D_SCRATCH/boinc2docker/v1"; then
		STORE_ERROR='scratch cannot be written'
	else
		STORE_HOST=$STORE
		store_tidy
		return 0
	fi
	store_private "$STORE_ERROR"
}

# store_private WHY: from now on without the host's store.
store_private() {
	log store "working without the store: $1"
	rm -rf "$B2D_DOCKER_DATA/boinc2docker/v1/locks" # of this machine's earlier boots
	store_make "$B2D_DOCKER_DATA/boinc2docker/v1" && return 0
	STORE='' STORE_ERROR="$1, and Docker's disk cannot be written"
	return 1
}

# store_name: sets STORE_VM.
store_name() {
	if [ ! -s "$B2D_RUN/vm" ]; then
		head -n 1 "$B2D_UUID" >"$B2D_RUN/vm" 2>/dev/null
	fi
	{ read -r STORE_VM <"$B2D_RUN/vm"; } 2>/dev/null || :
	case $STORE_VM in
	'' | *[!0-9a-f-]*)
		STORE_ERROR='this machine has no source of random names'
		return 1
		;;
	esac
}

# store_make DIRECTORY: makes what is missing of a store and sets STORE, if it can be written. A file in place of a
# directory is nobody's work and goes. No program is started where nothing is to be done.
store_make() {
	for store_dir in "${1%/*}" "$1" "$1/layers" "$1/layers/sha256" "$1/partial" "$1/locks" "$1/used" "$1/corrupt"; do
		[ ! -d "$store_dir" ] || continue
		rm -f "$store_dir" 2>/dev/null
		# Two at once: one mkdir fails, and the directory is there.
		mkdir "$store_dir" 2>/dev/null || [ -d "$store_dir" ] || return 1
	done
	for store_dir in "$1/layers/sha256" "$1/partial" "$1/locks" "$1/used"; do
		[ -w "$store_dir" ] || return 1
	done
	# Whether a name can be made, a byte be written, and renamed, is only known after it was done.
	store_probe=$1/partial/probe.$STORE_VM
	printf 'x\n' | share_write "$store_probe" || :
	store_point probe
	if [ ! -s "$store_probe" ] || ! share_move "$store_probe" "$store_probe.2"; then
		rm -f "$store_probe" "$store_probe.2" 2>/dev/null
		return 1
	fi
	rm -f "$store_probe.2" 2>/dev/null || : # if somebody reads it just now it goes in time: store_tidy
	STORE=$1
}

# store_tidy: removes what nobody needs: bad layers of more than a day ago, downloads of layers that are complete, and
# what machines left that lost their power. Wall clocks may differ by hours between machines, hardly by a day.
store_tidy() {
	store_now=$(date +%s)
	for store_file in "$STORE/corrupt"/*; do
		[ -e "$store_file" ] || continue
		store_then=${store_file##*.}
		case $store_then in '' | 0* | *[!0-9]* | ???????????*) store_then=0 ;; esac
		store_age=$((store_now - store_then))
		[ "$store_age" -lt "$STORE_DAY" ] && [ "$store_age" -gt "-$STORE_DAY" ] || rm -rf "$store_file" 2>/dev/null
	done
	for store_file in "$STORE/partial"/*.*; do
		case ${store_file##*/} in
		probe.*) # its machine has not marked that it runs: only its age tells
			find "$store_file" -prune -mtime +1 -exec rm -rf {} + 2>/dev/null
			continue
			;;
		esac
		store_hex=${store_file##*/} store_hex=${store_hex%%.*}
		[ ! -f "$STORE/layers/sha256/$store_hex" ] || [ -e "$STORE/locks/$store_hex" ] || rm -rf "$store_file" 2>/dev/null
	done
	rm -rf "$STORE/locks"/*.* 2>/dev/null
	# Machines mark that they run before they write anything else in there.
	for store_file in "$STORE/used"/*.new; do
		store_hex=${store_file%.new} store_hex=${store_hex##*.}
		case ${store_file##*/} in
		running.*) ;;
		*) [ -e "$STORE/used/running.$store_hex" ] || rm -rf "$store_file" 2>/dev/null ;;
		esac
	done
}

# store_has HEX BYTES [STORE]: is the layer there, complete? What is there and cannot be it is set aside.
store_has() {
	store_layer=${3-$STORE}/layers/sha256/$1
	[ -e "$store_layer" ] || [ -L "$store_layer" ] || return 1
	[ -f "$store_layer" ] && [ "$(file_bytes "$store_layer")" = "$2" ] && store_readable "$store_layer" && return 0
	store_quarantine "$1" "${3-$STORE}"
	return 1
}

# store_readable FILE: can its first and last byte be read?
store_readable() {
	head -c 1 "$1" >/dev/null 2>&1 && tail -c 1 "$1" >/dev/null 2>&1
}

# store_set_aside FILE STORE: into corrupt/, or away if that is not possible. Sets store_aside to its new name.
store_set_aside() {
	store_aside=$2/corrupt/${1##*/}.$(date +%s)
	[ ! -d "$store_aside" ] || rm -rf "$store_aside" # mv would move into it
	share_move "$1" "$store_aside" || rm -rf "$1" 2>/dev/null || :
}

# store_quarantine HEX STORE: this layer is not what it should be: sets it aside. A machine that slept before it got here
# may have taken hold of the good one that was put there in the meantime: that goes back.
store_quarantine() {
	store_layer=$2/layers/sha256/$1
	store_point quarantine
	[ -e "$store_layer" ] || [ -L "$store_layer" ] || return 0
	store_set_aside "$store_layer" "$2"
	store_point quarantined
	if [ -f "$store_aside" ] && image_verify "sha256:$1" "$store_aside"; then
		share_move "$store_aside" "$store_layer"
	else
		log store "$(store_short "$1") in the store is damaged, set aside"
	fi
}

# store_short HEX: prints a digest as events show it.
store_short() {
	printf 'sha256:%.12s' "$1"
}

# store_mb BYTES: prints a size as events show it.
store_mb() {
	printf '%s.%s MB' "$(($1 / 1000000))" "$(($1 / 100000 % 10))"
}

# store_doing TEXT [FILE]: what is going on, for the events of long work; FILE grows meanwhile.
store_doing() {
	printf '%s\n%s\n' "$1" "${2-}" >"$B2D_RUN/store-doing"
}

# store_done: it is over.
store_done() {
	rm -f "$B2D_RUN/store-doing"
}

# store_alive: starts the process that shows that this machine lives: its lock, its mark of running, an event a minute.
store_alive() {
	[ -z "$STORE_BEATER" ] || return 0
	store_beats "$$" </dev/null >/dev/null 2>&1 &
	STORE_BEATER=$!
}

# store_beats PID: until that process is gone.
store_beats() {
	trap - EXIT HUP INT
	# The command under way is finished first: it would outlive this process, and mark again what store_close unmarks. The
	# beat may stop between two commands: store_close removes the mark that was not renamed yet, too.
	store_nap=
	trap '[ -z "$store_nap" ] || kill "$store_nap"; exit 0' TERM
	# The next beat is the next try: nothing here may keep the lock's heartbeat waiting.
	B2D_MOVE_SECONDS=1
	store_told=0
	while kill -0 "$1" 2>/dev/null; do
		store_beat
		store_told=$((store_told + B2D_BEAT_SECONDS))
		if [ "$store_told" -ge 45 ]; then
			store_tell
			store_told=0
		fi
		sleep "$B2D_BEAT_SECONDS" &
		store_nap=$!
		wait "$store_nap"
		store_nap=
	done
}

# store_beat: one sign of life, and a look at the others'.
store_beat() {
	LOCK=
	if [ -f "$B2D_RUN/store-lock" ]; then
		{ read -r LOCK <"$B2D_RUN/store-lock"; } 2>/dev/null || :
	fi
	[ -z "$LOCK" ] || lock_beat
	[ -z "$STORE_HOST" ] || {
		budget_mark beat
		budget_look
		[ "$STORE" != "$STORE_HOST" ] || lock_tidy
	}
}

# store_tell: an event about long work.
store_tell() {
	[ -f "$B2D_RUN/store-doing" ] || return 0
	{ read -r store_text && read -r store_file; } <"$B2D_RUN/store-doing" || return 0
	if [ -n "$store_file" ] && [ -f "$store_file" ]; then
		store_text="$store_text, $(store_mb "$(file_bytes "$store_file")") so far"
	fi
	log store "still $store_text"
}

# store_close: this machine no longer needs its layers. A machine that dies instead is found by its mark.
store_close() {
	[ -n "$STORE_BEATER" ] || return 0
	store_stop
	lock_release
	[ -z "$STORE_HOST" ] || store_unmark
	store_done
	STORE='' STORE_HOST=''
}

# store_stop: ends the process that beats; one that hangs in a write to the host is not waited for.
store_stop() {
	kill "$STORE_BEATER" 2>/dev/null
	store_end "$STORE_BEATER" "$((2 * B2D_SHARE_SECONDS))" </dev/null >/dev/null 2>&1 &
	store_guard=$!
	wait "$STORE_BEATER" 2>/dev/null
	kill "$store_guard" 2>/dev/null
	wait "$store_guard" 2>/dev/null
	STORE_BEATER=
}

# store_end PID SECONDS: ends that process after this time, unless it is ended itself before.
store_end() {
	trap - EXIT HUP INT
	store_nap=
	trap '[ -z "$store_nap" ] || kill "$store_nap"; exit 0' TERM
	sleep "$2" &
	store_nap=$!
	wait "$store_nap"
	kill -s KILL "$1"
}

# store_unmark: takes this machine's mark away. If somebody reads it all the time, it is a dead machine's.
store_unmark() {
	store_tries=5
	until rm -f "$STORE_HOST/used/running.$STORE_VM" "$STORE_HOST/used/running.$STORE_VM".*.new 2>/dev/null; do
		store_tries=$((store_tries - 1))
		[ "$store_tries" -gt 0 ] || return 0
		store_rest
	done
}
