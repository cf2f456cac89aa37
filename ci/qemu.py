"""A QEMU with ``vfio-user-pci`` from locked Debian packages, unpacked into the cache: ``python -m ci.qemu``.

It runs with its own loader, libraries and data files, so that the host's distribution does not matter. Nothing is
installed. ``boinc2docker.vm.vfio_qemu`` finds it.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from boinc2docker import atomic, console
from boinc2docker.base import lock as locks
from boinc2docker.base import package_list
from boinc2docker.base.debian import package
from boinc2docker.base.debian.tree import Kind, Spool
from boinc2docker.base.lock import Lock, LockedPackage
from boinc2docker.base.obtain import Sources
from boinc2docker.digest import Digest
from boinc2docker.errors import BuilderError, HostError
from boinc2docker.programs import run
from boinc2docker.vm.vfio_qemu import HELP, PROGRAM, unpacked_in
from tests.equipment.checkout import PROJECT_ROOT

LIST = PROJECT_ROOT / "ci" / "qemu.toml"
LOCK = PROJECT_ROOT / "ci" / "qemu.lock"
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_WANTED = (_LIBRARIES + "/", "usr/share/qemu/", "usr/share/seabios/", f"usr/bin/{PROGRAM}")
_HEADER = "# Written by `python -m ci.qemu --update` from qemu.toml and Debian's signed index. Do not edit.\n"
WRAPPER = f"""\
#!/bin/sh
# QEMU out of its unpacked packages, with their own loader, libraries, modules and firmware.
root=${{0%/*}}/root
libraries=$root/{_LIBRARIES}
QEMU_MODULE_DIR=$libraries/qemu
export QEMU_MODULE_DIR
exec "$libraries/ld-linux-x86-64.so.2" --inhibit-cache --library-path "$libraries" --argv0 "$0" \\
	"$root/usr/bin/{PROGRAM}" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" "$@"
"""


def obtain(sources: Sources | None = None) -> Path:
    """The program, unpacked if these packages are not yet. Raises BuilderErrors."""
    here = (platform.system(), platform.machine())
    if here != ("Linux", "x86_64"):
        raise HostError("wrong-host", f"the unpacked QEMU is for Linux x86-64, this is {' '.join(here)}")
    where = sources or Sources()
    lock = locks.read(LOCK)
    locks.require_current(lock, package_list.read(LIST).digest)
    target = unpacked_in(where.cache) / Digest.of(locks.render(lock).encode() + WRAPPER.encode()).hex[:16]
    program = target / PROGRAM
    with where.cache.locked("qemu"):
        if program.exists():
            os.utime(target)  # the newest is taken
            return program
        debs = where.debian().archive.fetch(lock)
        with console.step(f"unpacking QEMU into {target}"):
            _unpack(debs, target)
    return program


def update(sources: Sources | None = None) -> list[locks.Change]:
    """Resolves against today's signed indexes and writes the lock; what changed. Raises BuilderErrors."""
    wanted = package_list.read(LIST)
    before = locks.read(LOCK) if LOCK.exists() else None
    after: Lock = (sources or Sources()).debian().archive.lock(wanted, since=dict(before.dates) if before else None)
    changes = locks.compare(before, after)
    if before is None or changes or before.inputs != after.inputs:
        atomic.write_text(LOCK, _HEADER + locks.render(after).split("\n", 1)[1])
    return changes


def _unpack(debs: Mapping[LockedPackage, Path], target: Path) -> None:
    """Into a directory beside ``target``, which becomes it when the program has run."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            with tempfile.TemporaryFile() as stream, console.progress("QEMU", sum(one.size for one in debs)) as advance:
                spool = Spool(stream)
                for locked, deb in debs.items():
                    _unpack_one(locked.name, deb, draft / "root", spool)
                    advance(locked.size)
            (draft / PROGRAM).write_text(WRAPPER)
            for path in (draft, draft / PROGRAM):
                path.chmod(0o755)
            _require_running(draft / PROGRAM)
            draft.rename(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise atomic.explain(error, f"write {target}") from error


def _unpack_one(name: str, deb: Path, root: Path, spool: Spool) -> None:
    for where, node in package.nodes(deb, name, lambda path: path.startswith(_WANTED), spool):
        path = root / where
        if node.kind is Kind.DIRECTORY:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if node.kind is Kind.LINK:
            path.symlink_to(node.target)
        else:
            path.write_bytes(spool.read(node.content))
            path.chmod(node.mode)


def _require_running(program: Path) -> None:
    """Raises CommandError, with what QEMU says, unless it starts here and has the device."""
    run([program, *HELP])


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m ci.qemu", description=__doc__)
    parser.add_argument("--update", action="store_true", help="resolve again and rewrite ci/qemu.lock")
    options = parser.parse_args(words)
    try:
        if options.update:
            for change in update():
                console.info(f"qemu.lock: {change}")
        console.result(str(obtain()))
    except BuilderError as error:
        console.failure(error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
