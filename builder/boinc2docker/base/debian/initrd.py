"""The base's initrd: a static busybox, the modules that find the CD, and the script that boots from it.

Compressed by the locked xz, with CRC32 as check: the kernel's decoder knows no CRC64 (measured).
"""

from __future__ import annotations

from collections.abc import Iterable

from boinc2docker.base.debian.toolbox import Toolbox
from boinc2docker.formats import newc


def archive(busybox: bytes, init: bytes, modules: Iterable[tuple[str, bytes]], *, epoch: int) -> bytes:
    """The archive, uncompressed. ``modules`` (name, content) in the order in which they have to be loaded."""
    loaded = list(modules)
    order = "".join(f"{name}.ko\n" for name, _ in loaded).encode()
    entries = [newc.directory(name) for name in ("bin", "dev", "lib", "lib/modules", "proc", "run", "sys", "sysroot")]
    entries += [
        newc.regular("bin/busybox", busybox, 0o755),
        newc.regular("init", init, 0o755),
        newc.regular("lib/modules/order", order),
        newc.symlink("bin/sh", "busybox"),
    ]
    entries += [newc.regular(f"lib/modules/{name}.ko", content) for name, content in loaded]
    return newc.archive(entries, mtime=epoch)


def compress(data: bytes, toolbox: Toolbox) -> bytes:
    """The archive as the kernel unpacks it."""
    return toolbox.run("usr/bin/xz", "--check=crc32", "--threads=1", "--stdout", "-9", "-", stdin=data)
