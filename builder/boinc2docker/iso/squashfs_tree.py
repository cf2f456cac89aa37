"""Lists a squashfs image with ``unsquashfs`` of squashfs-tools. It needs no privileges."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

from boinc2docker import leftovers
from boinc2docker import programs as command
from boinc2docker.digest import Digest
from boinc2docker.iso.tree_difference import Leaf

PROGRAM = "unsquashfs"


def available() -> bool:
    """Whether this machine can read squashfs images."""
    return shutil.which(PROGRAM) is not None


def read(image: Path) -> dict[str, Leaf]:
    """Every path of an image. It is unpacked into a temporary directory.

    Modes are listed, not taken from the unpacked files, which lose some for an ordinary user. Raises CommandError.
    """
    modes = _modes(command.run([PROGRAM, "-lln", image]).decode("utf-8", "surrogateescape"))
    with leftovers.scratch() as work:
        top = work / "root"
        command.run([PROGRAM, "-no-progress", "-quiet", "-no-xattrs", "-dest", top, image])
        return {path: _leaf(top / path, mode) for path, mode in modes.items()}


def _modes(listing: str) -> dict[str, str]:
    """Mode and owner by path; the lines are ``mode owner size date time squashfs-root/path [-> target]``."""
    found = {}
    for line in listing.splitlines():
        words = line.split(None, 5)
        if len(words) == 6 and words[5].startswith("squashfs-root/"):
            path = words[5].removeprefix("squashfs-root/")
            if words[0].startswith("l"):
                path = path.split(" -> ")[0]
            found[path] = f"{words[0]} {words[1]}"
    return found


def _leaf(path: Path, mode: str) -> Leaf:
    kind = path.lstat().st_mode if path.is_symlink() or path.exists() else 0
    if stat.S_ISLNK(kind):
        target = str(path.readlink())
        return Leaf(mode, len(target), target)
    if stat.S_ISREG(kind):
        return Leaf(mode, path.stat().st_size, Digest.of_file(path).hex)
    return Leaf(mode, 0, "")
