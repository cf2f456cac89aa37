# shellcheck shell=sh
# The data disk: a blank disk (vboxwrapper's vm_cache.vdi) holds Docker's data, so that an image need not fit into memory. A
# disk with anything else on it is never written to.
#
# A disk is ours if its last sector carries DISK_MARKER or its ext4 label is DISK_LABEL. The marker is written before the file
# system is made, so that a disk is recognised, and formatted again, after a power cut while formatting.

DISK_LABEL=b2d-data
DISK_MARKER='boinc2docker data disk 1'
DISK_TAIL_KB=1024    # kept out of the file system, for the marker
DISK_SMALLEST_MB=128 # Docker has no use for less

# disk_prepare: finds the data disk, formats it if it is blank, and mounts it as Docker's data and /tmp. Succeeds without one.
disk_prepare() {
	mount_point "$B2D_DOCKER_DATA" && [ "$MOUNT_TYPE" != tmpfs ] && return 0
	[ ! -L "$B2D_DOCKER_DATA" ] || return 0 # boot2docker put it on a disk of its own
	disk_choose || return 0
	if docker_started; then
		log boot "data disk $DISK: not used, Docker has started before the agent"
		return 0
	fi
	disk_mount_ext4 "$DISK" || return 0
	mkdir -p "$B2D_DATA_MOUNT/docker" "$B2D_DATA_MOUNT/tmp" "$B2D_DOCKER_DATA" "$B2D_ROOT/tmp" || return 1
	chmod 1777 "$B2D_DATA_MOUNT/tmp" || return 1
	"$B2D_MOUNT" --bind "$B2D_DATA_MOUNT/docker" "$B2D_DOCKER_DATA" || return 1
	"$B2D_MOUNT" --bind "$B2D_DATA_MOUNT/tmp" "$B2D_ROOT/tmp" || return 1
	log boot "data disk $DISK: $(($(disk_kb "$DISK") / 1024)) MB for Docker"
}

