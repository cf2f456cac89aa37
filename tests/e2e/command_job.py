"""A look into a booted machine: a hand-written job that runs the commands a test puts into ``shared/``.

The machine is the released one: nothing listens in it, so the way in is the job itself, which is root of the machine. A
job's own directory is on the machine's disk, where the host sees nothing of it.
"""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testinfra.backend import base
from testinfra.host import Host

BOINC_APP = """\
#!/bin/sh
# A hand-written job: it uses Docker, and the share where the agent mounts it.
cd /mnt/b2d-share && mkdir -p commands || exit 9
docker version --format '{{.Server.Version}}' >commands/docker-version || exit 9
: >commands/ready
while [ ! -e commands/stop ]; do
	for request in commands/*.sh; do
		[ -e "$request" ] || continue
		name=${request%.sh}
		sh "$request" >"$name.out" 2>"$name.err"
		echo $? >"$name.tmp"
		rm "$request"
		mv "$name.tmp" "$name.status"
	done
	sleep 0.2
done
exit 0
"""


@dataclass
class CommandJob:
    """The host's side of one machine's shared directory."""

    shared: Path
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def commands(self) -> Path:
        return self.shared / "commands"

    def write(self) -> None:
        """Lays the job into the (new) shared directory."""
        self.shared.mkdir(parents=True, exist_ok=True)
        (self.shared / "boinc_app").write_text(BOINC_APP)

    def ready(self) -> bool:
        return (self.commands / "ready").exists()

    def stop(self) -> None:
        (self.commands / "stop").touch()

    def run(self, script: str, *, timeout: float = 120) -> tuple[int, bytes, bytes]:
        """Runs a shell script in the machine: its exit status, stdout and stderr."""
        name = self.commands / f"{os.getpid()}-{next(self._numbers)}"
        draft = name.with_suffix(".draft")
        draft.write_text(script)
        draft.rename(name.with_suffix(".sh"))
        status = name.with_suffix(".status")
        deadline = time.monotonic() + timeout
        while not status.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the machine did not finish in {timeout} s: {script[:200]}")
            time.sleep(0.05)
        return int(status.read_text()), name.with_suffix(".out").read_bytes(), name.with_suffix(".err").read_bytes()


class SharedFolderBackend(base.BaseBackend):  # type: ignore[misc]
    """testinfra's way into a machine that runs a :class:`CommandJob`."""

    NAME = "shared-folder"

    def __init__(self, job: CommandJob) -> None:
        super().__init__("machine")
        self.job = job

    def run(self, command: str, *args: str, **kwargs: Any) -> base.CommandResult:
        script = self.get_command(command, *args)
        status, out, err = self.job.run(script)
        return self.result(status, script.encode(), out, err)


def host(job: CommandJob) -> Host:
    """testinfra's host object for the machine."""
    return Host(SharedFolderBackend(job))
