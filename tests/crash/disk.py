"""A file system that remembers what was flushed: which states a power cut may leave, by POSIX and nothing more.

A write reaches the disk at the latest with an fsync of its file, a name with an fsync of its directory. Until then it
may be lost or not, each by itself and in any order. A file system that keeps an order (ext4's journal) leaves fewer
states, all of which are among these. Bounded as CrashMonkey is (Mohan et al., OSDI 2018): few operations, every moment.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = 0
_RECENT, _RECENT_EXHAUSTIVE = 4, 10


@dataclass(frozen=True)
class Write:
    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Truncate:
    inode: int
    size: int


@dataclass(frozen=True)
class Link:
    """A name for a new or an old file, or for a new directory."""

    directory: int
    name: str
    inode: int


@dataclass(frozen=True)
class Unlink:
    directory: int
    name: str


@dataclass(frozen=True)
class Rename:
    directory: int
    name: str
    to_directory: int
    to_name: str
    inode: int


@dataclass(frozen=True)
class Sync:
    inode: int


@dataclass(frozen=True)
class Mark:
    """Something that was told to the world: what it speaks of must survive from now on."""

    text: str


Operation = Write | Truncate | Link | Unlink | Rename | Sync | Mark


@dataclass
class Disk:
    """Files and directories by number. Symbolic links are files in ``links``."""

    files: dict[int, bytearray] = field(default_factory=dict)
    directories: dict[int, dict[str, int]] = field(default_factory=lambda: {ROOT: {}})
    links: dict[int, str] = field(default_factory=dict)

    def apply(self, operation: Operation) -> None:
        """Does it as far as it can be done after others were lost."""
        match operation:
            case Write(inode, offset, data):
                file = self.files[inode]
                file.extend(bytes(max(0, offset - len(file))))
                file[offset : offset + len(data)] = data
            case Truncate(inode, size):
                file = self.files[inode]
                file.extend(bytes(max(0, size - len(file))))
                del file[size:]
            case Link(directory, name, inode):
                self.directories[directory][name] = inode
            case Unlink(directory, name):
                self.directories[directory].pop(name, None)
            case Rename(directory, name, to_directory, to_name, inode):
                if self.directories[directory].get(name) == inode:
                    del self.directories[directory][name]
                self.directories[to_directory][to_name] = inode

    def find(self, path: Sequence[str]) -> int | None:
        """The inode at a path below the root."""
        inode: int | None = ROOT
        for part in path:
            inode = self.directories.get(inode, {}).get(part) if inode is not None else None
        return inode

    def places(self, directory: int = ROOT, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Every path that can be reached, each with a slash before it, and its inode."""
        yield prefix, directory
        for name, inode in self.directories.get(directory, {}).items():
            yield from self.places(inode, f"{prefix}/{name}")

    def tree(self) -> dict[str, bytes | str | None]:
        """All that can be reached, by path: bytes of a file, target of a link, None for a directory."""
        return dict(self._below(ROOT, ""))

    def _below(self, directory: int, prefix: str) -> Iterator[tuple[str, bytes | str | None]]:
        for name, inode in sorted(self.directories[directory].items()):
            if inode in self.directories:
                yield prefix + name, None
                yield from self._below(inode, f"{prefix}{name}/")
            elif inode in self.links:
                yield prefix + name, self.links[inode]
            else:
                yield prefix + name, bytes(self.files[inode])


@dataclass(frozen=True)
class Recording:
    """What was done, in order, to a directory that was as ``before``; the inodes that came later are empty there."""

    before: Disk
    operations: tuple[Operation, ...]

    def disk(self, kept: Sequence[Operation]) -> Disk:
        """The disk after these operations only."""
        made = Disk(
            {inode: bytearray(data) for inode, data in self.before.files.items()},
            {inode: dict(names) for inode, names in self.before.directories.items()},
            dict(self.before.links),
        )
        for one in kept:
            made.apply(one)
        return made


@dataclass(frozen=True)
class CrashState:
    """What a power cut may leave, and what had been told before it. ``how`` says how it came about."""

    tree: dict[str, bytes | str | None]
    told: tuple[str, ...]
    how: str

    def put(self, target: Path) -> None:
        """Makes it a real directory."""
        target.mkdir()
        for name, content in self.tree.items():
            path = target / name
            if content is None:
                path.mkdir()
            elif isinstance(content, str):
                path.symlink_to(content)
            else:
                path.write_bytes(content)


