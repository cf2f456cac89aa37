"""A real registry, a scratch folder, and machines on both: what the tests of the image store are made of."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builder import PROJECT_ROOT
from tests.e2e.images import busybox_layer
from tests.work.archives import sha
from tests.work.real_registry import RealRegistry

GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
MB = 1 << 20


def random_layer(seed: int, size: int) -> bytes:
    """A layer (uncompressed tar) with one file of ``size`` bytes that do not compress; the same for the same seed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo(f"data-{seed}")
        info.size = size
        archive.addfile(info, io.BytesIO(random.Random(seed).randbytes(size)))
    return out.getvalue()


def zeros_layer(size: int) -> bytes:
    """A layer with one file of zeros: large for the machine, small on the way."""
    info = tarfile.TarInfo("large")
    info.size = size
    return info.tobuf() + bytes(size + 10240)


@dataclass(frozen=True)
class Pushed:
    """An image in the registry: its reference, and its compressed layers."""

    reference: str
    layers: tuple[bytes, ...]

    @property
    def bytes(self) -> int:
        return sum(map(len, self.layers))


@dataclass
class Machine:
    """One ``invoke run`` that is going on."""

    process: subprocess.Popen[bytes]
    output: Path
    errors: Path

    def events(self) -> str:
        return self.errors.read_text(errors="replace")

    def qemu(self) -> int | None:
        """The machine's process id, once there is one."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with contextlib.suppress(OSError):
            for pid in children.read_text().split():
                if "qemu" in Path(f"/proc/{pid}/cmdline").read_text():
                    return int(pid)
        return None

    def signal(self, number: signal.Signals) -> None:
        pid = self.qemu()
        assert pid is not None, self.events()
        os.kill(pid, number)

    def until(self, condition: Callable[[], bool], what: str, limit: float = 600) -> None:
        """Waits for ``condition``, looking often; fails if the machine ends before."""
        deadline = time.monotonic() + limit
        while not condition():
            assert self.process.poll() is None, f"ended before {what}: {self.events()}"
            assert time.monotonic() < deadline, f"no {what} in {limit} s: {self.events()}"
            time.sleep(0.005)

    def said(self, text: str) -> Callable[[], bool]:
        return lambda: text in self.events()

    def end(self, limit: float = 900) -> dict[str, Any]:
        """Waits for the end; what ``--json`` says, with the exit code as ``status`` and the events as ``events``."""
        status = self.process.wait(timeout=limit)
        text = self.output.read_text()
        assert text, self.events()
        return {**json.loads(text), "status": status, "events": self.events()}


@dataclass
class Rig:
    """``scratch`` is one host's folder for the project."""

    directory: Path
    registry: RealRegistry
    iso: Path
    started: list[Machine] = field(default_factory=list)

    @property
    def scratch(self) -> Path:
        return self.directory / "scratch"

    @property
    def store(self) -> Path:
        return self.scratch / "boinc2docker" / "v1"

    def layer_files(self) -> list[Path]:
        """The store's complete layers."""
        return sorted((self.store / "layers" / "sha256").iterdir())

    def push(self, name: str, *sizes: int, seed: int = 0) -> Pushed:
        """An image: busybox, then a layer of random bytes for each size. Equal seeds and sizes are equal layers."""
        return self.push_layers(
            name, [busybox_layer(), *(random_layer(seed + number, size) for number, size in enumerate(sizes))]
        )

    def push_layers(self, name: str, plain: list[bytes]) -> Pushed:
        """An image of these layers (uncompressed tars)."""
        packed = tuple(gzip.compress(layer, compresslevel=1, mtime=0) for layer in plain)
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha(layer) for layer in plain]},
        }
        self.registry.push_image(name, "1", json.dumps(config).encode(), [(layer, GZIP) for layer in packed])
        return Pushed(f"{self.registry.host}/{name}:1", packed)

    def start(self, image: Pushed, *options: str, script: str = "echo ran", scratch: Path | None = None) -> Machine:
        """Starts a machine for a job of this image."""
        number = len(self.started)
        words = ["run", "--json", image.reference, "--iso", self.iso, "--scratch", scratch or self.scratch]
        words += ["--results", self.directory / f"results-{number}", *options, "--", "/bin/sh", "-c", script]
        output, errors = self.directory / f"output-{number}", self.directory / f"errors-{number}"
        with output.open("wb") as out, errors.open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "builder.program", *map(str, words)],
                cwd=PROJECT_ROOT,
                env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        self.started.append(Machine(process, output, errors))
        return self.started[-1]

    def run(
        self, image: Pushed, *options: str, script: str = "echo ran", scratch: Path | None = None
    ) -> dict[str, Any]:
        """A whole job."""
        return self.start(image, *options, script=script, scratch=scratch).end()

    @contextlib.contextmanager
    def counting(self) -> Iterator[list[int]]:
        """Counts the bytes of layers that the registry sends inside; the list's only entry is set at the end."""
        before, counted = self.registry.blob_bytes(), [0]
        yield counted
        time.sleep(0.5)  # the log is written after the answer
        counted[0] = self.registry.blob_bytes() - before

    def stop(self) -> None:
        """Ends what is left."""
        for machine in self.started:
            if machine.process.poll() is None:
                with contextlib.suppress(AssertionError, ProcessLookupError):
                    machine.signal(signal.SIGCONT)
                machine.process.terminate()
                machine.process.wait(timeout=60)
