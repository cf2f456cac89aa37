# shellcheck shell=sh
# The host's directories: VirtualBox' shared folders, QEMU's 9p, or virtiofs.

# mount_folder NAME DIRECTORY: mounts the host's folder NAME there. Already mounted is success.
mount_folder() {
	mount_point "$2" && return 0
	mkdir -p "$2" || return 1
	for mount_type in vboxsf 9p virtiofs; do
		if "mount_$mount_type" "$1" "$2" 2>/dev/null; then
			MOUNT_TYPE=$mount_type
			return 0
		fi
	done
	return 1
}

# mount_point DIRECTORY: is something mounted there? Sets MOUNT_TYPE to the file system's type.
mount_point() {
	MOUNT_TYPE=
	while read -r _ mount_dir mount_fs _; do
		[ "$mount_dir" = "$1" ] && MOUNT_TYPE=$mount_fs
	done 2>/dev/null <"$B2D_PROC/mounts"
	[ -n "$MOUNT_TYPE" ]
}

# mount_supported NAME [MODULE...]: can the kernel mount this type, once these modules are loaded?
mount_supported() {
	mount_wanted=$1
	shift
	for mount_module in "$@"; do
		"$B2D_MODPROBE" "$mount_module" >/dev/null 2>&1 || : # built in, or missing: the list of types decides
	done
	grep -qw -- "$mount_wanted" "$B2D_PROC/filesystems" 2>/dev/null
}

# mount_vboxsf NAME DIRECTORY: tries the options of the kernel's own driver, then those of the Guest Additions' driver. Only
# root may use it. The second set is tried only if the first was not understood: every refusal is a line in the host's log.
mount_vboxsf() {
	mount_virtualbox || return 1
	mount_supported vboxsf vboxguest vboxsf || return 1
	for mount_options in nls=utf8,dmode=0700,fmode=0700 iocharset=utf8,dmode=0700,fmode=0700; do
		mount_said=$(LC_ALL=C "$B2D_MOUNT" -t vboxsf -o "$mount_options" "$1" "$2" 2>&1) && return 0
		case $mount_said in *'Invalid argument'*) ;; *) return 1 ;; esac
	done
	return 1
}

# mount_virtualbox: is VirtualBox' device for guests (PCI 80ee:cafe) there? Without it vboxsf writes errors everywhere.
mount_virtualbox() {
	[ -d "$B2D_SYS/bus/pci/devices" ] || return 0 # cannot be told
	grep -qsi '^0x80ee' "$B2D_SYS"/bus/pci/devices/*/vendor && grep -qsi '^0xcafe' "$B2D_SYS"/bus/pci/devices/*/device
}

# mount_9p NAME DIRECTORY: uses no cache (the default), since other machines and the host write there too, and big messages.
mount_9p() {
	mount_supported 9p virtio_pci 9pnet_virtio 9p || return 1
	"$B2D_MOUNT" -t 9p -o trans=virtio,version=9p2000.L,msize=512000 "$1" "$2"
}

# mount_virtiofs NAME DIRECTORY: mounts by virtiofs.
mount_virtiofs() {
	mount_supported virtiofs virtiofs || return 1
	"$B2D_MOUNT" -t virtiofs "$1" "$2"
}

# mount_shared: mounts the task's own directory. Tries for two minutes (a host may be slow to attach it), then fails.
mount_shared() {
	mount_tries=24
	until mount_folder shared "$B2D_SHARE"; do
		mount_tries=$((mount_tries - 1))
		[ "$mount_tries" -gt 0 ] || return 1
		[ "$((mount_tries % 6))" -ne 5 ] || log mounts 'shared: nothing to mount yet'
		sleep "$B2D_RETRY_SECONDS"
	done
	log mounts "shared by $MOUNT_TYPE"
}

# mount_scratch: mounts the project's directory. Many hosts have none, and the job runs without it.
mount_scratch() {
	if mount_folder scratch "$B2D_SCRATCH"; then
		log mounts "scratch by $MOUNT_TYPE"
	else
		log mounts 'scratch: none, working without it'
	fi
}

# mount_free_kb DIRECTORY: prints how many KB can be written there; in memory, no more than the memory that is left. Fails
# if it cannot be told.
mount_free_kb() {
	mount_disk=$(df -Pk "$1" 2>/dev/null | awk 'NR == 2 { print $4, $6 }')
	mount_space=${mount_disk%% *}
	case $mount_space in '' | *[!0-9]*) return 1 ;; esac
	if mount_point "${mount_disk#* }" && [ "$MOUNT_TYPE" = tmpfs ]; then
		mount_memory=$(awk '$1 == "MemAvailable:" || $1 == "SwapFree:" { n += $2 } END { print int(n) }' "$B2D_PROC/meminfo")
		[ "$mount_memory" -ge "$mount_space" ] || mount_space=$mount_memory
	fi
	printf '%s\n' "$mount_space"
}
