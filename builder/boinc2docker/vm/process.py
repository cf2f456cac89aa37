"""A QEMU process: how it is started, watched and reliably ended."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from qemu.qmp import ConnectError, QMPClient, QMPError

from boinc2docker import leftovers
from boinc2docker.atomic import explain
from boinc2docker.errors import InputError, UsageError
from boinc2docker.programs import run
from boinc2docker.vm.acceleration import qemu_program
from boinc2docker.vm.guest_device import GuestDevice, serving
from boinc2docker.vm.machine import Machine, command_line
from boinc2docker.vm.vfio_qemu import vfio_qemu

_PR_SET_PDEATHSIG = 1  # prctl(2)
DEVICE_LOST = "guest-device-lost"
_QMP_SECONDS = 5.0
_VDI_SIGNATURE = bytes.fromhex("7f10dabe")
logging.getLogger("qemu.qmp").addHandler(logging.NullHandler())  # lost connections are expected: no messages on stderr


class Running:
    """A machine that has been started. Every method may also be called after its end."""

    def __init__(
        self, process: subprocess.Popen[bytes], machine: Machine, errors: Path, device: GuestDevice | None = None
    ) -> None:
        self._process, self._machine, self._errors = process, machine, errors
        self.guest_device = device
        self._peak_kb = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def errors(self) -> str:
        """Returns QEMU's own messages, or how its guest device failed: QEMU says little about that."""
        if self.guest_device and (failure := self.guest_device.failure()):
            return failure
        return self._errors.read_text(errors="replace").strip()

    def peak_memory_mb(self) -> int:
        """Returns the machine's peak memory on this host so far; 0 where there is no /proc."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self._peak_kb = max(self._peak_kb, int(line.split()[1]))
        return self._peak_kb >> 10

    def wait_for_control(self) -> None:
        """Returns once QEMU accepts commands, has ended, or is far too slow."""
        deadline = time.monotonic() + 4 * _QMP_SECONDS
        while not self._machine.control.exists() and self.exit_status() is None and time.monotonic() < deadline:
            time.sleep(0.01)

    def ask(self, command: str, **arguments: Any) -> Any:
        """Sends a QMP command and returns its answer; None if the machine does not answer (it may be ending)."""
        deadline = time.monotonic() + _QMP_SECONDS
        while True:
            try:
                return asyncio.run(asyncio.wait_for(_execute(self._machine.control, command, arguments), _QMP_SECONDS))
            except ConnectError:
                # QEMU creates the socket a moment before it listens on it.
                if self.exit_status() is not None or time.monotonic() > deadline:
                    return None
                time.sleep(0.05)
            except (TimeoutError, QMPError, OSError, EOFError):
                return None

    def state(self) -> str:
        """QEMU's run state (``running``, ``paused``, ``internal-error``, …), ``""`` if it does not answer.

        ``guest-device-lost``: VirtualBox' guest device has failed.
        """
        if self.guest_device and self.guest_device.failure():
            return DEVICE_LOST
        answer = self.ask("query-status")
        return str(answer.get("status", "")) if isinstance(answer, dict) else ""

    def stop(self) -> None:
        """Switches the machine off at once, as vboxwrapper does. The process is gone on return."""
        if self.exit_status() is None:
            self.peak_memory_mb()
            self.ask("quit")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_QMP_SECONDS)
        if self.exit_status() is None:
            self._process.kill()
        self._process.wait()


async def _execute(control: Path, command: str, arguments: dict[str, Any]) -> Any:
    client = QMPClient("boinc2docker")
    await client.connect(str(control))
    try:
        return await client.execute(command, arguments)
    finally:
        with contextlib.suppress(QMPError, OSError, EOFError):
            await client.disconnect()


@contextlib.contextmanager
def running(
    machine_at: Callable[[Path], Machine], errors: Path, *, device_options: Sequence[str] = ()
) -> Iterator[Running]:
    """Starts a machine and, however the block ends (Ctrl-C and SIGTERM too), stops it.

    ``machine_at`` is called with a directory for sockets and returns the machine. If the machine has VirtualBox' guest
    device, that starts with ``device_options`` and ends with it. Raises HostError if QEMU is missing or too old.
    """
    prepare = _die_with_parent(os.getpid()) if sys.platform == "linux" else None
    with leftovers.scratch(_place_for_sockets()) as sockets:
        machine = machine_at(sockets)
        program = vfio_qemu() if machine.guest_device else qemu_program()
        with errors.open("wb") as output, _terminations(), contextlib.ExitStack() as ends:
            device = None
            if machine.guest_device:
                own = serving(
                    machine.guest_device, machine.folders, device_options, logs=errors.parent, prepare=prepare
                )
                device = ends.enter_context(own)
            process = subprocess.Popen(
                command_line(machine, program),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C goes to us, and we end it
                preexec_fn=prepare,
            )
            started = Running(process, machine, errors, device)
            try:
                started.wait_for_control()
                yield started
            finally:
                started.stop()


def _place_for_sockets() -> Path:
    """Returns a directory with a short path: a socket's path must be shorter than 108 bytes (unix(7))."""
    usual = tempfile.gettempdir()
    return Path(usual if len(usual) < 72 else "/tmp")  # noqa: S108


def _die_with_parent(parent: int) -> Callable[[], None]:
    """Asks Linux to kill the machine if this process is killed and cannot do so itself."""
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


class Terminated(SystemExit):
    """SIGTERM as an exception, so that open files and processes are cleaned up."""


@contextlib.contextmanager
def _terminations() -> Iterator[None]:
    """Within the block SIGTERM raises Terminated instead of killing the process."""

    def terminate(number: int, _frame: FrameType | None) -> None:
        raise Terminated(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def require_memory(megabytes: int) -> None:
    """Raises UsageError if this computer has less memory than a machine is to have."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # not every system has these
        here = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
        if megabytes > here > 0:
            raise UsageError(
                "bad-size",
                f"--memory: expected at most the {here} MB of this computer, found {megabytes} MB",
                hint="leave some of it for this computer, too",
            )


def create_disk(path: Path, size: int) -> None:
    """Makes a blank dynamic VDI of ``size`` bytes, as a project ships it. Raises BuilderErrors."""
    require_disk_size(size)
    run([qemu_program("qemu-img"), "create", "-q", "-f", "vdi", path, str(size)])


def require_disk_size(size: int) -> None:
    """Raises UsageError if a disk of ``size`` bytes is too small to be of use."""
    if size < 64 << 20:
        raise UsageError("bad-size", f"--disk: expected at least 64MB, such as 20GB, found {size} bytes")


def copy_disk(source: Path, target: Path) -> None:
    """Copies a disk for one machine, as BOINC does in its slot. Raises HostError."""
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise explain(error, f"copy {source}") from error


def require_disk(path: Path) -> Path:
    """Returns ``path`` if it has the signature of a VDI file (VirtualBox ``VDICore.h``), else raises InputError."""
    try:
        with path.open("rb") as stream:
            if stream.read(68)[64:] == _VDI_SIGNATURE:
                return path
    except OSError as error:
        raise InputError("bad-disk", f"--disk: cannot read {path}: {error.strerror}") from error
    raise InputError("bad-disk", f"--disk: expected a size such as 20GB or a VDI file, found {path}")
