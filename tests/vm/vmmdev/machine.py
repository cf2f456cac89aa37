"""QEMU and a guest's driver, as far as the device sees of them: a client of the vfio-user protocol.

Written from the protocol's description, not from the server: QEMU's docs/interop/vfio-user.rst, Linux'
drivers/virt/vboxguest/vboxguest_utils.c for the requests.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

MEMORY = 1 << 20
BASE = 0x10_0000
"""The guest's memory begins here; the first page holds requests."""
_PAGES = BASE + 0x8000
_BUFFERS = BASE + 0x10000


class Reply(Exception):
    """The device answered with this errno."""


@dataclass(frozen=True)
class Buffer:
    """A buffer parameter: what the host gets, and how much room there is."""

    data: bytes = b""
    size: int = 0


class Client:
    """A machine with 1 MB of memory, connected to a device."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self.memory_file = os.memfd_create("ram")
        os.ftruncate(self.memory_file, MEMORY)
        self.memory = mmap.mmap(self.memory_file, MEMORY)
        self.line = os.eventfd(0, os.EFD_NONBLOCK)
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        os.close(self.memory_file)
        os.close(self.line)

    # Messages

    def send(self, command: int, body: bytes, descriptors: Sequence[int] = (), *, flags: int = 0) -> int:
        self._number += 1
        head = struct.pack("<HHIII", self._number, command, 16 + len(body), flags, 0)
        socket.send_fds(self.socket, [head + body], list(descriptors))
        return self._number

    def receive(self) -> tuple[int, bytes]:
        """The number of the message that is answered, and the answer. Raises Reply for an errno."""
        number, _, size, flags, failure = struct.unpack("<HHIII", self._exactly(16))
        body = self._exactly(size - 16)
        assert flags & 0xF == 1, "a reply"
        if flags & 0x20:
            raise Reply(failure)
        return number, body

    def ask(self, command: int, body: bytes, descriptors: Sequence[int] = ()) -> bytes:
        number = self.send(command, body, descriptors)
        answered, answer = self.receive()
        assert answered == number
        return answer

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            block = self.socket.recv(count - len(data))
            assert block, "the device has hung up"
            data += block
        return data

    # What QEMU does

    def negotiate(self) -> dict[str, Any]:
        answer = self.ask(1, struct.pack("<HH", 0, 0) + b'{"capabilities": {"max_msg_fds": 8}}\0')
        assert struct.unpack_from("<HH", answer) == (0, 0)
        assert answer.endswith(b"\0")
        return dict(json.loads(answer[4:-1]))

    def map_memory(self, *, address: int = BASE, offset: int = 0, size: int = MEMORY) -> None:
        self.ask(2, struct.pack("<IIQQQ", 32, 3, offset, address, size), [self.memory_file])

    def connect_line(self) -> None:
        self.ask(8, struct.pack("<IIIII", 20, 4 | 32, 0, 0, 1), [self.line])

    def attach(self) -> None:
        """All that QEMU does before the guest runs."""
        self.negotiate()
        self.map_memory()
        self.connect_line()

    def read(self, region: int, offset: int, count: int) -> bytes:
        answer = self.ask(9, struct.pack("<QII", offset, region, count))
        assert struct.unpack_from("<QII", answer) == (offset, region, count)
        return answer[16:]

    def write(self, region: int, offset: int, data: bytes) -> None:
        self.ask(10, struct.pack("<QII", offset, region, len(data)) + data)

    def interrupted(self, seconds: float = 10) -> bool:
        """Whether an interrupt has come, or comes in time; it is taken."""
        if select.select([self.line], [], [], seconds)[0]:
            os.eventfd_read(self.line)
            return True
        return False

    # What the guest's driver does

    def poke(self, address: int, data: bytes) -> None:
        self.memory[address - BASE : address - BASE + len(data)] = data

    def peek(self, address: int, count: int) -> bytes:
        return self.memory[address - BASE : address - BASE + count]

    def request(self, kind: int, body: bytes, address: int = BASE) -> tuple[int, bytes]:
        """Makes a request; its result and its body afterwards."""
        self.poke(address, struct.pack("<IIIiII", 24 + len(body), 0x10001, kind, -1, 0, 0) + body)
        self.write(0, 0, struct.pack("<I", address))
        return struct.unpack("<i", self.peek(address + 12, 4))[0], self.peek(address + 24, len(body))

    def acknowledge(self) -> int:
        """The events that are pending, which they are no longer then."""
        result, body = self.request(41, bytes(4), BASE + 0x4000)
        assert result == 0
        return int.from_bytes(body, "little")

    def hgcm(self, kind: int, body: bytes) -> tuple[int, bytes]:
        """An HGCM request, waited for as the driver does; its own result and its body."""
        result, _ = self.request(kind, bytes(8) + body)
        assert result in (0, 2903)
        while result == 2903:
            assert self.interrupted(), "no interrupt"
            assert self.acknowledge() & 2
            if self.peek(BASE + 24, 1)[0] & 1:
                break
        return struct.unpack("<i", self.peek(BASE + 28, 4))[0], self.peek(BASE + 32, len(body))

    def connect(self, service: str) -> tuple[int, int]:
        """The result, and the client's number."""
        result, body = self.hgcm(60, struct.pack("<I", 2) + service.encode().ljust(128, b"\0") + bytes(4))
        return result, int.from_bytes(body[132:], "little")

    def call(self, client: int, function: int, parameters: Sequence[int | Buffer]) -> tuple[int, list[Any]]:
        """A call; numbers are 32 bits wide below 2^32. The result, and each parameter afterwards."""
        body = struct.pack("<III", client, function, len(parameters))
        lists, buffers, places = b"", _BUFFERS, list[int]()
        offset = 44 + 16 * len(parameters)
        for one in parameters:
            places.append(buffers)
            if isinstance(one, int):
                kind = 1 if one < 1 << 32 else 2
                body += struct.pack("<IQI", kind, one, 0)
                continue
            size = max(one.size, len(one.data))
            pages = (buffers % 4096 + size + 4095) // 4096
            first = buffers - buffers % 4096
            body += struct.pack("<IIII", 10, size, offset + len(lists), 0)
            lists += struct.pack("<IHH", 3, buffers % 4096, pages)
            lists += struct.pack(f"<{pages}Q", *(first + 4096 * number for number in range(pages)))
            self.poke(buffers, one.data.ljust(size, b"\0"))
            buffers += size + 8
        result, after = self.hgcm(63, body + lists)
        values: list[Any] = []
        for index, one in enumerate(parameters):
            if isinstance(one, int):
                values.append(int.from_bytes(after[12 + 16 * index + 4 :][: 4 if one < 1 << 32 else 8], "little"))
            else:
                values.append(self.peek(places[index], max(one.size, len(one.data))))
        return result, values


def shfl(text: str) -> Buffer:
    raw = text.encode()
    return Buffer(struct.pack("<HH", len(raw) + 1, len(raw)) + raw + b"\0")


def open_descriptors(pid: int) -> int:
    """How many descriptors a process has."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


__all__ = ["BASE", "MEMORY", "Buffer", "Client", "Reply", "open_descriptors", "shfl"]
