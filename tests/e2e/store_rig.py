"""A real registry, a scratch folder, and machines on both: what the tests of the image store are made of."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backports import zstd

from boinc2docker.fetch import Cache
from boinc2docker.image.delivery import Delivery
from boinc2docker.image.reference import parse as parse_reference
from boinc2docker.image.registry import Access
from boinc2docker.job.job import Job
from boinc2docker.job.job_directory import prepare
from boinc2docker.vm.guest_device import MODULE as DEVICE_MODULE
from boinc2docker.vm.guest_device import OPTIONS as DEVICE_OPTIONS
from boinc2docker.vm.host_address import url_in_guest
from boinc2docker.vm.vfio_qemu import PROGRAM
from tests.conftest import call
from tests.e2e.images import busybox_layer
from tests.equipment.archives import sha
from tests.equipment.checkout import PROJECT_ROOT, PYTHON_PATH
from tests.equipment.real_registry import DOCKER_LAYER, OCI_LAYER, RealRegistry

MB = 1 << 20
CHUNK = 8 * MB
"""What a machine fetches at once, and loses at most when its power is cut."""
CONFIG = 1000
"""The registry also sends the small config, to the submitter: a few hundred bytes a job."""

PACKED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "gzip": (lambda data: gzip.compress(data, compresslevel=1, mtime=0), DOCKER_LAYER),
    "zstd": (zstd.compress, OCI_LAYER + "+zstd"),
    "none": (bytes, OCI_LAYER),
}
"""How layers may be compressed: the function, the media type."""


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

    @property
    def names(self) -> list[str]:
        """Their names in a store."""
        return [sha(layer) for layer in self.layers]


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
        return self._child(lambda words: any(Path(word).name == PROGRAM for word in words))

    def guest_device(self) -> int | None:
        """The process id of its guest device over vboxsf, once there is one; None over 9p."""
        return self._child(lambda words: DEVICE_MODULE in words)

    def _child(self, is_it: Callable[[list[str]], bool]) -> int | None:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with contextlib.suppress(OSError):
            for pid in children.read_text().split():
                if is_it(Path(f"/proc/{pid}/cmdline").read_text().split("\0")):
                    return int(pid)
        return None

    def restore(self) -> None:
        """From its next call on, the guest finds what it would after a restore of its saved state."""
        self._signal_device(signal.SIGUSR1)

    def fill_disk(self) -> None:
        """From its next call on, the guest finds the host's disk full; after another one, no longer."""
        self._signal_device(signal.SIGUSR2)

    def _signal_device(self, number: signal.Signals) -> None:
        pid = self.guest_device()
        assert pid is not None, f"no guest device: {self.events()}"
        os.kill(pid, number)

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

    def layer(self, name: str) -> Path:
        """Where a complete layer is, in the store."""
        return self.store / "layers" / "sha256" / name

    def layer_files(self) -> list[Path]:
        """The store's complete layers."""
        return sorted((self.store / "layers" / "sha256").iterdir())

    def put(self, *layers: bytes) -> None:
        """Lays layers into the store, as an earlier job would have."""
        (self.store / "layers" / "sha256").mkdir(parents=True, exist_ok=True)
        for layer in layers:
            self.layer(sha(layer)).write_bytes(layer)

    def partial_bytes(self, name: str) -> int:
        """The size of the largest unfinished download of this layer."""
        sizes = [0]
        for path in (self.store / "partial").glob(f"{name}.*"):
            with contextlib.suppress(FileNotFoundError):
                sizes.append(path.stat().st_size)
        return max(sizes)

    def require_whole(self) -> None:
        """What lies under a final name has that digest; nothing is left half done; the host's own command agrees."""
        for path in self.layer_files():
            assert sha(path.read_bytes()) == path.name
        assert not list((self.store / "locks").iterdir())
        assert not list((self.store / "partial").iterdir())
        verified = call("store", "verify", self.scratch, "--json")
        assert verified.returncode == 0, verified.stderr

    def limit_store(self, megabytes: int) -> None:
        """From now on the machines' site allows the store this much."""
        own = self.directory / "own.iso"
        shutil.copy(self.iso, own)
        done = call("customize", own, "--set", f"STORE_BUDGET_MB={megabytes}")
        assert done.returncode == 0, done.stderr
        self.iso = own

    def push(self, name: str, *sizes: int, seed: int = 0) -> Pushed:
        """An image: busybox, then a layer of random bytes for each size. Equal seeds and sizes are equal layers."""
        return self.push_layers(
            name, [busybox_layer(), *(random_layer(seed + number, size) for number, size in enumerate(sizes))]
        )

    def push_layers(self, name: str, plain: list[bytes], kinds: Sequence[str] = ()) -> Pushed:
        """An image of these layers (uncompressed tars), gzip or what ``kinds`` says."""
        ways = [PACKED[kind] for kind in kinds or ["gzip"] * len(plain)]
        packed = [(way(layer), media) for layer, (way, media) in zip(plain, ways, strict=True)]
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha(layer) for layer in plain]},
        }
        self.registry.push_image(name, "1", json.dumps(config).encode(), packed, oci=bool(kinds))
        return Pushed(f"{self.registry.host}/{name}:1", tuple(data for data, _ in packed))

    def job(self, image: Pushed, registries: Sequence[str] = (), *, script: str = "echo ran", first: str = "") -> Path:
        """A prepared job directory; ``registries`` ("URL TOKEN-URL") take the real one's place for the machine.

        ``first`` are lines before all others, to set what the agent has as its own.
        """
        path = self.directory / f"job-{len(list(self.directory.glob('job-*')))}"
        access = Access(cache=Cache(self.directory / "cache"), credentials=lambda _: None)
        way = Delivery(access=access, seen_by_hosts=url_in_guest, reads_zstd=True)
        prepare(Job(command=("/bin/sh", "-c", script)), parse_reference(image.reference), path, delivery=way)
        lines = (path / "boinc_app").read_text().splitlines()
        own = [line for line in lines if line.startswith("job_registry ")]
        assert own
        if registries:
            at = lines.index(own[0])
            lines = [line for line in lines if line not in own]
            lines[at:at] = ["job_registry '{}' '{}'".format(*f"{one} ".split(" ")[:2]) for one in registries]
        lines.insert(1, first)
        (path / "boinc_app").write_text("\n".join(lines) + "\n")
        return path

    def start(
        self,
        image: Pushed | Path,
        *options: str,
        script: str = "echo ran",
        scratch: Path | None = None,
        device_options: str | None = None,
    ) -> Machine:
        """Starts a machine for a job of this image, or for a prepared job directory.

        ``device_options`` are for its guest device over vboxsf, such as ``--windows --scanner 2``; the environment's
        count where none are given.
        """
        number = len(self.started)
        what = ["--job", image] if isinstance(image, Path) else [image.reference]
        words = ["run", "--json", *what, "--iso", self.iso, "--scratch", scratch or self.scratch]
        words += ["--results", self.directory / f"results-{number}", *options]
        words += [] if isinstance(image, Path) else ["--", "/bin/sh", "-c", script]
        output, errors = self.directory / f"output-{number}", self.directory / f"errors-{number}"
        with output.open("wb") as out, errors.open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "boinc2docker.cli.program", *map(str, words)],
                cwd=PROJECT_ROOT,
                env={
                    **os.environ,
                    "PYTHONPATH": PYTHON_PATH,
                    **({} if device_options is None else {DEVICE_OPTIONS: device_options}),
                },
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        self.started.append(Machine(process, output, errors))
        return self.started[-1]

    def run(
        self, image: Pushed | Path, *options: str, script: str = "echo ran", scratch: Path | None = None
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
