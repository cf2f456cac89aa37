"""Writes a tree as a squashfs image: a sorted tar stream into ``mksquashfs``.

The settings make the image small and its bytes a function of the tree and the epoch alone: xz with the x86 branch
filter, blocks of 1 MB, no extended attributes, root owns everything, one time for everything.
"""

from __future__ import annotations

import tarfile
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from boinc2docker import console
from boinc2docker.base.debian.toolbox import Toolbox
from boinc2docker.base.debian.tree import Kind, Node, Spool, Tree
from boinc2docker.errors import CommandError, HostError

PROGRAM = "usr/bin/mksquashfs"
_TYPES = {Kind.DIRECTORY: tarfile.DIRTYPE, Kind.FILE: tarfile.REGTYPE, Kind.LINK: tarfile.SYMTYPE}


def member(path: str, node: Node, epoch: int) -> tarfile.TarInfo:
    """Returns the tar header of a node: owned by root by number, without names, with the time ``epoch``."""
    info = tarfile.TarInfo(path)
    info.type = _TYPES[node.kind]
    info.mode = node.mode
    info.size = node.size
    info.linkname = node.target
    info.mtime = epoch
    return info


def write_tar(tree: Tree, spool: Spool, stream: IO[bytes], epoch: int) -> Iterator[int]:
    """Writes the tree to ``stream`` in sorted order. Yields each file's size once it is written."""
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as archive:
        for path, node in tree.items():
            header = member(path, node, epoch)
            archive.addfile(header, _Slice(spool, node) if node.size else None)
            yield node.size


def write(tree: Tree, spool: Spool, target: Path, toolbox: Toolbox, *, epoch: int) -> None:
    """Writes the squashfs image. Raises CommandError with mksquashfs' own last lines."""
    options = ["-tar", "-noappend", "-quiet", "-percentage", "-comp", "xz", "-Xbcj", "x86", "-b", "1M", "-no-xattrs"]
    options += ["-all-root", "-root-mode", "755", "-mkfs-time", str(epoch), "-all-time", str(epoch)]
    total = sum(node.size for _, node in tree.items())
    with tempfile.TemporaryFile() as errors, console.progress("root file system", total) as advance:
        process = toolbox.start(PROGRAM, "-", target, *options, stderr=errors)
        done = Compressed(advance)
        reader = threading.Thread(target=done.follow, args=(process.stdout,))
        reader.start()
        try:
            assert process.stdin is not None  # noqa: S101
            try:
                for size in write_tar(tree, spool, process.stdin, epoch):
                    done.fed += size
                process.stdin.close()
            except BrokenPipeError:
                process.wait()
            status = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            reader.join()
        if status == 0:
            done.reach(total)
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    if "No space left" in said:
        raise HostError("disk-full", f"cannot write {target}: the disk is full", hint="free some room, or set TMPDIR")
    if status != 0 or not target.is_file():
        raise CommandError(["mksquashfs", "-", str(target), *options], status or 1, said)


class Compressed:
    """How much has been compressed, from what ``mksquashfs -percentage`` prints: a whole number a line, which is the
    share of what it has been ``fed`` so far, not of the whole. Feeding takes a second, compressing minutes."""

    def __init__(self, advance: console.Advance) -> None:
        self._advance = advance
        self._told = 0
        self.fed = 0

    def follow(self, output: Iterable[bytes]) -> None:
        """Reads lines to their end and reports the bytes of the tree that each says are done; none twice."""
        for line in output:
            if line.strip().isdigit():
                self.reach(self.fed * min(int(line), 100) // 100)

    def reach(self, done: int) -> None:
        """Reports that ``done`` bytes are done, unless more were before."""
        self._advance(max(done - self._told, 0))
        self._told = max(done, self._told)


class _Slice:
    """A node's content as a stream, so that a file of 90 MB is never whole in memory."""

    def __init__(self, spool: Spool, node: Node) -> None:
        self._spool, self._node, self._at = spool, node, 0

    def read(self, size: int = -1) -> bytes:
        left = self._node.size - self._at
        count = left if size < 0 else min(size, left)
        data = self._spool.part(self._node.content, self._at, count)
        self._at += len(data)
        return data
