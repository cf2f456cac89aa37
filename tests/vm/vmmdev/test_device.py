"""The device as QEMU and Linux' vboxguest find it: its own process, spoken to over its socket."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boinc2docker.vm.vmmdev.device import Request
from boinc2docker.vm.vmmdev.folder_format import DISK_FULL, INVALID_HANDLE, Create, Function, Result
from tests.equipment.checkout import PROJECT_ROOT, PYTHON_PATH
from tests.vm.vmmdev.machine import BASE, MEMORY, Buffer, Client, Reply, open_descriptors, shfl

if sys.platform != "linux":
    pytest.skip("the device needs Linux: memfd, eventfd", allow_module_level=True)


class Device:
    """The process; ``client`` is the machine in it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.report = folder / "shared", folder / "report.json"
        self.folder.mkdir()
        path = folder / "socket"
        words = ["--report", self.report, *options, "--", path, f"shared={self.folder}"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "boinc2docker.vm.vmmdev", *map(str, words)],
            cwd=PROJECT_ROOT,
            env={**os.environ, "PYTHONPATH": PYTHON_PATH},
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: path.exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()
        self.client = Client(path)

    def folder_client(self) -> int:
        """Connects to the service and maps the folder, as a mount does."""
        self.client.attach()
        self.client.request(Request.SET_FILTER, struct.pack("<II", 2, 0))
        result, number = self.client.connect("VBoxSharedFolders")
        assert result == 0
        assert self.client.call(number, Function.MAP, [shfl("shared"), 0, 0, 0])[0] == 0
        return number

    def create(self, number: int, name: str, flags: Create) -> tuple[int, int, int]:
        """Status, result, handle."""
        sent = struct.pack("<QII", (1 << 64) - 1, 0, flags) + struct.pack("<q40xI40x", 0, 0o644)
        result, values = self.client.call(number, Function.CREATE, [0, shfl(name), Buffer(sent)])
        handle, told, _ = struct.unpack_from("<QII", values[2])
        return result, told, handle

    def write(self, number: int, handle: int, data: bytes, at: int = 0) -> int:
        # Handles and offsets are 64 bits wide for the driver; the test's numbers are as wide as they need be.
        return self.client.call(number, Function.WRITE, [0, handle, at, len(data), Buffer(data)])[0]

    def said(self) -> dict[str, object]:
        return dict(json.loads(self.report.read_text()))

    def end(self) -> dict[str, object]:
        """The machine goes; what the report says then."""
        self.client.socket.close()
        assert self.process.wait(30) == 0
        return self.said()


def wait_until(condition: Callable[[], bool], limit: float = 60) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextlib.contextmanager
def device(folder: Path, *options: str) -> Iterator[Device]:
    made = Device(folder, *options)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()
        made.client.__exit__()


@pytest.fixture
def asynchronous(tmp_path: Path) -> Iterator[Device]:
    with device(tmp_path) as made:
        yield made


def test_what_qemu_asks_first(asynchronous: Device) -> None:
    client = asynchronous.client
    assert client.negotiate()["capabilities"]["max_msg_fds"] >= 1
    size, flags, regions, interrupts = struct.unpack("<IIII", client.ask(4, struct.pack("<IIII", 16, 0, 0, 0)))
    assert (size, flags & 2, regions, interrupts) == (16, 2, 9, 5)
    sizes = {}
    for index in range(regions):
        answer = struct.unpack("<IIIIQQ", client.ask(5, struct.pack("<IIIIQQ", 32, 0, index, 0, 0, 0)))
        sizes[index] = answer[4]
    assert {index: size for index, size in sizes.items() if size} == {0: 32, 1: 4 << 20, 7: 256}
    for index in range(interrupts):
        answer = struct.unpack("<IIII", client.ask(7, struct.pack("<IIII", 16, 0, index, 0)))
        assert answer[3] == (1 if index == 0 else 0)
    config = client.read(7, 0, 64)
    assert struct.unpack_from("<HH", config) == (0x80EE, 0xCAFE)
    assert config[0x3D] == 1, "interrupt pin A"
    client.write(7, 4, b"\x07\x00")
    client.write(7, 0, b"\xff\xff")
    assert client.read(7, 0, 6) == b"\xee\x80\xfe\xca\x07\x00", "only the command register changes"
    assert client.ask(13, b"") == b""


