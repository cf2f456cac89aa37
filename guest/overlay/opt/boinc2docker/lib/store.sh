# shellcheck shell=sh
# shellcheck disable=SC2034 # results are variables: read by the files that source this one
# The image store: a directory of layers on the host, shared by all tasks of a project there (docs/explanation/store.md).
#
#   layers/sha256/<hex>       complete layers; only a rename of verified bytes gives them these names
#   partial/<hex>.<vm>        downloads; each machine writes its own and reads another's only to take over
#   locks/                    lock.sh
#   used/<hex>                "tick N", then names of images; used/running.<vm>: budget.sh
#   corrupt/<name>.<epoch>    what failed verification, kept for a day
#
# <vm> is a random name, new at each boot. Only mkdir, rename and plain reads and writes are used, by the rules of share.sh.
# Where the host's directory cannot be used, a store private to this machine is made on Docker's disk, by the same rules.

STORE=      # directory for missing layers
STORE_HOST= # the host's store, once open; also when missing layers go elsewhere
STORE_VM=   # this boot's name
STORE_DAY=86400
: "${B2D_UUID:=/proc/sys/kernel/random/uuid}" # a new random name at each read

# store_point NAME: a place where tests stop a machine, or cut its power.
store_point() {
	:
}

# store_pause SECONDS: waits for other machines.
store_pause() {
	sleep "$1"
}

# store_rest: waits a moment for a file on the host that another program has open.
store_rest() {
	sleep 1
}

# store_open: opens the host's store, or a private one if that cannot be used. Fails with STORE_ERROR if neither can.
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

# store_private WHY: works without the host's store from now on.
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

# store_make DIRECTORY: makes whatever a store lacks and sets STORE, if it can be written. Removes a file in a directory's
# place: no machine made it. Starts no program where there is nothing to do.
store_make() {
	for store_dir in "${1%/*}" "$1" "$1/layers" "$1/layers/sha256" "$1/partial" "$1/locks" "$1/used" "$1/corrupt"; do
		[ ! -d "$store_dir" ] || continue
		rm -f "$store_dir" 2>/dev/null
		# Of two machines at once one fails, and the directory is there.
		mkdir "$store_dir" 2>/dev/null || [ -d "$store_dir" ] || return 1
	done
	for store_dir in "$1/layers/sha256" "$1/partial" "$1/locks" "$1/used"; do
		[ -w "$store_dir" ] || return 1
	done
	# Only a try tells whether a file can be made, written and renamed.
	store_probe=$1/partial/probe.$STORE_VM
	printf 'x\n' | share_write "$store_probe" || :
	store_point probe
	if [ ! -s "$store_probe" ] || ! share_move "$store_probe" "$store_probe.2"; then
		rm -f "$store_probe" "$store_probe.2" 2>/dev/null
		return 1
	fi
	rm -f "$store_probe.2" 2>/dev/null || : # if another program has it open, store_tidy removes it later
	STORE=$1
}

# store_tidy: removes what nobody needs: bad layers after a day, downloads of complete layers, and what machines left that
# lost their power. Wall clocks of machines may differ by hours, hardly by a day.
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
		probe.*) # its machine has no mark yet: only its age tells
			find "$store_file" -prune -mtime +1 -exec rm -rf {} + 2>/dev/null
			continue
			;;
		esac
		store_hex=${store_file##*/} store_hex=${store_hex%%.*}
		[ ! -f "$STORE/layers/sha256/$store_hex" ] || [ -e "$STORE/locks/$store_hex" ] || rm -rf "$store_file" 2>/dev/null
	done
	rm -rf "$STORE/locks"/*.* 2>/dev/null
	# A machine writes its mark before anything else in there.
	for store_file in "$STORE/used"/*.new; do
		store_hex=${store_file%.new} store_hex=${store_hex##*.}
		case ${store_file##*/} in
		running.*) ;;
		*) [ -e "$STORE/used/running.$store_hex" ] || rm -rf "$store_file" 2>/dev/null ;;
		esac
	done
}

# store_has HEX BYTES [STORE]: is the layer there, complete? Sets aside whatever has its name and cannot be it.
store_has() {
	store_layer=${3-$STORE}/layers/sha256/$1
	[ -e "$store_layer" ] || [ -L "$store_layer" ] || return 1
	[ -f "$store_layer" ] && [ "$(bytes_of "$store_layer")" = "$2" ] && store_readable "$store_layer" && return 0
	store_quarantine "$1" "${3-$STORE}"
	return 1
}

# store_readable FILE: can its first and last byte be read?
store_readable() {
	head -c 1 "$1" >/dev/null 2>&1 && tail -c 1 "$1" >/dev/null 2>&1
}

# store_set_aside FILE STORE: moves it into corrupt/, or removes it if that fails. Sets store_aside to its new name.
store_set_aside() {
	store_aside=$2/corrupt/${1##*/}.$(date +%s)
	[ ! -d "$store_aside" ] || rm -rf "$store_aside" # mv would move into it
	share_move "$1" "$store_aside" || rm -rf "$1" 2>/dev/null || :
}

# store_quarantine HEX STORE: sets a damaged layer aside. A machine that slept on its way here may have caught the good layer
# that has replaced it meanwhile: that one goes back.
store_quarantine() {
	store_layer=$2/layers/sha256/$1
	store_point quarantine
	[ -e "$store_layer" ] || [ -L "$store_layer" ] || return 0
	store_set_aside "$store_layer" "$2"
	store_point quarantined
	if [ -f "$store_aside" ] && digest_verify "sha256:$1" "$store_aside"; then
		share_move "$store_aside" "$store_layer"
	else
		log store "$(event_digest "$1") in the store is damaged, set aside"
	fi
}
