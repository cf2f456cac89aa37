"""An ISO in boot2docker's exact format, made from the debian base's own kernel and files.

What counts as the format (boot2docker's Dockerfile, make-b2d-iso.sh, bootsync.sh and Tiny Core's /init): one lzma-alone
newc initrd that holds the whole system, copied to a tmpfs at boot (``noembed``), Rock Ridge ISO made by ``xorriso -as
mkisofs`` with an isolinux MBR, ``/opt/bootsync.sh`` that starts Docker and then the hook. Both directory layouts:
``new`` (18.09 and later: /isolinux, /boot/vmlinuz, hook /opt/bootlocal.sh) and ``old`` (to 18.06: /boot/isolinux,
/boot/vmlinuz64, Joliet, hook /var/lib/boot2docker/bootlocal.sh).
"""

from __future__ import annotations

import lzma
import stat
import subprocess
from pathlib import Path
from typing import Literal

from boinc2docker.formats import newc

Layout = Literal["old", "new"]

INIT = """\
#!/bin/busybox sh
# Tiny Core's way with "noembed": the root file system moves from rootfs to a tmpfs; runc cannot pivot_root in rootfs.
/bin/busybox mount -t proc proc /proc
grep -qw noembed /proc/cmdline || exec /sbin/init
umount /proc
mkdir /mnt/new
mount -t tmpfs -o size=90% tmpfs /mnt/new
for entry in /*; do
	[ "$entry" = /mnt ] || cp -a "$entry" /mnt/new/
done
mkdir -p /mnt/new/mnt
exec switch_root /mnt/new /sbin/init
"""

INITTAB = """\
::sysinit:/etc/init.d/rcS
::ctrlaltdel:/sbin/reboot
"""

RCS = """\
#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm /run/lock
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
ln -sf /proc/self/fd /dev/fd
xargs modprobe -abq </etc/modules-load.d/boot.conf
find /sys/devices -name modalias -exec cat {} + | sort -u | xargs modprobe -abq
ip link set lo up
(ip link set eth0 up && udhcpc -i eth0 -s /usr/lib/boinc2docker/lease) >/dev/null 2>&1 &
/opt/bootsync.sh
"""

BOOTSYNC = """\
#!/bin/sh
mkdir -p /var/lib/boot2docker/log
mount -t cgroup2 cgroup2 /sys/fs/cgroup
env -i PATH="$PATH" /etc/init.d/docker start
"""

HOOKS = {
    "new": "/opt/bootlocal.sh &\n",
    "old": "if [ -e /var/lib/boot2docker/bootlocal.sh ]; then\n\tsh /var/lib/boot2docker/bootlocal.sh &\nfi\n",
}

DOCKER = """\
#!/bin/sh
# dockerd gives a containerd of its own 15 s, which emulation does not keep; so it is started first.
case "$1" in
start)
	mkdir -p /var/lib/boot2docker/log /run/containerd
	containerd --config /etc/containerd/config.toml >/var/log/containerd.log 2>&1 &
	(
		until [ -S /run/containerd/containerd.sock ]; do sleep 0.2; done
		exec dockerd --data-root /var/lib/docker -H unix:///var/run/docker.sock --pidfile /var/run/docker.pid \\
			--containerd /run/containerd/containerd.sock >>/var/lib/boot2docker/log/docker.log 2>&1
	) &
	;;
*) exit 1 ;;
esac
"""

CONFIG = """\
serial 0

ui menu.c32
prompt 1
menu title Boot2Docker

timeout 2

label boot2docker
	kernel {kernel}
	initrd /boot/initrd.img
	append loglevel=3 console=ttyS0 console=tty0 base norestore noembed
"""

CONFIG_OLD = """\
serial 0 9600
default boot2docker
prompt 0
timeout 1

label boot2docker
	kernel {kernel} com1=9600,8n1
	append loglevel=3 user=docker console=tty0 console=ttyS0 noembed nomodeset norestore initrd=/boot/initrd.img base
"""


def build(debian_iso: Path, output: Path, layout: Layout, work: Path) -> None:
    """Writes the ISO to ``output``; ``work`` is an empty directory. Needs xorriso, unsquashfs and Debian's isolinux."""
    parts = work / "parts"
    _call("xorriso", "-osirrox", "on", "-indev", debian_iso, "-extract", "/", parts)
    _call("chmod", "-R", "u+rwX", parts)
    root = work / "root"
    _call("unsquashfs", "-no-progress", "-no-xattrs", "-d", root, parts / "boot" / "rootfs.squashfs")
    _dress(root, layout)
    tree = work / "iso"
    kernel = "/boot/vmlinuz" if layout == "new" else "/boot/vmlinuz64"
    loader = tree / ("isolinux" if layout == "new" else "boot/isolinux")
    loader.mkdir(parents=True)
    (tree / "boot").mkdir(exist_ok=True)
    (parts / "boot" / "vmlinuz").rename(tree / kernel.lstrip("/"))
    (tree / "boot" / "initrd.img").write_bytes(_initrd(root))
    for name in ("libutil.c32", "menu.c32", "ldlinux.c32"):
        (loader / name).write_bytes((Path("/usr/lib/syslinux/modules/bios") / name).read_bytes())
    (loader / "isolinux.bin").write_bytes(Path("/usr/lib/ISOLINUX/isolinux.bin").read_bytes())
    (loader / "isolinux.cfg").write_text((CONFIG if layout == "new" else CONFIG_OLD).format(kernel=kernel))
    where = loader.relative_to(tree)
    old_options = ["-l", "-J", "-R"] if layout == "old" else []
    volume = "b2d-v19.03.12" if layout == "new" else "Boot2Docker-v1.11"
    hybrid = ["-isohybrid-mbr", "/usr/lib/ISOLINUX/isohdpfx.bin"]
    boot = ["-b", f"{where}/isolinux.bin", "-c", f"{where}/boot.cat"]
    load = ["-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"]
    words = [*old_options, "-A", "Boot2Docker", "-V", volume, *hybrid, *boot, *load]
    _call("xorriso", "-as", "mkisofs", "-o", output, *words, tree)


def _dress(root: Path, layout: Layout) -> None:
    """Turns the debian base's root file system into one that boots as boot2docker's does."""
    for path in sorted((root / "etc" / "init.d").iterdir()):
        path.unlink()
    scripts = {
        "init": INIT,
        "etc/init.d/rcS": RCS,
        "etc/init.d/docker": DOCKER,
        "opt/bootsync.sh": BOOTSYNC + HOOKS[layout],
    }
    for name, text in scripts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (root / "etc" / "inittab").write_text(INITTAB)
    (root / "etc" / "resolv.conf").unlink(missing_ok=True)
    (root / "etc" / "resolv.conf").write_text("")


def _initrd(root: Path) -> bytes:
    """The whole system as one lzma-alone newc archive, as ``xz --format=lzma`` writes it."""
    entries = []
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        status = path.lstat()
        if path.is_symlink():
            entries.append(newc.symlink(name, str(path.readlink())))
        elif path.is_dir():
            entries.append(newc.directory(name, stat.S_IMODE(status.st_mode)))
        else:
            entries.append(newc.regular(name, path.read_bytes(), stat.S_IMODE(status.st_mode)))
    return lzma.compress(newc.archive(entries), format=lzma.FORMAT_ALONE, preset=1)


def _call(*argv: str | Path) -> None:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
