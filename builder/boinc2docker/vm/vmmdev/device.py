"""VirtualBox' device for guests (PCI 80ee:cafe): requests, events, and HGCM calls to host services.

Sources: Linux 6.12, drivers/virt/vboxguest/vmmdev.h and vboxguest_core.c, include/uapi/linux/vbox_vmmdev_types.h and
vbox_err.h; VirtualBox 7.2, src/VBox/Devices/VMMDev for what a host answers.
"""

from __future__ import annotations

import collections
import struct
import time
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Protocol

from boinc2docker.vm.vmmdev.guest_memory import BadAddressError, GuestMemory
from boinc2docker.vm.vmmdev.hgcm import INVALID_PARAMETER, OK, Service, read_call

NOT_IMPLEMENTED, NOT_FOUND, NO_SERVICE = -12, -78, -2900
ASYNC = 2903  # VINF_HGCM_ASYNC_EXECUTE
EVENT_HGCM = 2
_DONE = 1
_REQUEST = struct.Struct("<IIIi")
"""Size, version, type, result."""
_HEARTBEAT_NS = 2_000_000_000
_BALLOON_MB = 2048


class Request(IntEnum):
    """Numbers of the requests that Linux makes."""

    MOUSE_STATUS = 1
    SET_MOUSE_STATUS = 2
    HOST_VERSION = 4
    HYPERVISOR_INFO = 20
    ACKNOWLEDGE_EVENTS = 41
    SET_FILTER = 42
    GUEST_INFO = 50
    SET_CAPABILITIES_OLD = 55
    SET_CAPABILITIES = 56
    GUEST_INFO_2 = 58
    GUEST_STATUS = 59
    CONNECT = 60
    DISCONNECT = 61
    CALL_32 = 62
    CALL_64 = 63
    CANCEL = 65
    BALLOON = 111
    HEARTBEAT = 219
    HEARTBEAT_CONFIGURE = 220


_HGCM = {Request.CONNECT, Request.DISCONNECT, Request.CALL_32, Request.CALL_64}
_NOTED_ONLY = {
    Request.MOUSE_STATUS,
    Request.SET_MOUSE_STATUS,
    Request.GUEST_INFO,
    Request.SET_CAPABILITIES_OLD,
    Request.SET_CAPABILITIES,
    Request.GUEST_INFO_2,
    Request.GUEST_STATUS,
    Request.HEARTBEAT,
}


class Bus(Protocol):
    """What the device is plugged into."""

    memory: GuestMemory

    def interrupt(self) -> None: ...


