"""``run --with docker|podman``: the job in a container, as BOINC's docker_wrapper runs it on volunteers' computers."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from boinc2docker import console, places
from boinc2docker.base.agent_bundle import Bundles
from boinc2docker.base.obtain import Sources
from boinc2docker.cli import run_output
from boinc2docker.cli.container_options import delivery_of, job_of, require_image
from boinc2docker.cli.option import Option, wrong_values
from boinc2docker.container.files import slot_files
from boinc2docker.container.run import lay_out, run_job
from boinc2docker.container.wrapper import Engine, require
from boinc2docker.errors import HostError, UsageError
from boinc2docker.image.reference import parse as parse_reference
from boinc2docker.job.job_directory import prepare
from boinc2docker.sizes import parse_seconds
from boinc2docker.vm.report import require_free
from boinc2docker.vm.run_directory import discarded_on, new_directory

MACHINE = "vm"
WITH = Option(
    "with",
    "What runs the job: vm, the machine of volunteers with VirtualBox (default); or docker or podman, driven as "
    "BOINC's docker_wrapper drives them on volunteers' computers.",
    noun="RUNNER",
    choices=(MACHINE, *(engine.value for engine in Engine)),
    group="Machine",
)
OF_MACHINES = ("memory", "disk", "scratch", "patience", "like", "iso", "job")
"""Options of ``run`` that make no sense without a machine."""
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def run_in_container(typed: Mapping[str, Any], words: Sequence[str] | None, engine: Engine) -> int:
    """Runs the job under ``engine``, shows its results and output, and returns the exit code for the shell.

    Raises BuilderErrors; everything about the options is checked before anything is written or started.
    """
    if given := [name for name in OF_MACHINES if typed[name]]:
        raise UsageError(
            "bad-option",
            f"--{given[0]}: with --with {engine} there is no machine",
            hint="leave it out, or use --with vm",
        )
    require(engine)
    results = Path(typed["results"]) if typed["results"] else None
    if results is not None:
        require_free(results)
    with wrong_values():
        source = parse_reference(require_image(typed["image"]))
    timeout = parse_seconds(typed["timeout"], "--timeout") if typed["timeout"] else None
    job = job_of(typed, words, cpus=typed["cpus"])
    # Engines read zstd layers that a registry has; layers from the slot are added by a builder that may not.
    delivery = replace(delivery_of(typed), reads_zstd=True)
    bundle = Bundles(Sources()).obtain(_architecture())
    directory = new_directory(places.output() / "run", results=results)
    slot = directory.own / "slot"
    with discarded_on(directory, [BaseException]):
        image = prepare(job, source, slot / "shared", delivery=delivery).image
        lay_out(slot, slot_files(job, image), bundle)
    kinds: list[type[BaseException]] = [BaseException]  # what has never started leaves no directory behind

    def started() -> None:
        kinds[:] = [KeyboardInterrupt, SystemExit]

    with discarded_on(directory, kinds):
        outcome = run_job(slot, engine, results=directory.results, log=directory.log, timeout=timeout, started=started)
    console.info(f"{image.name}: ran under {engine}")
    where = replace(directory, shared=slot)
    if outcome.exit_code == 0:
        where.forget_job()
    return run_output.show(outcome, where)


def _architecture() -> str:
    """Debian's name of this machine's processor. Raises HostError where there is no agent for it."""
    found = _ARCHITECTURES.get(platform.machine().lower())
    if found is None:
        raise HostError(
            "wrong-host",
            f"expected an x86-64 or a 64-bit ARM processor, found {platform.machine()}",
            hint="use --with vm",
        )
    return found