def volatile(operations: Sequence[Operation]) -> list[int]:
    """Which operations a power cut after all of these may undo."""
    flushed: set[int] = set()
    found = []
    for number in range(len(operations) - 1, -1, -1):
        match operations[number]:
            case Sync(inode):
                flushed.add(inode)
            case Write(inode) | Truncate(inode) | Link(inode) | Unlink(inode):
                if inode not in flushed:
                    found.append(number)
            case Rename(_, _, to_directory):
                if to_directory not in flushed:
                    found.append(number)
    return found[::-1]


def crash_states(
    recording: Recording, *, exhaustive: bool = False, passed_over: re.Pattern[str] | None = None
) -> Iterator[CrashState]:
    """Every different state, once with each thing told: the power is cut after each operation, and of those that a cut
    may undo these are lost:

    none; all; each alone; all but each; all after each (an ordered journal); all data, no names (delayed allocation).
    Or the last write is torn. "Each" are the last few, for the earlier ones were lost at earlier moments, and all when
    something was told. ``exhaustive``: more than a few; also every pair of them, each of their writes torn, and random
    choices of all.

    Nothing is lost of paths that match ``passed_over``.
    """
    quiet = _matching(recording, passed_over) if passed_over else set()
    seen: set[bytes] = set()
    told: tuple[str, ...] = ()
    for end in range(len(recording.operations) + 1):
        done = recording.operations[:end]
        if done and isinstance(done[-1], Mark):
            told = (*told, done[-1].text)
        if done and isinstance(done[-1], Sync):
            continue  # it only takes states away
        for how, kept in _choices(done, quiet, exhaustive=exhaustive):
            tree = recording.disk(kept).tree()
            key = hashlib.sha256(repr((told, sorted(tree.items()))).encode()).digest()
            if key not in seen:
                seen.add(key)
                yield CrashState(tree, told, f"after {end} operations ({_shown(done)}), {how}")


def _matching(recording: Recording, pattern: re.Pattern[str]) -> set[int]:
    """Numbers of the operations on paths that match, as they were called at that moment."""
    found, paths = set(), {inode: path for path, inode in recording.before.places()}
    for number, one in enumerate(recording.operations):
        match one:
            case Link(directory, name, inode):
                path = f"{paths.get(directory, '')}/{name}"
                paths[inode] = path
            case Unlink(directory, name) | Rename(_, _, directory, name):
                path = f"{paths.get(directory, '')}/{name}"
            case Write(inode) | Truncate(inode):
                path = paths.get(inode, "")
            case _:
                continue
        if isinstance(one, Rename):
            paths[one.inode] = path
        if pattern.search(path):
            found.add(number)
    return found


def _choices(done: Sequence[Operation], quiet: set[int], *, exhaustive: bool) -> Iterator[tuple[str, list[Operation]]]:
    """Ways to lose something of what was done: in words, and what is left."""
    unsafe = [number for number in volatile(done) if number not in quiet]
    data = [number for number in unsafe if isinstance(done[number], Write | Truncate)]
    lost: list[tuple[str, set[int]]] = [("nothing lost", set()), ("all unsynced lost", set(unsafe))]
    lost.append(("all unsynced data lost", set(data)))
    few = _RECENT_EXHAUSTIVE if exhaustive else _RECENT
    each = list(enumerate(unsafe))[0 if done and isinstance(done[-1], Mark) else -few :]
    for place, number in each:
        lost.append((f"lost {done[number]!r:.100}", {number}))
        lost.append((f"of the unsynced kept only {done[number]!r:.100}", set(unsafe) - {number}))
        lost.append((f"lost everything unsynced from {done[number]!r:.100}", set(unsafe[place:])))
    if exhaustive:
        lost += [(f"lost operations {pair}", set(pair)) for pair in itertools.combinations(unsafe[-few:], 2)]
        chance = random.Random(len(done))
        for _ in range(20 if len(unsafe) > 2 else 0):
            some = {number for number in unsafe if chance.random() < 0.5}
            lost.append((f"lost operations {sorted(some)}", some))
    for how, gone in lost:
        yield how, [one for number, one in enumerate(done) if number not in gone]
    for number in data[-few:] if exhaustive else data[-1:]:
        one = done[number]
        if isinstance(one, Write) and len(one.data) > 1:
            half = len(one.data) // 2
            zeros = one.data[:half] + bytes(len(one.data) - half)
            for how, torn in ((f"operation {number} half written", one.data[:half]), (f"{number} half zeros", zeros)):
                yield how, [*done[:number], Write(one.inode, one.offset, torn), *done[number + 1 :]]


def _shown(done: Sequence[Operation]) -> str:
    return f"{done[-1]!r:.100}" if done else "none"
