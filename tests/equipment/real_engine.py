"""A real Docker engine that runs for one purpose only, in a directory of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import requests

from boinc2docker.errors import HostError

_END = re.compile(r"^(panic:|failed to )|level=(fatal|panic)")


@contextmanager
def running_engine(root: Path) -> Iterator[str]:
    """The address of the engine; ``root`` is gone afterwards. Raises HostError where an engine cannot run."""
    program = shutil.which("dockerd")
    if program is None:
        raise HostError("program-missing", "dockerd is not on this machine", hint="apt-get install docker.io")
    if os.getuid() != 0:
        raise HostError("no-permission", "dockerd needs root")
    root.mkdir(parents=True, exist_ok=True)
    address = f"unix://{root}/s"
    argv = [program, "--data-root", f"{root}/data", "--exec-root", f"{root}/exec", "--pidfile", f"{root}/pid"]
    argv += ["-H", address, "--iptables=false", "--ip6tables=false", "--bridge=none"]
    with (root / "log").open("wb") as log:
        engine = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        if not _answers(engine, address):
            raise HostError("no-docker", f"dockerd does not run here: {last_word((root / 'log').read_text())}")
        yield address
    finally:
        engine.terminate()
        try:
            engine.wait(30)
        except subprocess.TimeoutExpired:
            engine.kill()
            engine.wait()
        _unmount_below(root)
        shutil.rmtree(root)


def _unmount_below(root: Path) -> None:
    """Ends the mounts that the engine left: it mounts its data directory on itself for a container's volume."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for where in sorted((name for name in mounts if Path(name).is_relative_to(root)), reverse=True):
        subprocess.run(["umount", "--lazy", where], check=True)


def last_word(log: str) -> str:
    """The line of an engine's log that says why it ended; what follows a panic is of use to its makers only."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    ends = [line for line in lines if _END.search(line)]
    return (ends[0] if ends else lines[-1] if lines else "it said nothing")[:300]


def _answers(engine: subprocess.Popen[bytes], address: str) -> bool:
    for _ in range(300):
        if engine.poll() is not None:
            return False
        try:
            client = docker.DockerClient(base_url=address)
            client.ping()
            client.close()
        except (docker.errors.DockerException, requests.RequestException):
            time.sleep(0.1)
        else:
            return True
    return False
