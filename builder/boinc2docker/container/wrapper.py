"""Driving Docker or Podman as BOINC's docker_wrapper does: its commands, in its order, with its limits.

A job that runs here runs there. Facts: BOINC, ``samples/docker_wrapper/docker_wrapper.cpp``, release 22.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from boinc2docker.errors import HostError, InputError, MachineError

MAX_COMMAND = 1023
"""Bytes of one command; docker_wrapper cuts longer ones without a word."""
_POLL_SECONDS = 1.0


class Engine(StrEnum):
    """The container engines that docker_wrapper knows, by their programs' names."""

    DOCKER = "docker"
    PODMAN = "podman"


def require(engine: Engine) -> None:
    """Raises HostError unless the engine's program is on this machine."""
    if shutil.which(engine) is None:
        raise HostError(
            "no-engine", f"{engine} is not on this machine", hint=f"install {engine}, or use another runner"
        )


@dataclass(frozen=True)
class Task:
    """A task as its client knows it. Names are lower-cased by docker_wrapper."""

    slot: Path
    workunit: str
    result: str
    project: str = "local"
    cpus: int = 1

    @property
    def container(self) -> str:
        return f"boinc__{self.project}__{self.result}".lower()

    @property
    def image(self) -> str:
        return f"boinc__{self.project}__{self.workunit}".lower()


@dataclass(frozen=True)
class Ended:
    """How a container ended, and all that it has said."""

    exit_code: int
    log: str


class Wrapper:
    """One task's container, from the image to its removal. ``environment`` is of the engine's commands."""

    def __init__(self, engine: Engine, task: Task, environment: Mapping[str, str] | None = None) -> None:
        require(engine)
        self._engine, self._task = engine, task
        self._environment = {**os.environ, **(environment or {})}

    def run(self, *, timeout: float | None, looked: Callable[[], None] = lambda: None) -> Ended:
        """Makes image and container, waits for the container's end, and removes both.

        ``looked`` is called about once a second. Raises MachineError with the engine's own words where it fails, and
        with code ``timeout``; whatever happens, neither container nor image stays.
        """
        try:
            self._call(f'build "." -t {self._task.image} -f Dockerfile{self._retries()}', judged=True)
            self._call(self.create_command(), judged=True)
            self._call(f"start {self._task.container}", judged=True)
            code = self._wait(timeout, looked)
            return Ended(code, self._call(f"logs {self._task.container}"))
        finally:
            self._call(f"container rm --force {self._task.container}", fails=True)
            self._call(f"image rm {self._task.image}", fails=True)

    def _retries(self) -> str:
        return " --retry 0" if self._engine is Engine.PODMAN else ""

    def create_command(self) -> str:
        """The text that docker_wrapper would hand to a shell. Raises InputError for one that it would cut."""
        try:
            settings = tomllib.loads((self._task.slot / "job.toml").read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise InputError("bad-job", f"job.toml is not TOML: {error}") from error
        words = [f"create --name {self._task.container}", f'-v "./":"{settings.get("workdir", "/app")}"', '-e ARGS=""']
        if self._task.cpus > 1:
            words.append(f"--cpus {self._task.cpus}")
        words.append(settings.get("create_args", ""))
        if self._engine is Engine.PODMAN:
            words.append("--log-driver=k8s-file")
        words.append(self._task.image)
        text = " ".join(word for word in words if word)
        if len(text.encode()) > MAX_COMMAND:
            raise InputError(
                "command-too-long",
                f"docker_wrapper's command has {len(text.encode())} bytes and may have {MAX_COMMAND}",
            )
        return text

    def _call(self, command: str, *, judged: bool = False, fails: bool = False) -> str:
        """Runs one command of the engine's; its output, both streams. ``judged`` as docker_wrapper judges it."""
        argv = [self._engine.value, *shlex.split(command)]
        done = subprocess.run(
            argv,
            cwd=self._task.slot,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        said = done.stdout.decode(errors="replace")
        if not fails and (done.returncode or (judged and "Error" in said)):
            lines = [line.strip() for line in said.splitlines() if line.strip()]
            why = next((line for line in lines if "rror" in line), lines[-1] if lines else "it said nothing")
            raise MachineError(
                "engine-failed",
                f"{self._engine} {argv[1]} failed: {why[:400]}",
                hint="docker_wrapper would end the task",
            )
        return said

    def _wait(self, timeout: float | None, looked: Callable[[], None]) -> int:
        began = time.monotonic()
        while True:
            state = self._state()
            if state.get("Status") in ("exited", "dead") or state.get("Running") is False:
                return int(str(state.get("ExitCode", 1)))
            looked()
            if timeout is not None and time.monotonic() - began > timeout:
                self._call(f"kill {self._task.container}", fails=True)
                raise MachineError("timeout", f"the container did not end within {timeout:.0f} seconds")
            time.sleep(_POLL_SECONDS)

    def _state(self) -> Mapping[str, object]:
        found = json.loads(self._call(f"inspect --format '{{{{json .State}}}}' {self._task.container}"))
        return found if isinstance(found, dict) else {}
