"""What programs do to a directory, as the kernel sees it: strace's record of their system calls, as a ``Recording``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from tests.crash.disk import ROOT, Disk, Link, Mark, Operation, Recording, Rename, Sync, Truncate, Unlink, Write

MARK = "told:"
"""How a line begins that a recorded program writes, at once, when it tells the world something."""
_UNSEEN = ("sendfile", "copy_file_range", "splice")
"""Calls whose bytes never are in a program: they fail, and programs then read and write instead."""
_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>)?(.*)", re.DOTALL)
_CALL = re.compile(r"(\w+)\((.*)\)\s+= (\d+|0x[0-9a-f]+)", re.DOTALL)
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_PLACE = re.compile(r"<((?:\\x[0-9a-f]{2})+)>")


def record(
    command: Sequence[str | Path],
    root: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Recording:
    """Runs a command to its end and returns what it and its children did below ``root``, which must be there."""
    before, numbers = _snapshot(root)
    program = shutil.which("strace") or "strace"  # the command may have another PATH
    argv = [program, *["-f", "-qq", "-y", "-xx", "-s", "67108864", "-e", "signal=none"], "-o", str(log)]
    argv += ["-e", f"inject={','.join(_UNSEEN)}:error=ENOSYS"]
    done = subprocess.run(
        [*argv, "-e", f"trace={','.join((*_Tracer.HANDLERS, *_UNSEEN))}", *(str(word) for word in command)],
        env={**os.environ, **(environment or {})},
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    tracer = _Tracer(root, Recording(before, ()).disk(()), numbers, directory or Path.cwd())
    with log.open() as lines:
        for line in lines:
            tracer.line(line.rstrip("\n"))
    files = {inode: before.files.get(inode, bytearray()) for inode in tracer.disk.files}
    directories = {inode: before.directories.get(inode, {}) for inode in tracer.disk.directories}
    return Recording(Disk(files, directories, tracer.disk.links), tuple(tracer.operations))


def _snapshot(root: Path) -> tuple[Disk, int]:
    """The directory as it is, and the first inode number that is free."""
    disk, known = Disk(), {root: ROOT}
    for inode, path in enumerate(sorted(root.rglob("*")), 1):
        known[path] = inode
        disk.directories[known[path.parent]][path.name] = inode
        if path.is_symlink():
            disk.links[inode] = str(path.readlink())
        elif path.is_dir():
            disk.directories[inode] = {}
        else:
            disk.files[inode] = bytearray(path.read_bytes())
    return disk, len(known)


def _text(hexadecimal: str) -> bytes:
    return bytes.fromhex(hexadecimal.replace("\\x", ""))


@dataclass(frozen=True)
class _Call:
    """A system call that succeeded."""

    process: str
    name: str
    words: str
    result: int

    @cached_property
    def texts(self) -> list[bytes]:
        return [_text(one) for one in _TEXT.findall(self.words)]

    @cached_property
    def parts(self) -> list[str]:
        return self.words.split(", ")

    @property
    def descriptor(self) -> int:
        """The first word as a descriptor."""
        return _number(self.words)

    @property
    def last(self) -> int:
        return int(self.parts[-1])


@dataclass
class _Open:
    """An open file description; ``inode`` is None outside of the directory."""

    inode: int | None
    append: bool = False
    position: int = 0


@dataclass
class _Process:
    descriptors: dict[int, _Open]
    directory: Path


@dataclass
class _Tracer:
    """Follows all processes: what each descriptor is, where it stands, and what the directory holds."""

    root: Path
    disk: Disk
    numbers: int
    directory: Path
    operations: list[Operation] = field(default_factory=list)
    processes: dict[str, _Process] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)

    def line(self, line: str) -> None:
        found = _LINE.match(line)
        if found is None:
            return
        process, resumed, rest = found.groups()
        if process not in self.processes:
            self._appear(process)
        if resumed:
            rest = self.begun.pop(process) + rest
        elif rest.endswith("<unfinished ...>"):
            self.begun[process] = rest.removesuffix("<unfinished ...>").rstrip()
            return
        if call := _CALL.match(rest):
            self.HANDLERS[call[1]](self, _Call(process, call[1], call[2], int(call[3], 0)))

    def _appear(self, process: str) -> None:
        """A child may be seen before its parent's call has returned."""
        parents = [one for one, text in self.begun.items() if self.HANDLERS[text.partition("(")[0]] is _Tracer.fork]
        self._born(process, parents[-1] if parents else None, self.begun[parents[-1]] if parents else "")

    def _born(self, process: str, parent: str | None, flags: str) -> None:
        if process in self.processes:
            return
        if parent is None:
            self.processes[process] = _Process({}, self.directory)
            return
        own = self.processes[parent]
        table = own.descriptors if "CLONE_FILES" in flags else dict(own.descriptors)
        self.processes[process] = _Process(table, own.directory)

    # Processes and descriptors

    def fork(self, call: _Call) -> None:
        self._born(str(call.result), call.process, call.words)

    def change_directory(self, call: _Call) -> None:
        process = self.processes[call.process]
        place = call.texts[0] if call.name == "chdir" else _text(_PLACE.findall(call.words)[0])
        process.directory /= os.fsdecode(place)

    def open_file(self, call: _Call) -> None:
        self.processes[call.process].descriptors[call.result] = self._opened(call)

    def _opened(self, call: _Call) -> _Open:
        place = self._path(call, 0)
        if place is None:
            return _Open(None)
        inode = self.disk.find(place)
        if inode is None:
            inode = self._new()
            self.disk.files[inode] = bytearray()
            self._do(Link(self._parent(place), place[-1], inode))
        elif (call.name == "creat" or "O_TRUNC" in call.words) and self.disk.files.get(inode):
            self._do(Truncate(inode, 0))
        return _Open(inode, "O_APPEND" in call.words)

    def close(self, call: _Call) -> None:
        self.processes[call.process].descriptors.pop(call.descriptor, None)

    def duplicate(self, call: _Call) -> None:
        table = self.processes[call.process].descriptors
        table[call.result] = table.get(call.descriptor, _Open(None))

    def control(self, call: _Call) -> None:
        if "F_DUPFD" in call.words:
            self.duplicate(call)
        elif "F_SETFL" in call.words:
            self._file(call).append = "O_APPEND" in call.words

    def seek(self, call: _Call) -> None:
        self._file(call).position = call.result

    # Data

    def write(self, call: _Call) -> None:
        data, one = b"".join(call.texts)[: call.result], self._file(call)
        if call.name.startswith("p") and one.inode is not None:
            self._do(Write(one.inode, call.last, data))
        else:
            self._written(one, data)

    def _written(self, one: _Open, data: bytes) -> None:
        if one.inode is not None:
            offset = len(self.disk.files[one.inode]) if one.append else one.position
            one.position = offset + len(data)
            self._do(Write(one.inode, offset, data))
        elif data.startswith(MARK.encode()):
            self._do(Mark(data.decode().removeprefix(MARK).strip()))

    def resize(self, call: _Call) -> None:
        inode = self._found(call) if call.name == "truncate" else self._file(call).inode
        if inode is None:
            return
        if call.name == "fallocate":
            if call.parts[1] == "0":
                self._do(Truncate(inode, max(len(self.disk.files[inode]), int(call.parts[2]) + call.last)))
        else:
            self._do(Truncate(inode, call.last))

    def flush(self, call: _Call) -> None:
        if (inode := self._file(call).inode) is not None:
            self._do(Sync(inode))

    def flush_all(self, _: _Call) -> None:
        for inode in (*self.disk.files, *self.disk.directories):
            self._do(Sync(inode))

    # Names

    def make_directory(self, call: _Call) -> None:
        if (place := self._path(call, 0)) is not None:
            inode = self._new()
            self.disk.directories[inode] = {}
            self._do(Link(self._parent(place), place[-1], inode))

    def unlink(self, call: _Call) -> None:
        if (place := self._path(call, 0)) is not None:
            self._do(Unlink(self._parent(place), place[-1]))

    def link(self, call: _Call) -> None:
        source, target = self._path(call, 0), self._path(call, 1)
        if target is not None:
            assert source is not None, call
            self._do(Link(self._parent(target), target[-1], self._there(source)))

    def make_link(self, call: _Call) -> None:
        if (place := self._path(call, 1)) is not None:
            inode = self._new()
            self.disk.links[inode] = os.fsdecode(call.texts[0])
            self._do(Link(self._parent(place), place[-1], inode))

    def rename(self, call: _Call) -> None:
        source, target = self._path(call, 0), self._path(call, 1)
        if source is None and target is None:
            return
        assert source is not None, f"from outside: {call}"
        assert target is not None, f"to outside: {call}"
        inode = self._there(source)
        self._do(Rename(self._parent(source), source[-1], self._parent(target), target[-1], inode))

    # Common to all

    def _file(self, call: _Call) -> _Open:
        return self.processes[call.process].descriptors.get(call.descriptor, _Open(None))

    def _path(self, call: _Call, number: int) -> tuple[str, ...] | None:
        """The parts of a call's path below the root; None for one outside of it."""
        path = Path(os.fsdecode(call.texts[number]))
        if not path.is_absolute():
            bases = _PLACE.findall(call.words)
            base = os.fsdecode(_text(bases[min(number, len(bases) - 1)])) if bases else "."
            path = self.processes[call.process].directory / base / path
        path = Path(os.path.normpath(path))
        return path.relative_to(self.root).parts if path.is_relative_to(self.root) else None

    def _found(self, call: _Call) -> int | None:
        place = self._path(call, 0)
        return self.disk.find(place) if place is not None else None

    def _there(self, place: tuple[str, ...]) -> int:
        found = self.disk.find(place)
        assert found is not None, place
        return found

    def _parent(self, place: tuple[str, ...]) -> int:
        return self._there(place[:-1])

    def _new(self) -> int:
        self.numbers += 1
        return self.numbers - 1

    def _do(self, operation: Operation) -> None:
        self.disk.apply(operation)
        self.operations.append(operation)

    HANDLERS: ClassVar[dict[str, Callable[[_Tracer, _Call], None]]] = {
        **dict.fromkeys(("clone", "clone3", "fork", "vfork"), fork),
        **dict.fromkeys(("chdir", "fchdir"), change_directory),
        **dict.fromkeys(("open", "openat", "creat"), open_file),
        "close": close,
        **dict.fromkeys(("dup", "dup2", "dup3"), duplicate),
        "fcntl": control,
        "lseek": seek,
        **dict.fromkeys(("write", "writev", "pwrite64", "pwritev"), write),
        **dict.fromkeys(("truncate", "ftruncate", "fallocate"), resize),
        **dict.fromkeys(("fsync", "fdatasync"), flush),
        **dict.fromkeys(("sync", "syncfs"), flush_all),
        **dict.fromkeys(("mkdir", "mkdirat"), make_directory),
        **dict.fromkeys(("unlink", "unlinkat", "rmdir"), unlink),
        **dict.fromkeys(("link", "linkat"), link),
        **dict.fromkeys(("symlink", "symlinkat"), make_link),
        **dict.fromkeys(("rename", "renameat", "renameat2"), rename),
    }


def _number(words: str) -> int:
    """The descriptor that words begin with."""
    found = re.match(r"(\d+)", words)
    return int(found[1]) if found else -1
