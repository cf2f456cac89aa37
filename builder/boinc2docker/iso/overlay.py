"""Packs the tree ``guest/overlay`` into ``boinc.img``, the initramfs file with the agent.

What the build machine adds by itself (umask, owner, times, order, editor files) does not reach the image.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path

from boinc2docker import places
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError
from boinc2docker.formats import newc
from boinc2docker.formats.newc import Entry
from boinc2docker.iso.initramfs import check_overlay

DEFAULT_OVERLAY = places.GUEST / "overlay"
IDENTITY_NAME = "opt/boinc2docker/identity.json"
HEX_SUFFIX = ".hex0"

_SKIPPED = ("__pycache__", "*.pyc", ".git", ".gitkeep", ".gitignore", "*~", ".*.sw?", ".#*", "#*#", ".DS_Store")
_REFUSED = ("*.orig", "*.rej", "*.bak", "*.tmp", "*.part")
_COMMENT = re.compile(r"[#;].*")


def read_overlay(root: Path) -> list[Entry]:
    """The entries of an overlay tree, directories included, sorted.

    Modes come from the owner's x bit alone: 0755 or 0644, and 0755 for directories. ``X.hex0`` (pairs of hex digits,
    comments after ``#`` or ``;``) becomes the program ``X``. Editor and git files are left out.
    Raises InputError for what cannot be meant: leftovers of a merge, special files, a tree without files.
    """
    if not root.is_dir():
        raise InputError("no-overlay", f"the overlay {root} is not a directory")
    entries = sorted(_walk(root, ""), key=lambda entry: newc.encoded(entry.name))
    if all(entry.is_directory for entry in entries):
        raise InputError("no-overlay", f"the overlay {root} holds no files")
    return entries


def content_digest(entries: Iterable[Entry]) -> Digest:
    """A digest of the names, modes and contents of an overlay, independent of the base."""
    return Digest.of(newc.archive(entries))


def overlay_image(entries: Iterable[Entry], identity: str, base: Mapping[str, Entry], *, epoch: int) -> bytes:
    """``boinc.img`` for a base whose initramfs holds ``base``: the overlay and the identity.

    Directories that the base has get no record. Raises InputError if it would not unpack wholly.
    """
    members = {entry.name: entry for entry in entries}
    for name in parents(IDENTITY_NAME):
        members.setdefault(name, newc.directory(name))
    members[IDENTITY_NAME] = newc.regular(IDENTITY_NAME, identity.encode())
    data = newc.archive((entry for entry in members.values() if not _has_directory(base, entry)), mtime=epoch)
    check_overlay(data, base)
    return data


def parents(name: str) -> list[str]:
    """The directories above ``name``, outermost first."""
    parts = name.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def assemble_hex(text: str, shown: str) -> bytes:
    """The bytes of a ``.hex0`` text. Raises InputError, naming the line, for anything but pairs of hex digits."""
    found = bytearray()
    for number, line in enumerate(text.splitlines(), start=1):
        digits = "".join(_COMMENT.sub("", line).split())
        try:
            found += bytes.fromhex(digits)
        except ValueError as error:
            raise InputError("bad-hex", f"{shown}, line {number}: expected pairs of hex digits ({error})") from error
    return bytes(found)


def _has_directory(base: Mapping[str, Entry], entry: Entry) -> bool:
    existing = base.get(entry.name)
    return entry.is_directory and existing is not None and existing.is_directory


def _walk(folder: Path, prefix: str) -> Iterator[Entry]:
    for path in folder.iterdir():
        if any(fnmatch(path.name, pattern) for pattern in _SKIPPED):
            continue
        if any(fnmatch(path.name, pattern) for pattern in _REFUSED):
            raise InputError("bad-overlay", f"{path} looks like a leftover", hint="remove it from the overlay")
        name = prefix + path.name
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            yield newc.directory(name)
            yield from _walk(path, name + "/")
        else:
            yield _entry(path, name, mode)


def _entry(path: Path, name: str, mode: int) -> Entry:
    if stat.S_ISLNK(mode):
        return newc.symlink(name, str(path.readlink()))
    if not stat.S_ISREG(mode):
        raise InputError("bad-overlay", f"{path} is neither file, directory nor symbolic link")
    data = path.read_bytes()
    if name.endswith(HEX_SUFFIX):
        return newc.regular(
            name.removesuffix(HEX_SUFFIX), assemble_hex(data.decode("utf-8", "replace"), str(path)), 0o755
        )
    return newc.regular(name, data, 0o755 if mode & stat.S_IXUSR else 0o644)