def test_what_it_does_not_know_is_refused(asynchronous: Device) -> None:
    client = asynchronous.client
    client.negotiate()
    with pytest.raises(Reply, match="95"):
        client.ask(11, bytes(16))
    with pytest.raises(Reply, match="22"):
        client.ask(9, b"short")
    with pytest.raises(Reply, match="22"):
        client.ask(9, struct.pack("<QII", 0, 1, 1 << 30))
    assert client.read(1, 0, 4) == b"\0\x10\0\0", "and it goes on"


def test_a_message_without_reply_gets_none(asynchronous: Device) -> None:
    client = asynchronous.client
    client.negotiate()
    client.send(10, struct.pack("<QII", 4, 7, 1) + b"\x03", flags=0x10)
    assert client.read(7, 4, 1) == b"\x03"


def test_garbage_ends_it(asynchronous: Device) -> None:
    asynchronous.client.socket.sendall(b"\xff" * 64)
    assert asynchronous.process.wait(30) == 0


def test_memory_that_is_not_there(asynchronous: Device) -> None:
    """A request of a broken guest is refused; the device lives."""
    client = asynchronous.client
    client.attach()
    with pytest.raises(Reply, match="14"):
        client.write(0, 0, struct.pack("<I", 0x5000))
    client.poke(BASE, struct.pack("<IIIiII", 64, 0x10001, Request.CALL_64, 0, 0, 0) + struct.pack("<III", 1, 3, 9999))
    client.write(0, 0, struct.pack("<I", BASE))
    edge = BASE + MEMORY - 32
    client.poke(edge, struct.pack("<IIIiII", 32, 0x10001, Request.CONNECT, 0, 0, 0) + bytes(8))
    client.write(0, 0, struct.pack("<I", edge))
    assert client.request(Request.HOST_VERSION, bytes(16))[0] == 0


def test_memory_may_move(asynchronous: Device) -> None:
    client = asynchronous.client
    client.attach()
    client.ask(3, struct.pack("<IIQQ", 24, 0, BASE, MEMORY))
    with pytest.raises(Reply, match="14"):
        client.write(0, 0, struct.pack("<I", BASE))
    client.map_memory(address=BASE, offset=0, size=4096)
    client.map_memory(address=BASE + 4096, offset=4096, size=MEMORY - 4096)
    assert client.request(Request.HOST_VERSION, bytes(16))[0] == 0


def test_the_drivers_first_requests(asynchronous: Device) -> None:
    client = asynchronous.client
    client.attach()
    assert client.request(Request.SET_FILTER, struct.pack("<II", 2, 0))[0] == 0
    result, body = client.request(Request.HOST_VERSION, bytes(16))
    major, _, _, _, features = struct.unpack("<HHIII", body)
    assert (result, major, features & 1) == (0, 7, 1), "page lists"
    for kind in (Request.GUEST_INFO, Request.GUEST_INFO_2, Request.SET_CAPABILITIES, Request.GUEST_STATUS):
        assert client.request(kind, bytes(16))[0] == 0
    assert client.request(Request.HYPERVISOR_INFO, b"\xff" * 8) == (0, bytes(8))
    assert client.request(Request.HEARTBEAT_CONFIGURE, bytes(16))[0] < 0, "or Linux beats at every tick"
    assert client.request(9999, bytes(16))[0] < 0
    assert client.connect("VBoxSharedClipboard")[0] == -2900


def test_calls_are_done_later_and_interrupt_once(asynchronous: Device) -> None:
    client, number = asynchronous.client, asynchronous.folder_client()
    sent = struct.pack("<QII", (1 << 64) - 1, 0, Create.LOOKUP) + bytes(92)
    body = struct.pack("<III", number, Function.FLUSH, 0)
    result, _ = client.request(Request.CALL_64, bytes(8) + body)
    assert result == 2903
    assert client.interrupted()
    assert client.read(1, 8, 1) == b"\x01", "there are events"
    result, _ = client.request(Request.CALL_64, bytes(8) + body, BASE + 0x2000)
    assert not client.interrupted(0.2), "a second one would be spurious: the first is not acknowledged"
    assert client.acknowledge() == 2
    assert client.read(1, 8, 1) == b"\x00"
    assert client.peek(BASE + 24, 1) == client.peek(BASE + 0x2000 + 24, 1) == b"\x01"
    assert client.call(number, Function.CREATE, [0, shfl("/a"), Buffer(sent)])[0] == 0
    assert client.call(99, Function.FLUSH, [])[0] == -2


