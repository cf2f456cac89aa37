"""Jobs with an image from the store: the real boinc_app functions, a registry on loopback, a stand-in for Docker."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.guest.blob_server import BlobServer
from tests.guest.machine import Machine

CHUNK = 4000
SHELLS = ("busybox", "dash", "bash")
"""The worlds that have curl."""


def in_turn(cases: Iterable[object], every: int = 1, *, all_shells: bool = True) -> list[object]:
    """Parameters (case, shell): each case (or one of ``every``) under the next shell.

    In the long run each case under each shell, or, without ``all_shells``, each case under the next shell.
    """
    return [
        pytest.param(
            case, shell, marks=() if number % every == 0 and number // every % 3 == turn else pytest.mark.exhaustive
        )
        for number, case in enumerate(cases)
        for turn, shell in enumerate(SHELLS)
        if all_shells or number // every % 3 == turn
    ]


@dataclass(frozen=True)
class StoredImage:
    """Its layers' bytes as they are fetched, and the lines of a job file for it."""

    layers: tuple[bytes, ...]
    config: bytes
    lines: str

    @property
    def names(self) -> list[str]:
        return [hashlib.sha256(layer).hexdigest() for layer in self.layers]

    @property
    def size(self) -> int:
        return sum(map(len, set(self.layers)))


def layer(seed: object, size: int) -> bytes:
    """A layer of about this size, compressed: content that does not get smaller."""
    return gzip.compress(random.Random(str(seed)).randbytes(size), mtime=0)


def image(
    server: BlobServer, layers: Sequence[bytes], *, registries: Sequence[str] = (), token: str = ""
) -> StoredImage:
    """Puts the layers into the registry; returns what a job needs to use them."""
    lines = [f"job_registry '{url}' '{token}'\n" for url in registries or [server.blobs_url]]
    diffs = ["sha256:" + hashlib.sha256(gzip.decompress(each)).hexdigest() for each in layers]
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": diffs}}).encode()
    lines.append(f"job_image 'python:3-slim' 'sha256:{hashlib.sha256(config).hexdigest()}' {len(config)}\n")
    for content, diff in zip(layers, diffs, strict=True):
        lines.append(f"job_layer 'sha256:{server.add(content)}' {len(content)} '{diff}' gzip\n")
    return StoredImage(tuple(layers), config, "".join(lines))


def prepare(machine: Machine, scratch: Path | None) -> None:
    """Mounts the scratch directory; times and sizes are the tests'."""
    machine.environment |= {
        "B2D_FETCH_PAUSE": "0",
        "B2D_STALL_SECONDS": "1",
        "B2D_CONNECT_SECONDS": "2",
        "B2D_CHUNK_BYTES": str(CHUNK),
        "B2D_BEAT_SECONDS": "1",
    }
    if scratch is not None:
        scratch.mkdir(exist_ok=True)
        machine.environment["B2D_SCRATCH"] = str(scratch)
        proc = Path(machine.environment["B2D_PROC"])
        with (proc / "mounts").open("a") as mounts:
            mounts.write(f"scratch {scratch} 9p rw 0 0\n")


def write_job(machine: Machine, wanted: StoredImage, extra: str = "") -> None:
    folder = machine.share / "image"
    folder.mkdir(exist_ok=True)
    (folder / hashlib.sha256(wanted.config).hexdigest()).write_bytes(wanted.config)
    machine.job(f". /opt/boinc2docker/lib/job.sh\n{extra}{wanted.lines}job_run -- 'true'\n")


def start(machine: Machine) -> subprocess.Popen[bytes]:
    """Runs the job as the agent would, in a session of its own."""
    with (machine.root / "out").open("ab") as out:
        machine.process = subprocess.Popen(
            [machine.shell, machine.share / "boinc_app"],
            env=machine.environment,
            cwd=machine.share,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    return machine.process


def run(machine: Machine, wanted: StoredImage, extra: str = "", seconds: float = 60) -> int:
    write_job(machine, wanted, extra)
    status = start(machine).wait(seconds)
    machine.cut_power()
    return status


def state(machine: Machine, name: str) -> str:
    path = machine.run_dir / "job" / name
    return path.read_text() if path.exists() else ""


def sources(machine: Machine) -> list[str]:
    return [line.split()[2] for line in state(machine, "sources").splitlines()]


def store(scratch: Path) -> Path:
    return scratch / "boinc2docker" / "v1"


def stored(scratch: Path) -> dict[str, bytes]:
    folder = store(scratch) / "layers" / "sha256"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def whole(scratch: Path) -> None:
    """Final names hold verified bytes only, and nothing is left half done."""
    for name, content in stored(scratch).items():
        assert hashlib.sha256(content).hexdigest() == name
    assert not list((store(scratch) / "locks").iterdir())


def forget(machine: Machine) -> None:
    """Docker's disk is blank again."""
    for path in machine.stub.glob("loaded-*"):
        path.unlink()
