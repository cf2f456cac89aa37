"""The process that emulates VirtualBox' guest device for one machine. It starts before the machine and ends with it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from boinc2docker import places
from boinc2docker.errors import HostError

MODULE = "boinc2docker.vm.vmmdev"
OPTIONS = "B2D_VMMDEV_OPTIONS"
"""Environment variable with more options of ``boinc2docker.vm.vmmdev``, for tests: ``--windows --scanner 2``."""
_START_SECONDS = 60.0
_END_SECONDS = 5.0


class GuestDevice:
    """A running device. It writes ``report`` when it ends (see ``vmmdev.report``)."""

    def __init__(self, process: subprocess.Popen[bytes], messages: Path, report: Path) -> None:
        self._process, self._messages, self.report = process, messages, report

    @property
    def pid(self) -> int:
        return self._process.pid

    def failure(self) -> str | None:
        """Says in a line how it failed. None while it runs, and if it ended because its machine did."""
        status = self._process.poll()
        if not status:
            return None
        said = self._messages.read_text(errors="replace").strip().splitlines() or ["no message"]
        return f"VirtualBox' guest device ended with status {status}: {said[-1][:200]}"

    def wait_for(self, socket: Path) -> None:
        """Returns when QEMU can connect. Raises HostError if the process ends first or is far too slow."""
        deadline = time.monotonic() + _START_SECONDS
        while not socket.exists():
            if (failure := self.failure()) or time.monotonic() > deadline:
                raise HostError(
                    "no-guest-device", failure or f"VirtualBox' guest device did not start in {_START_SECONDS:g} s"
                )
            time.sleep(0.01)

    def stop(self) -> None:
        """Ends the process, unless its machine already has. The process is gone on return."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
            return
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def serving(
    socket: Path,
    folders: Mapping[str, Path],
    options: Sequence[str],
    *,
    logs: Path,
    prepare: Callable[[], None] | None = None,
) -> Iterator[GuestDevice]:
    """Starts a device for ``folders`` that listens at ``socket``. Its messages and report (vmmdev.*) go into ``logs``.

    ``prepare`` runs in the new process. However the block ends, the process is gone afterwards. Raises HostError.
    """
    messages, report = logs / "vmmdev.txt", logs / "vmmdev.json"
    report.unlink(missing_ok=True)
    shares = [f"{name}={path}" for name, path in folders.items()]
    search = os.pathsep.join(filter(None, (str(places.SOURCE), os.environ.get("PYTHONPATH", ""))))
    with messages.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, "--report", str(report), *options, "--", str(socket), *shares],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": search},
            start_new_session=True,  # Ctrl-C goes to the parent, which ends it
            preexec_fn=prepare,
        )
    device = GuestDevice(process, messages, report)
    try:
        device.wait_for(socket)
        yield device
    finally:
        device.stop()
