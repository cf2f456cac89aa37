"""Calls the service as a guest's kernel does (Linux 6.12, fs/vboxsf), without a machine."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

from boinc2docker.vm.vmmdev import folder_format as fmt
from boinc2docker.vm.vmmdev.folder_format import Create, Function, Result
from boinc2docker.vm.vmmdev.hgcm import Parameter
from boinc2docker.vm.vmmdev.shared_folders import Host, SharedFolders

NEW_FILE = Create.READ | Create.WRITE | Create.FAIL_IF_EXISTS
ANY_FILE = Create.READ | Create.WRITE
OLD_FILE = Create.READ | Create.WRITE | Create.FAIL_IF_NEW
EMPTIED_FILE = Create.WRITE | Create.OVERWRITE_IF_EXISTS
NEW_DIRECTORY = Create.READ | Create.WRITE | Create.DIRECTORY | Create.FAIL_IF_EXISTS
OLD_DIRECTORY = Create.READ | Create.DIRECTORY | Create.FAIL_IF_NEW
LOOK_UP = Create.LOOKUP | Create.FAIL_IF_NEW


def shfl_string(text: str | bytes) -> Parameter:
    raw = text.encode() if isinstance(text, str) else text
    data = struct.pack("<HH", len(raw) + 1, len(raw)) + raw + b"\0"
    return Parameter(data=data, size=len(data))


@dataclass(frozen=True)
class Created:
    """What CREATE says: status, result, handle, and of the object size, mode and modification time (ns)."""

    status: int
    result: int
    handle: int
    size: int = 0
    mode: int = 0
    modified: int = 0


@dataclass
class Kernel:
    """One guest with the folder ``x``."""

    host: Host
    root: int = field(default=0, init=False)

    @classmethod
    def of(cls, folder: Path, **options: object) -> Kernel:
        return cls(Host({"x": str(folder)}, **options))  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        self.service = SharedFolders(self.host)
        assert self.call(Function.SET_UTF8) == 0
        assert self.call(Function.SET_SYMLINKS) == 0
        mapped = [shfl_string("x"), Parameter(), Parameter(), Parameter()]
        assert self.call(Function.MAP, *mapped) == 0
        self.root = mapped[1].value

    def call(self, function: int, *parameters: Parameter) -> int:
        return self.service(function, list(parameters))

    def create(self, path: str | bytes, flags: Create, mode: int = 0o644, size: int = 0) -> Created:
        sent = fmt.CREATE_PARAMETERS.pack(fmt.NO_HANDLE, 0, flags)
        sent += struct.pack("<q40xI", size, mode) + bytes(40)
        asked = Parameter(data=sent, size=len(sent))
        status = self.call(Function.CREATE, Parameter(value=self.root), shfl_string(path), asked)
        if asked.out is None:
            return Created(status, Result.NONE, fmt.NO_HANDLE)
        handle, result, _ = fmt.CREATE_PARAMETERS.unpack_from(asked.out)
        if len(asked.out) == fmt.CREATE_PARAMETERS.size:
            return Created(status, result, handle)
        size, modified, mode = struct.unpack_from("<q16xq16xI", asked.out, fmt.CREATE_PARAMETERS.size)
        return Created(status, result, handle, size, mode, modified)

    def open(self, path: str | bytes, flags: Create = ANY_FILE) -> int:
        """A handle; fails the test if there is none."""
        created = self.create(path, flags)
        assert created.handle != fmt.NO_HANDLE, created
        return created.handle

    def close(self, handle: int) -> int:
        return self.call(Function.CLOSE, Parameter(value=self.root), Parameter(value=handle))

    def write(self, handle: int, data: bytes, at: int = 0) -> tuple[int, int]:
        """Status and bytes written."""
        count = Parameter(value=len(data))
        numbers = [Parameter(value=one) for one in (self.root, handle, at)]
        status = self.call(Function.WRITE, *numbers, count, Parameter(data=data, size=len(data)))
        return status, count.value

    def read(self, handle: int, count: int = 4096, at: int = 0) -> tuple[int, bytes]:
        asked, buffer = Parameter(value=count), Parameter(size=count)
        numbers = [Parameter(value=one) for one in (self.root, handle, at)]
        status = self.call(Function.READ, *numbers, asked, buffer)
        return status, (buffer.out or b"")[: asked.value]

    def put(self, path: str | bytes, data: bytes) -> int:
        """Writes a whole file as ``>`` does; the status of what failed first."""
        created = self.create(path, EMPTIED_FILE)
        if created.handle == fmt.NO_HANDLE:
            return created.status or fmt.ACCESS_DENIED
        status, _ = self.write(created.handle, data)
        return self.close(created.handle) or status

    def rename(
        self, source: str | bytes, target: str | bytes, flags: int = fmt.RENAME_FILE | fmt.RENAME_REPLACE
    ) -> int:
        names = shfl_string(source), shfl_string(target)
        return self.call(Function.RENAME, Parameter(value=self.root), *names, Parameter(value=flags))

    def remove(self, path: str | bytes, flags: int = fmt.REMOVE_FILE) -> int:
        return self.call(Function.REMOVE, Parameter(value=self.root), shfl_string(path), Parameter(value=flags))

    def resize(self, handle: int, size: int) -> int:
        info = struct.pack("<q", size) + bytes(84)
        return self._set(handle, fmt.INFO_SET | fmt.INFO_SIZE, info)

    def set_mode(self, handle: int, mode: int, modified: int = 0) -> int:
        info = struct.pack("<16xqq16xI", 0, modified, mode) + bytes(40)
        return self._set(handle, fmt.INFO_SET | fmt.INFO_FILE, info)

    def _set(self, handle: int, flags: int, info: bytes) -> int:
        numbers = [Parameter(value=one) for one in (self.root, handle, flags, len(info))]
        return self.call(Function.INFORMATION, *numbers, Parameter(data=info, size=len(info)))

    def free(self) -> int:
        """The volume's free bytes."""
        numbers = [Parameter(value=one) for one in (self.root, 0, fmt.INFO_VOLUME, 48)]
        buffer = Parameter(size=48)
        assert self.call(Function.INFORMATION, *numbers, buffer) == 0
        assert buffer.out is not None
        return int(struct.unpack_from("<q", buffer.out, 8)[0])

    def list(self, path: str | bytes = "/", room: int = 16384) -> list[str]:
        """All names, asked for in buffers of ``room`` bytes."""
        handle, names = self.open(path, OLD_DIRECTORY), list[str]()
        while True:
            size, more, count = Parameter(value=room), Parameter(), Parameter()
            buffer = Parameter(size=room)
            numbers = Parameter(value=self.root), Parameter(value=handle), Parameter()
            status = self.call(Function.LIST, *numbers, size, Parameter(), buffer, more, count)
            if status:
                assert status == fmt.NO_MORE_FILES
                break
            names += _names(buffer.out or b"", count.value, size.value)
        assert self.close(handle) == 0
        return names

    def symlink(self, path: str, target: str) -> int:
        words = shfl_string(path), shfl_string(target)
        return self.call(Function.SYMLINK, Parameter(value=self.root), *words, Parameter(size=92))

    def readlink(self, path: str | bytes) -> tuple[int, bytes]:
        buffer = Parameter(size=4096)
        status = self.call(Function.READLINK, Parameter(value=self.root), shfl_string(path), buffer)
        return status, (buffer.out or b"").rstrip(b"\0")

    def exists(self, path: str | bytes) -> bool:
        return self.create(path, LOOK_UP).result == Result.EXISTS


def _names(data: bytes, count: int, size: int) -> list[str]:
    names, at = [], 0
    for _ in range(count):
        length = struct.unpack_from("<H", data, at + 122)[0]
        names.append(data[at + 126 : at + 126 + length - 1].decode())
        at += 126 + length
    assert at == size
    return names