# disk_choose: sets DISK (a name such as sda) to our disk, else to the first blank one, and DISK_STATE to ours or blank.
disk_choose() {
	DISK='' DISK_STATE=''
	for disk_dir in "$B2D_SYS"/block/sd? "$B2D_SYS"/block/vd?; do
		disk_usable "$disk_dir" || continue
		disk_state=$(disk_content "${disk_dir##*/}")
		case $disk_state in
		ours) DISK=${disk_dir##*/} DISK_STATE=ours && return 0 ;;
		blank) [ -n "$DISK" ] || { DISK=${disk_dir##*/} && DISK_STATE=blank; } ;;
		esac
	done
	[ -n "$DISK" ]
}

# disk_usable /sys/block/NAME: is it a whole, writable, fixed disk without partitions, of a useful size?
disk_usable() {
	[ -d "$1" ] || return 1
	[ "$(cat "$1/ro" 2>/dev/null)" = 0 ] || return 1
	[ "$(cat "$1/removable" 2>/dev/null)" = 0 ] || return 1
	for disk_part in "$1/${1##*/}"[0-9]*; do
		[ ! -e "$disk_part" ] || return 1
	done
	[ "$(($(disk_kb "${1##*/}") / 1024))" -ge "$DISK_SMALLEST_MB" ]
}

# disk_kb NAME: prints its size in KB, 0 if unknown.
disk_kb() {
	disk_sectors=$(cat "$B2D_SYS/block/$1/size" 2>/dev/null) || disk_sectors=0
	case $disk_sectors in '' | *[!0-9]*) disk_sectors=0 ;; esac
	printf '%s\n' "$((disk_sectors / 2))"
}

# disk_content NAME: prints ours, blank or foreign. Blank means zeros in the first 4 MB and the last 1 MB, where every
# partition table, file system and volume manager keeps something.
disk_content() {
	disk_last=$(($(disk_kb "$1") - DISK_TAIL_KB))
	if disk_bytes "$1" "$disk_last" "$DISK_TAIL_KB" | tail -c 512 | grep -qF -- "$DISK_MARKER"; then
		printf 'ours\n'
	elif [ "$(disk_label "$1")" = "$DISK_LABEL" ]; then
		printf 'ours\n'
	elif [ "$({ disk_bytes "$1" 0 4096 && disk_bytes "$1" "$disk_last" "$DISK_TAIL_KB" && printf '.'; } | tr -d '\000' | head -c 2)" = . ]; then
		printf 'blank\n'
	else
		printf 'foreign\n'
	fi
}

# disk_bytes NAME START_KB COUNT_KB: prints a part of the disk; fails if it cannot be read.
disk_bytes() {
	dd if="$B2D_DEV/$1" bs=1024 skip="$2" count="$3" 2>/dev/null
}

# disk_label NAME: prints the label of the ext file system on it (superblock at 1024: magic at 56, label at 120), if any.
disk_label() {
	[ "$(dd if="$B2D_DEV/$1" bs=1 skip=1080 count=2 2>/dev/null | od -An -tx1 | tr -d ' \n')" = 53ef ] || return 0
	dd if="$B2D_DEV/$1" bs=1 skip=1144 count=16 2>/dev/null | tr -d '\000'
}

# disk_mount_ext4 NAME: mounts our disk at $B2D_DATA_MOUNT, after a check; formats it if it is blank or beyond repair.
disk_mount_ext4() {
	"$B2D_MODPROBE" ext4 >/dev/null 2>&1 || : # may be built in
	mkdir -p "$B2D_DATA_MOUNT" || return 1
	mount_point "$B2D_DATA_MOUNT" && return 0
	if [ "$DISK_STATE" = ours ] && disk_repair "$1" && disk_mount "$1"; then
		return 0
	fi
	[ "$DISK_STATE" = blank ] || log boot "data disk $1: cannot be mounted, formatting it again"
	if disk_format "$1" && disk_mount "$1"; then
		return 0
	fi
	log boot "data disk $1: cannot be used, working in memory"
	return 1
}

# disk_repair NAME: checks the file system; succeeds if it is good now (e2fsck: 1 and 2 mean repaired).
disk_repair() {
	"$(disk_program e2fsck)" -p "$B2D_DEV/$1" </dev/null >>"$B2D_LOG" 2>&1
	[ "$?" -le 2 ]
}

# disk_mount NAME: mounts it at $B2D_DATA_MOUNT.
disk_mount() {
	"$B2D_MOUNT" -t ext4 -o noatime "$B2D_DEV/$1" "$B2D_DATA_MOUNT" >>"$B2D_LOG" 2>&1
}

# disk_format NAME: writes the marker, then an ext4 that leaves the marker alone. Lazily: a 16 GB disk takes two seconds.
disk_format() {
	disk_size=$(disk_kb "$1")
	printf '%s\n' "$DISK_MARKER" |
		dd of="$B2D_DEV/$1" bs=512 seek="$((disk_size * 2 - 1))" conv=notrunc,sync 2>/dev/null || return 1
	sync
	"$(disk_program mke2fs)" -q -F -t ext4 -b 4096 -m 0 -L "$DISK_LABEL" -E lazy_itable_init=1,lazy_journal_init=1 \
		"$B2D_DEV/$1" "$(((disk_size - DISK_TAIL_KB) / 4))" </dev/null >>"$B2D_LOG" 2>&1
}

# disk_program NAME: prints the path of the real program, not of a busybox applet; else its plain name.
disk_program() {
	disk_rest=$PATH:
	while [ -n "$disk_rest" ]; do
		disk_path=${disk_rest%%:*}/$1
		disk_rest=${disk_rest#*:}
		[ -x "$disk_path" ] || continue
		case $(readlink -f "$disk_path") in
		*busybox*) ;;
		*) printf '%s\n' "$disk_path" && return ;;
		esac
	done
	printf '%s\n' "$1"
}
