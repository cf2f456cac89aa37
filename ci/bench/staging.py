"""Staging an image from a registry against the classic way: `docker pull`, `docker save`, gzip. Both in one run.

Debian's docker-registry and a dockerd of this run's own, both on loopback, so that no network is measured. Seconds are
wall time; disk is the most that was taken at any moment beyond what was there before, by blocks.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boinc2docker import console
from boinc2docker import programs as command
from boinc2docker.errors import HostError
from boinc2docker.fetch import Cache
from boinc2docker.image.delivery import Delivery, Via, obtain
from boinc2docker.image.reference import parse as parse_reference
from boinc2docker.image.registry import Access
from tests.equipment.real_engine import running_engine
from tests.equipment.real_registry import DOCKER_LAYER, RealRegistry, running_registry

NEEDED = {"docker-registry": "docker-registry", "dockerd": "docker.io", "docker": "docker.io or docker-cli"}
REPOSITORY = "bench/image"


@dataclass(frozen=True)
class Cost:
    """Wall seconds, and the most disk that was taken, in MB."""

    seconds: float
    peak_disk_mb: float


@dataclass(frozen=True)
class Staging:
    """An image's size in MB, and what both ways cost: medians, and the median of the ratios of pairs."""

    image_mb: float
    compressed_mb: float
    ours: Cost
    classic: Cost
    ratio: float

    def __str__(self) -> str:
        return (
            f"staging {self.image_mb:.0f} MB ({self.compressed_mb:.0f} MB compressed): "
            f"{self.ratio:.3f}× the classic way ({self.ours.seconds:.1f} s, {self.ours.peak_disk_mb:.0f} MB of disk; "
            f"{self.classic.seconds:.1f} s, {self.classic.peak_disk_mb:.0f} MB)"
        )


def staging(*, megabytes: int = 700, layers: int = 1, rounds: int = 1) -> Staging:
    """Runs both ways in turn, ``rounds`` times, each from nothing. Raises HostError if a program is missing."""
    require_programs()
    with (
        tempfile.TemporaryDirectory(prefix="boinc2docker-bench-") as name,
        running_registry(Path(name) / "r") as registry,
    ):
        work = Path(name)
        with console.step(f"Making an image of {megabytes} MB"):
            compressed = _push(registry, megabytes, layers)
        reference = f"{registry.host}/{REPOSITORY}:1"
        pairs = [(_ours(work / "ours", reference), _classic(work / "classic", reference)) for _ in range(rounds)]
    return Staging(
        image_mb=megabytes,
        compressed_mb=compressed / 1e6,
        ours=_middle([pair[0] for pair in pairs]),
        classic=_middle([pair[1] for pair in pairs]),
        ratio=statistics.median(ours.seconds / classic.seconds for ours, classic in pairs),
    )


def require_programs() -> None:
    """Raises HostError where this cannot be measured."""
    for program, package in NEEDED.items():
        if shutil.which(program) is None:
            raise HostError("program-missing", f"{program} is not on this machine", hint=f"Debian: {package}")
    if os.getuid() != 0:
        raise HostError("no-permission", "the classic way needs a Docker engine, and that needs root")


def _middle(costs: list[Cost]) -> Cost:
    return Cost(statistics.median(one.seconds for one in costs), max(one.peak_disk_mb for one in costs))


def _push(registry: RealRegistry, megabytes: int, layers: int) -> int:
    """Pushes the image; bytes of its compressed layers."""
    packed = [program_like_layer(megabytes // layers, seed) for seed in range(layers)]
    config = {
        "os": "linux",
        "architecture": "amd64",
        "config": {"Cmd": ["/file"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in packed]},
    }
    registry.push_image(REPOSITORY, "1", json.dumps(config).encode(), [(data, DOCKER_LAYER) for data, _ in packed])
    return sum(len(data) for data, _ in packed)


def program_like_layer(megabytes: int, seed: int) -> tuple[bytes, str]:
    """A gzip layer of this size, uncompressed, and its diff id; it compresses to about a third, as programs do."""
    source = random.Random(seed)  # noqa: S311 - content, not a secret
    words = [source.randbytes(source.randint(8, 40)) for _ in range(600)]
    blocks = [
        b"".join(source.choices(words, k=60_000))[: 1 << 20].ljust(1 << 20, b"\0")
        if number % 8
        else source.randbytes(1 << 20)
        for number in range(min(megabytes, 16))
    ]
    plain, out = hashlib.sha256(), io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=6, mtime=0) as packed:
        tee = _Tee(packed, plain)
        with tarfile.open(fileobj=tee, mode="w|") as archive:  # type: ignore[call-overload]
            for number in range(megabytes):
                info = tarfile.TarInfo(f"data/{seed}/{number}")
                block = number.to_bytes(8, "big") + blocks[number % len(blocks)][8:]
                info.size = len(block)
                archive.addfile(info, io.BytesIO(block))
    return out.getvalue(), "sha256:" + plain.hexdigest()


class _Tee:
    """Writes to a file and into a hash."""

    def __init__(self, output: gzip.GzipFile, state: Any) -> None:
        self._output, self._state = output, state

    def write(self, data: bytes) -> int:
        self._state.update(data)
        return self._output.write(data)


def _ours(work: Path, reference: str) -> Cost:
    """Into ``image/<hex>`` as `--via boinc` does it, with an empty cache."""
    access = Access(cache=Cache(work / "cache"), credentials=lambda _: None)
    delivery = Delivery(via=Via.BOINC, access=access)
    with _emptied(work):
        return _measured([work], lambda: obtain(parse_reference(reference), work / "image", delivery))


def _classic(work: Path, reference: str) -> Cost:
    """What boinc2docker did: pull, save, unpack the archive, compress its layers."""
    with _emptied(work), running_engine(work / "engine") as address:
        docker = ["docker", "-H", address]
        saved = work / "saved"
        saved.mkdir()

        def stage() -> None:
            command.run([*docker, "pull", "-q", reference])
            with subprocess.Popen([*docker, "save", reference], stdout=subprocess.PIPE) as saving:
                subprocess.run(["tar", "-x", "-C", saved], stdin=saving.stdout, check=True)
            for layer in sorted(path for path in saved.rglob("*") if path.is_file() and path.stat().st_size > 1 << 16):
                command.run(["gzip", "-n", "-f", layer])

        return _measured([work], stage)


@contextmanager
def _emptied(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _measured(directories: list[Path], work: Callable[[], object]) -> Cost:
    before = _disk(directories)
    most = before
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.05):
            most = max(most, _disk(directories))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    began = time.monotonic()
    try:
        work()
    finally:
        seconds = time.monotonic() - began
        done.set()
        watcher.join()
    return Cost(seconds, (max(most, _disk(directories)) - before) / 1e6)


def _disk(directories: list[Path]) -> int:
    """Bytes on the disk, each file once; a file may vanish while we look."""
    seen: dict[tuple[int, int], int] = {}
    for directory in directories:
        for parent, _, names in os.walk(directory):
            if parent.endswith("/merged"):
                continue
            for name in names:
                try:
                    facts = (Path(parent) / name).lstat()
                except OSError:
                    continue
                seen[facts.st_dev, facts.st_ino] = facts.st_blocks * 512
    return sum(seen.values())
