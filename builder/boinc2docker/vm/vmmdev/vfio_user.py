"""A PCI device in a process of its own: the server's side of the vfio-user protocol, as QEMU's vfio-user-pci speaks it.

Sources: QEMU 11.1, hw/vfio-user/protocol.h, proxy.c, device.c, container.c and pci.c; linux/vfio.h for the numbers.
One client, one thread: a message is answered before the next one is read.
"""

from __future__ import annotations

import array
import errno
import json
import os
import socket
import struct
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Protocol

from boinc2docker.vm.vmmdev.guest_memory import BadAddressError, GuestMemory


class Command(IntEnum):
    """Numbers of the messages."""

    VERSION = 1
    DMA_MAP = 2
    DMA_UNMAP = 3
    DEVICE_GET_INFO = 4
    DEVICE_GET_REGION_INFO = 5
    DEVICE_GET_IRQ_INFO = 7
    DEVICE_SET_IRQS = 8
    REGION_READ = 9
    REGION_WRITE = 10
    DEVICE_RESET = 13


HEADER = struct.Struct("<HHIII")
"""Message number, command, size with this header, flags, errno."""
REPLY, NO_REPLY, ERROR = 0x1, 0x10, 0x20
CONFIG = 7
"""VFIO_PCI_CONFIG_REGION_INDEX."""
_REGIONS, _IRQS = 9, 5
_CAPABILITIES = {"max_msg_fds": 8, "max_data_xfer_size": 1 << 20, "pgsizes": 4096, "max_dma_maps": 65535}
_LARGEST_MESSAGE = (1 << 20) + 4096
_ACCESS = struct.Struct("<QII")
_INTX_EVENTFD = 4 | 32  # DATA_EVENTFD, ACTION_TRIGGER
_UNMAP_ALL = 2


class Device(Protocol):
    """What is served. ``regions``: number to size in bytes; ``config`` is the PCI configuration space."""

    config: bytearray
    regions: dict[int, int]

    def read(self, region: int, offset: int, count: int) -> bytes: ...
    def write(self, region: int, offset: int, data: bytes) -> None: ...
    def after(self) -> None:
        """Called when a message has been answered."""

    def reset(self) -> None: ...


