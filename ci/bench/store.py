"""A job with a cold image store and then with a warm one: two real machines, a real registry on loopback."""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boinc2docker import console
from boinc2docker import programs as command
from boinc2docker.digest import Digest
from ci.bench.staging import program_like_layer
from tests.equipment.busybox_image import busybox_layer
from tests.equipment.checkout import PROJECT_ROOT
from tests.equipment.real_registry import DOCKER_LAYER, RealRegistry, running_registry

REPOSITORY = "bench/job"


@dataclass(frozen=True)
class StoreSeconds:
    """Seconds from Docker being ready to the container's start, and bytes of layers the machine fetched for that."""

    image_mb: float
    cold: float
    cold_bytes: int
    warm: float
    warm_bytes: int

    def __str__(self) -> str:
        return (
            f"Docker ready → container started, {self.image_mb:.0f} MB image: "
            f"{self.cold:.1f} s with a cold store ({self.cold_bytes / 1e6:.1f} MB fetched), "
            f"{self.warm:.1f} s with a warm one ({self.warm_bytes / 1e6:.1f} MB)"
        )


def cold_and_warm(iso: Path, *, megabytes: int = 48) -> tuple[dict[str, Any], StoreSeconds]:
    """Runs both; also what ``run --json`` says of the first. Raises HostError if a program is missing."""
    with (
        tempfile.TemporaryDirectory(prefix="boinc2docker-bench-") as name,
        running_registry(Path(name) / "r") as registry,
    ):
        _push(registry, megabytes)
        with console.step("A job in a machine, with a cold store"):
            cold = _run(iso, registry, Path(name), "cold")
        with console.step("The same with a warm store"):
            warm = _run(iso, registry, Path(name), "warm")
    seconds = StoreSeconds(
        megabytes, _to_container(cold), cold["downloaded_bytes"], _to_container(warm), warm["downloaded_bytes"]
    )
    return cold, seconds


def _push(registry: RealRegistry, megabytes: int) -> None:
    busybox = busybox_layer()
    content, diff_id = program_like_layer(megabytes, 1)
    config = {
        "os": "linux",
        "architecture": "amd64",
        "config": {"Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(busybox)), diff_id]},
    }
    layers = [(gzip.compress(busybox, mtime=0), DOCKER_LAYER), (content, DOCKER_LAYER)]
    registry.push_image(REPOSITORY, "1", json.dumps(config).encode(), layers)


def _run(iso: Path, registry: RealRegistry, work: Path, name: str) -> dict[str, Any]:
    words: list[str | Path] = ["run", f"{registry.host}/{REPOSITORY}:1", "--iso", iso, "--json"]
    words += ["--scratch", work / "scratch", "--results", work / name, "--", "/bin/sh", "-c", "echo first"]
    output = command.run([sys.executable, "-m", "boinc2docker.cli.program", *words], cwd=PROJECT_ROOT)
    outcome: dict[str, Any] = json.loads(output)
    return outcome


def _to_container(outcome: Mapping[str, Any]) -> float:
    marks: Mapping[str, float] = outcome["phases"]
    return round(marks["run"] - marks["docker"], 2)