class VmmDev:
    """The device. ``services``: names of HGCM services and what makes a client's connection to one.

    ``synchronous``: a call is done when the guest's write to the port returns. The driver allows it, it takes a quarter
    of the messages and no interrupt; VirtualBox itself never does it.
    """

    def __init__(
        self,
        bus: Bus,
        services: Mapping[str, Callable[[], Service]],
        *,
        synchronous: bool = False,
        log: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.config = _configuration()
        self.regions = {0: 32, 1: 4 << 20}
        self.counts: collections.Counter[str] = collections.Counter()
        self.seconds: dict[str, float] = collections.defaultdict(float)
        self._bus, self._services, self._synchronous, self._log = bus, services, synchronous, log
        self._events = 0
        self._filter = 0
        self._clients: dict[int, Service] = {}
        self._last_client = 0
        self._queue: collections.deque[int] = collections.deque()

    def read(self, region: int, offset: int, count: int) -> bytes:
        """Region 1 is the memory the driver looks into: size, version, and whether there are events."""
        if region == 0:
            return b"\xff" * count
        memory = struct.pack("<IIBxxxI", 0x1000, 1, int(self._pending() != 0), 0)
        return memory[offset : offset + count].ljust(count, b"\0")

    def write(self, region: int, offset: int, data: bytes) -> None:
        """The physical address of a request, written to the first port, has it carried out."""
        if region == 0 and offset == 0 and len(data) == 4:
            self._request(int.from_bytes(data, "little"))

    def after(self) -> None:
        """Carries out calls after the guest went on, as VirtualBox' service threads do."""
        while self._queue:
            self._carry_out(self._queue.popleft())
            self.raise_event(EVENT_HGCM)

    def reset(self) -> None:
        self._events = self._filter = 0
        self._queue.clear()
        self._clients.clear()

    def raise_event(self, event: int) -> None:
        """One interrupt for each change from no event to some.

        QEMU takes any access to the device as the end of an interrupt, and asks to unmask. Another interrupt there
        would be spurious: the driver looks before it acknowledges.
        """
        before = self._pending()
        self._events |= event
        if not before and self._pending():
            self.counts["interrupts"] += 1
            self._bus.interrupt()

    def _pending(self) -> int:
        return self._events & self._filter

    def _request(self, address: int) -> None:
        """Answers at once; the guest reads the result as soon as its write returns."""
        memory = self._bus.memory
        size, _version, kind, _ = _REQUEST.unpack(memory.read(address, _REQUEST.size))
        if kind in _HGCM and not self._synchronous:
            self.counts[_name(kind)] += 1
            self._queue.append(address)
            result = ASYNC
        elif kind in _HGCM:
            self.counts[_name(kind)] += 1
            self._carry_out(address)
            result = OK
        else:
            result = self._answer(kind, address + 24, size)
        memory.write(address + 12, struct.pack("<i", result))

    def _answer(self, kind: int, body: int, size: int) -> int:
        memory = self._bus.memory
        self.counts[_name(kind)] += 1
        match kind:
            case Request.ACKNOWLEDGE_EVENTS:
                memory.write(body, struct.pack("<I", self._pending()))
                self._events &= ~self._filter
            case Request.SET_FILTER:
                wanted, unwanted = struct.unpack("<II", memory.read(body, 8))
                self._filter = self._filter & ~unwanted | wanted
            case Request.HOST_VERSION:
                memory.write(body, struct.pack("<HHIII", 7, 2, 22, 0, 1))  # 7.2.22; feature 1: page lists
            case Request.HYPERVISOR_INFO:
                memory.write(body, bytes(8))  # it wants no place in the guest's memory
            case Request.HEARTBEAT_CONFIGURE:
                # Refused: Linux arms its timer with a time that is no jiffies, and would beat at every tick.
                memory.write(body, struct.pack("<Q", _HEARTBEAT_NS))
                return NOT_IMPLEMENTED
            case Request.BALLOON:
                memory.write(body, struct.pack("<II", 0, _BALLOON_MB))
            case Request.CANCEL:
                return NOT_FOUND
            case _ if kind not in _NOTED_ONLY:
                self._log(f"request {kind} of {size} bytes is not implemented")
                return NOT_IMPLEMENTED
        return OK

    def _carry_out(self, address: int) -> None:
        """An HGCM request. A guest that names memory it does not have gets no answer, as it has no place for one."""
        memory = self._bus.memory
        try:
            result = self._hgcm(address)
            # "Done" comes last: the guest may free the request as soon as it sees it.
            memory.write(address + 28, struct.pack("<i", result))
            memory.write(address + 24, struct.pack("<I", _DONE))
        except BadAddressError as error:
            self._log(f"an HGCM request at {address:#x} is malformed: {error}")

    def _hgcm(self, address: int) -> int:
        memory = self._bus.memory
        kind = struct.unpack("<I", memory.read(address + 8, 4))[0]
        if kind == Request.CONNECT:
            return self._connect(address)
        if kind == Request.DISCONNECT:
            client = struct.unpack("<I", memory.read(address + 32, 4))[0]
            return OK if self._clients.pop(client, None) else INVALID_PARAMETER
        return self._call(address) if kind == Request.CALL_64 else NOT_IMPLEMENTED

    def _connect(self, address: int) -> int:
        name = self._bus.memory.read(address + 36, 128).split(b"\0")[0].decode("latin-1")
        service = self._services.get(name)
        self._log(f"connection to {name}" + ("" if service else ": there is no such service"))
        if service is None:
            return NO_SERVICE
        self._last_client += 1
        self._clients[self._last_client] = service()
        self._bus.memory.write(address + 164, struct.pack("<I", self._last_client))
        return OK

    def _call(self, address: int) -> int:
        began = time.perf_counter()
        call = read_call(self._bus.memory, address)
        service = self._clients.get(call.client) if call else None
        if call is None or service is None:
            return INVALID_PARAMETER
        result = service(call.function, call.parameters)
        call.write_back(self._bus.memory, address)
        self.counts[f"function {call.function}"] += 1
        self.seconds[f"function {call.function}"] += time.perf_counter() - began
        return result


def _name(kind: int) -> str:
    return f"request {kind}"


def _configuration() -> bytearray:
    """PCI configuration space: system peripheral, I/O ports and memory, interrupt pin A."""
    config = bytearray(256)
    struct.pack_into("<HHHHI", config, 0, 0x80EE, 0xCAFE, 0, 0, 0x08800000)
    struct.pack_into("<II", config, 0x10, 1, 0)
    config[0x3D] = 1
    return config