class Server:
    """Serves one client on the Unix socket ``path``."""

    def __init__(self, path: Path) -> None:
        self.memory = GuestMemory()
        self.messages = 0
        self._line: int | None = None
        self._listener = socket.socket(socket.AF_UNIX)
        draft = path.with_name(path.name + ".new")
        self._listener.bind(str(draft))
        self._listener.listen(1)
        draft.rename(path)  # whoever sees the name can connect
        self._peer = self._listener

    def interrupt(self) -> None:
        """Raises the interrupt line, if the client has connected it."""
        if self._line is not None:
            os.write(self._line, struct.pack("<Q", 1))

    def serve(self, device: Device, between: Callable[[], None] = lambda: None) -> None:
        """Returns when the client has gone. ``between`` is called before each message is acted upon."""
        self._peer, _ = self._listener.accept()
        while (message := self._receive()) is not None:
            number, command, flags, body, descriptors = message
            self.messages += 1
            between()
            failure, answer = 0, b""
            try:
                answer = self._answer(device, command, body, descriptors)
            except OSError as error:
                failure = error.errno or errno.EIO
            except BadAddressError:
                failure = errno.EFAULT
            except struct.error:
                failure = errno.EINVAL
            for unused in descriptors:
                os.close(unused)
            if not flags & NO_REPLY:
                kind = REPLY | (ERROR if failure else 0)
                if not self._send(HEADER.pack(number, command, HEADER.size + len(answer), kind, failure) + answer):
                    return
            device.after()

    def _send(self, data: bytes) -> bool:
        try:
            self._peer.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def _receive(self) -> tuple[int, int, int, bytes, list[int]] | None:
        """The next message; None at the end, or after something that is no message."""
        head, descriptors = self._read_head()
        if len(head) < HEADER.size:
            return None
        number, command, size, flags, _ = HEADER.unpack(head)
        if not HEADER.size <= size <= _LARGEST_MESSAGE:
            return None
        body = self._read(size - HEADER.size)
        return None if len(body) < size - HEADER.size else (number, command, flags, body, descriptors)

    def _read_head(self) -> tuple[bytes, list[int]]:
        """A header, and the descriptors that come with its first byte."""
        room = socket.CMSG_SPACE(16 * array.array("i").itemsize)
        try:
            data, extra, _, _ = self._peer.recvmsg(HEADER.size, room, socket.MSG_WAITALL | socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return b"", []
        found = array.array("i")
        for level, kind, content in extra:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                found.frombytes(content[: len(content) - len(content) % found.itemsize])
        if data and len(data) < HEADER.size:
            data += self._read(HEADER.size - len(data))
        return data, list(found)

    def _read(self, count: int) -> bytes:
        """``count`` bytes, fewer only at the end. A signal may cut one call short in spite of MSG_WAITALL."""
        data = b""
        while len(data) < count:
            try:
                block = self._peer.recv(count - len(data), socket.MSG_WAITALL)
            except ConnectionResetError:
                return data
            if not block:
                return data
            data += block
        return data

    def _answer(self, device: Device, command: int, body: bytes, descriptors: list[int]) -> bytes:
        match command:
            case Command.REGION_WRITE:
                offset, region, count = _ACCESS.unpack_from(body)
                data = body[_ACCESS.size : _ACCESS.size + count]
                if region == CONFIG:
                    _write_config(device.config, offset, data)
                else:
                    device.write(region, offset, data)
                return _ACCESS.pack(offset, region, count)
            case Command.REGION_READ:
                offset, region, count = _ACCESS.unpack_from(body)
                if count > _CAPABILITIES["max_data_xfer_size"]:
                    raise OSError(errno.EINVAL, "too large a read")
                config = region == CONFIG
                data = bytes(device.config[offset : offset + count]) if config else device.read(region, offset, count)
                return _ACCESS.pack(offset, region, len(data)) + data
            case Command.DEVICE_SET_IRQS:
                self._set_line(body, descriptors)
                return b""
            case Command.DMA_MAP:
                _, _, offset, address, size = struct.unpack_from("<IIQQQ", body)
                self.memory.map(address, size, descriptors.pop(0) if descriptors else None, offset)
                return b""
            case Command.DMA_UNMAP:
                _, flags, address, size = struct.unpack_from("<IIQQ", body)
                if flags & _UNMAP_ALL:
                    self.memory.unmap_all()
                else:
                    self.memory.unmap(address, size)
                return b""
            case _:
                return _describe(device, command, body)

    def _set_line(self, body: bytes, descriptors: list[int]) -> None:
        """Takes the interrupt's eventfd. Masks are QEMU's own affair: see ``VmmDev.raise_event``."""
        _, flags, index, _, _ = struct.unpack_from("<IIIII", body)
        if index == 0 and flags & _INTX_EVENTFD == _INTX_EVENTFD:
            if self._line is not None:
                os.close(self._line)
            self._line = descriptors.pop(0) if descriptors else None


def _describe(device: Device, command: int, body: bytes) -> bytes:
    """The answers that say what the device is. Raises OSError for a command that is not known."""
    match command:
        case Command.VERSION:
            text = json.dumps({"capabilities": _CAPABILITIES}).encode()
            return struct.pack("<HH", 0, 0) + text + b"\0"
        case Command.DEVICE_GET_INFO:
            return struct.pack("<IIII", 16, 3, _REGIONS, _IRQS)  # a PCI device that can be reset
        case Command.DEVICE_GET_REGION_INFO:
            index = struct.unpack_from("<III", body)[2]
            size = len(device.config) if index == CONFIG else device.regions.get(index, 0)
            return struct.pack("<IIIIQQ", 32, 3 if size else 0, index, 0, size, 0)
        case Command.DEVICE_GET_IRQ_INFO:
            index = struct.unpack_from("<III", body)[2]
            return struct.pack("<IIII", 16, 7 if index == 0 else 0, index, int(index == 0))
        case Command.DEVICE_RESET:
            device.reset()
            return b""
    raise OSError(errno.EOPNOTSUPP, "not supported")


def _write_config(config: bytearray, offset: int, data: bytes) -> None:
    """Command register and interrupt line keep what is written; base addresses are QEMU's own."""
    for at, byte in enumerate(data, offset):
        if at in (4, 5, 0x3C):
            config[at] = byte
