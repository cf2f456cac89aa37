"""A stand-in for BOINC's client, as far as one running task sees it: slot, ``init_data.xml``, messages, heartbeats.

Messages go through a file that client and application both map (BOINC, ``lib/app_ipc.h``): eight channels of 1024
bytes, whose first byte says whether the rest, a text that ends with a zero, is still to be read.
"""

from __future__ import annotations

import mmap
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.sax.saxutils import escape

CHANNEL = 1024
REQUEST, HEARTBEAT, STATUS = 0, 4, 5
"""Channels: what the client asks of the application, that it is alive, and what the application says of itself."""
CHANNELS = 8
_ENGINES = {"docker": 1, "podman": 2}


class Messages:
    """The message file of a slot, from either side."""

    def __init__(self, path: Path, *, make: bool = False) -> None:
        if make:
            path.write_bytes(bytes(CHANNEL * CHANNELS))
        self._file = path.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), CHANNEL * CHANNELS)

    def send(self, channel: int, text: str) -> bool:
        """Puts a message there; False, and nothing done, while the one before has not been read."""
        at = channel * CHANNEL
        if self._map[at]:
            return False
        data = text.encode()[: CHANNEL - 2]
        self._map[at + 1 : at + CHANNEL] = data + bytes(CHANNEL - 1 - len(data))
        self._map[at] = 1
        return True

    def receive(self, channel: int) -> str | None:
        """The message that is there, if there is one."""
        at = channel * CHANNEL
        if not self._map[at]:
            return None
        text = bytes(self._map[at + 1 : at + CHANNEL]).split(b"\0")[0].decode(errors="replace")
        self._map[at] = 0
        return text

    def close(self) -> None:
        self._map.close()
        self._file.close()


class RunningTask:
    """A task whose main program runs in ``slot``; ``stderr.txt`` is there."""

    def __init__(
        self, argv: Sequence[str], slot: Path, *, engine: str, workunit: str, result: str, cpus: int = 1
    ) -> None:
        self.slot = slot
        self._messages = Messages(slot / "boinc_mmap_file", make=True)
        (slot / "init_data.xml").write_text(_init_data(slot, engine, workunit, result, cpus))
        self.said: list[str] = []
        with (slot / "stderr.txt").open("ab") as stderr:
            self._process = subprocess.Popen(
                list(argv), cwd=slot, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, start_new_session=True
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._messages.close()

    def ask(self, what: str) -> None:
        """Sends ``suspend``, ``resume``, ``quit`` or ``abort``."""
        self.until(lambda: self._messages.send(REQUEST, f"<{what}/>\n"), f"sending {what}")

    def until(self, holds: Callable[[], bool], what: str, seconds: float = 120) -> None:
        """Lives, as a client does, until the condition holds."""
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {what}\n{(self.slot / 'stderr.txt').read_text()}")
            self._live()

    def wait(self, seconds: float = 240) -> int:
        """Until the program ends; its exit code."""
        self.until(lambda: self._process.poll() is not None, "the task's end", seconds)
        return self._process.wait()

    def _live(self) -> None:
        self._messages.send(HEARTBEAT, "<heartbeat/>\n")
        if said := self._messages.receive(STATUS):
            self.said.append(said)
        time.sleep(0.2)


def _init_data(slot: Path, engine: str, workunit: str, result: str, cpus: int) -> str:
    return f"""<app_init_data>
<major_version>8</major_version>
<minor_version>2</minor_version>
<release>8</release>
<app_version>100</app_version>
<app_name>boinc2docker</app_name>
<plan_class>docker_x64</plan_class>
<project_dir>{escape(str(slot.parent))}/project_x</project_dir>
<boinc_dir>{escape(str(slot.parent))}</boinc_dir>
<authenticator>0123456789abcdef</authenticator>
<wu_name>{escape(workunit)}</wu_name>
<result_name>{escape(result)}</result_name>
<shm_key>-1</shm_key>
<slot>0</slot>
<client_pid>{os.getpid()}</client_pid>
<wu_cpu_time>0</wu_cpu_time>
<ncpus>{cpus}</ncpus>
<host_info>
    <docker_version>x</docker_version>
    <docker_type>{_ENGINES[engine]}</docker_type>
</host_info>
</app_init_data>
"""