@pytest.mark.parametrize("options", [[], ["--synchronous"]])
def test_a_file_through_page_lists(tmp_path: Path, options: list[str]) -> None:
    with device(tmp_path, *options) as made:
        number = made.folder_client()
        status, told, handle = made.create(number, "/ä file", Create.READ | Create.WRITE | Create.FAIL_IF_EXISTS)
        assert (status, told) == (0, Result.CREATED)
        data = os.urandom(10_000)
        assert made.write(number, handle, data, at=3) == 0
        assert (made.folder / "ä file").read_bytes() == bytes(3) + data
        status, values = made.client.call(number, Function.READ, [0, handle, 3, 9000, Buffer(size=9000)])
        assert (status, values[3]) == (0, 9000)
        assert values[4] == data[:9000]
        assert made.client.call(number, Function.CLOSE, [0, handle])[0] == 0
        report = made.end()
        assert (report["interrupts"] == 0) == bool(options)
        assert report["calls"]["write"]["count"] == 1  # type: ignore[index]


def test_a_restore_comes_by_signal(asynchronous: Device) -> None:
    number = asynchronous.folder_client()
    old = asynchronous.create(number, "/log", Create.WRITE | Create.FAIL_IF_EXISTS)[2]
    asynchronous.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: asynchronous.write(number, old, b"x") == INVALID_HANDLE)
    assert asynchronous.said()["restores"] == 1
    new = asynchronous.create(number, "/victim", Create.WRITE | Create.FAIL_IF_EXISTS)[2]
    assert new & 0xFFFF == old
    assert asynchronous.write(number, old, b"lost") == 0
    stale = asynchronous.end()["stale"]
    assert isinstance(stale, dict)
    assert stale["writes"] == 1
    assert stale["hits"] == [["write", "/log", "/victim"]]


def test_a_full_disk_comes_and_goes_by_signal(asynchronous: Device) -> None:
    number = asynchronous.folder_client()
    handle = asynchronous.create(number, "/a", Create.WRITE | Create.FAIL_IF_EXISTS)[2]
    asynchronous.process.send_signal(signal.SIGUSR2)
    wait_until(lambda: asynchronous.write(number, handle, b"xx") == DISK_FULL)
    asynchronous.process.send_signal(signal.SIGUSR2)
    wait_until(lambda: asynchronous.write(number, handle, b"xxx") == 0)
    assert asynchronous.end()["disk"]["refused"] >= 1  # type: ignore[index]


def test_the_report_says_which_faults_there_were(tmp_path: Path) -> None:
    """A fault that was asked for and is not there would make a test pass that tests nothing."""
    with device(tmp_path, "--windows", "--scanner", "2", "--delay", "0.001") as made:
        assert made.end()["host"] == {"windows": True, "scanner": 2.0, "delay": 0.001}


def test_a_budget_by_option(tmp_path: Path) -> None:
    with device(tmp_path, "--full-after", "4") as made:
        number = made.folder_client()
        handle = made.create(number, "/a", Create.WRITE | Create.FAIL_IF_EXISTS)[2]
        assert made.write(number, handle, b"1234") == 0
        assert made.write(number, handle, b"5", at=4) == DISK_FULL


def test_it_ends_with_its_machine_or_when_told(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with device(tmp_path / "a") as made:
        assert made.end()["messages"] == 0
    with device(tmp_path / "b") as made:
        made.client.negotiate()
        made.process.terminate()
        assert made.process.wait(30) == 128 + signal.SIGTERM
        assert made.said()["messages"] == 1


def test_descriptors_are_not_kept(asynchronous: Device) -> None:
    client = asynchronous.client
    client.attach()
    before = open_descriptors(asynchronous.process.pid)
    for _ in range(20):
        client.map_memory()
        client.connect_line()
        client.ask(13, b"", [client.line, client.line])
    assert open_descriptors(asynchronous.process.pid) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["s", "shared"], "expected NAME=DIRECTORY"),
        (["s", "shared=/no/such/directory"], "expected NAME=DIRECTORY"),
        (["--scanner", "2", "s"], "--windows"),
        ([], "required"),
    ],
)
def test_a_wrong_command_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    from boinc2docker.vm.vmmdev.__main__ import parse

    with pytest.raises(SystemExit) as caught:
        parse(words)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_a_socket_in_the_way_is_told(tmp_path: Path) -> None:
    """Nobody's socket is removed: another machine may be using it."""
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "socket.new"))
        (tmp_path / "shared").mkdir()
        done = subprocess.run(
            [sys.executable, "-m", "boinc2docker.vm.vmmdev", tmp_path / "socket", f"shared={tmp_path}/shared"],
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode != 0
    assert "in use" in done.stderr
