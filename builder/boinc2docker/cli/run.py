"""``run``: from a command line's values to a run, and its end told to the user."""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from boinc2docker import __version__, console, places
from boinc2docker.cli import run_output
from boinc2docker.cli.command import Command, Example
from boinc2docker.cli.container_options import (
    CONTAINER,
    DOCKERS,
    FILES,
    IMAGE,
    LAYERS,
    REFUSED,
    delivery_of,
    job_of,
    memory,
    only_a_job,
    require_image,
    tell_terminal,
)
from boinc2docker.cli.option import Option, group, values, wrong_values
from boinc2docker.cli.readers import existing
from boinc2docker.cli.run_container import MACHINE, WITH, run_in_container
from boinc2docker.container.wrapper import Engine
from boinc2docker.errors import BuilderError, InputError, UsageError
from boinc2docker.image.reference import Source
from boinc2docker.image.reference import parse as parse_reference
from boinc2docker.iso import reads_zstd
from boinc2docker.job.job_directory import prepare
from boinc2docker.sizes import parse_bytes, parse_count, parse_seconds
from boinc2docker.typed import command
from boinc2docker.vm.guest_device import OPTIONS as DEVICE_OPTIONS
from boinc2docker.vm.host_address import url_in_guest
from boinc2docker.vm.machine import Like
from boinc2docker.vm.outcome import Outcome
from boinc2docker.vm.process import Running, require_disk, require_memory
from boinc2docker.vm.report import require_free
from boinc2docker.vm.run import check_iso, run_job
from boinc2docker.vm.run_directory import RunDirectory, discarded_on, new_directory
from boinc2docker.vm.settings import Settings
from boinc2docker.vm.vfio_qemu import vfio_qemu

LIKE = "B2D_LIKE"
"""Environment variable for what ``--like`` says where it is not given: tests run the same jobs on both."""
_DEFAULT_DISK = 16 << 30
_LEAST_DISK = 64 << 20


RUN: tuple[Option, ...] = (
    *IMAGE,
    *CONTAINER,
    *FILES,
    *LAYERS,
    WITH,
    *group(
        "Machine",
        Option(
            "memory",
            "Memory of the virtual machine, such as 2GB (default) or 900MB. A bare number is MB.",
            read=memory,
            short="m",
            noun="SIZE",
        ),
        Option("cpus", "Processors the container may use, such as 2 or 1.5 (default 1).", noun="N"),
        Option(
            "disk",
            "Add a data disk for image and job: a size such as 20GB, or a blank VDI file, which is copied "
            "(default: one is added for large images).",
            noun="SIZE|FILE",
        ),
        Option(
            "scratch",
            "Directory that all tasks of a project share on a host (default: build/scratch of a checkout, else in the "
            "cache). Other users of this computer should not be able to enter it.",
            noun="DIR",
        ),
        Option("timeout", "Give up after this long, such as 30m or 2h.", noun="TIME"),
        Option(
            "patience",
            "Wait this many times as long on a slow computer: for the machine to boot (10 minutes), for its Docker "
            "(10 minutes) and for signs of life (default 1).",
            noun="N",
        ),
        Option(
            "like",
            "How the machine reaches its files: qemu (9p, the default), or virtualbox (vboxsf over an emulated guest "
            "device, as on volunteers' machines; needs QEMU 10.1 or newer).",
            noun="KIND",
            choices=tuple(one.value for one in Like),
        ),
        Option("iso", "ISO to boot (default: the one that build-iso made).", noun="FILE"),
        Option(
            "job",
            "Run this prepared job directory (with its boinc_app) in place, instead of an image. "
            "Other users of this computer should not be able to enter it.",
            noun="DIR",
        ),
    ),
    Option(
        "results",
        "Directory for the results (default: run/N/results; in a checkout below build/).",
        noun="DIR",
        group="Output",
    ),
    *DOCKERS,
    Option("detach", "Does nothing: run waits for the job.", kind="flag", short="d", hidden=True),
)
"""The options of ``run``."""


@dataclass(frozen=True)
class RunOptions:
    """The options of ``run`` as they were typed, by name; ``words`` are the container's."""

    given: Mapping[str, Any]
    words: Sequence[str] | None = None

    @classmethod
    def of(cls, words: Sequence[str] | None = None, **given: Any) -> RunOptions:
        """The options in ``given``, the others as they are where nothing is typed."""
        return cls({one.name: given.get(one.name, one.default) for one in RUN}, words)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.given[name]
        except KeyError:
            raise AttributeError(name) from None


def run_command(options: RunOptions) -> int:
    """Runs what ``options`` say, shows results and the container's output, and returns the exit code for the shell.

    Raises BuilderErrors; everything about the options is checked before anything is written or started.
    """
    typed = values(RUN, options.given)
    tell_terminal(typed)
    if typed["detach"]:
        console.info("-d is ignored: run waits for the job")
    if typed["with"] not in (None, MACHINE):
        return run_in_container(typed, options.words, Engine(typed["with"]))
    source = _source(options.image) if options.job is None else None
    settings = _settings(typed)
    iso = existing(options.iso, "--iso") if options.iso else default_iso()
    check_iso(iso)
    scratch = Path(options.scratch) if options.scratch else places.scratch()
    results = Path(options.results) if options.results else None
    if results is not None:
        require_free(results)
    if source is None:
        only_a_job(options.given, options.words)
        directory = new_directory(places.output() / "run", job=existing(options.job, "--job"), results=results)
    else:
        job, delivery = (
            job_of(typed, options.words, cpus=_share(typed["cpus"])),
            replace(delivery_of(typed, url_in_guest), reads_zstd=reads_zstd(iso)),
        )
        directory = new_directory(places.output() / "run", results=results)
        with discarded_on(directory, [BaseException]):
            image = prepare(job, source, directory.shared, delivery=delivery).image
        console.info(f"{image.name}: {_layers(len(image.layers))}, {image.size / 1e6:.1f} MB")
        settings = _with_disk(settings, image.size, _inputs_bytes(directory.shared))
    outcome = _run(directory, scratch, iso, settings)
    if outcome.exit_code == 0:
        directory.forget_job()
    return run_output.show(outcome, directory)


def _source(image: str | None) -> Source:
    with wrong_values():
        return parse_reference(require_image(image))


def _run(directory: RunDirectory, scratch: Path, iso: Path, settings: Settings) -> Outcome:
    """Runs the job. What was interrupted, or has never started, leaves no directory behind."""
    kinds: list[type[BaseException]] = [KeyboardInterrupt, SystemExit, BuilderError, OSError]

    def started(_machine: Running) -> None:
        kinds[:] = [KeyboardInterrupt, SystemExit]  # Ctrl-C, SIGTERM

    with discarded_on(directory, kinds):
        return run_job(
            *(directory.shared, scratch, iso, settings),
            results=directory.results,
            log=directory.log,
            started=started,
            show=None if console.wants_json() else console.output,
        )


def _layers(count: int) -> str:
    return f"{count} layer" if count == 1 else f"{count} layers"


def default_iso() -> Path:
    """The ISO of this version, else the newest one that was built. Raises InputError if there is none."""
    built = places.built(f"boinc2docker-{__version__}.iso") or places.built("boinc2docker-*.iso")
    if not built:
        where = places.output()
        raise InputError(
            "no-iso", f"there is no ISO in {where}", hint=f"`{command('build-iso')}` makes one; or use --iso"
        )
    return built[-1]


def _settings(typed: Mapping[str, Any]) -> Settings:
    if typed["memory"]:
        require_memory(typed["memory"])
    disk = typed["disk"] or ""
    own_disk = require_disk(Path(disk)) if "/" in disk or disk.endswith(".vdi") else None
    return Settings(
        memory_mb=typed["memory"] or Settings.memory_mb,
        cpus=_cpus(typed["cpus"]) if typed["cpus"] else Settings.cpus,
        disk_bytes=_disk_bytes(disk) if disk and own_disk is None else None,
        disk_file=own_disk,
        timeout=parse_seconds(typed["timeout"], "--timeout") if typed["timeout"] else None,
        patience=parse_count(typed["patience"], "--patience", most=100) if typed["patience"] else 1,
        like=_like(typed["like"]),
        device_options=tuple(shlex.split(os.environ.get(DEVICE_OPTIONS, ""))),
    )


def _cpus(text: str) -> int:
    """Processors of a machine whose container may use ``text`` of them. Raises UsageError."""
    if not re.fullmatch(r"(\d{1,2})(\.\d{1,9})?|\.\d{1,9}", text, re.ASCII) or not 0.01 <= float(text) <= 32:
        raise UsageError("bad-cpus", f"--cpus: expected a number from 0.01 to 32, found {text[:80]!a}")
    return math.ceil(float(text))


def _share(cpus: str | None) -> str | None:
    """The container's limit where its machine has more processors than that: a fraction is no processor."""
    return cpus if cpus and "." in cpus else None


def _disk_bytes(text: str) -> int:
    found = parse_bytes(text, "--disk")
    if found < _LEAST_DISK:
        raise UsageError("bad-size", f"--disk: expected at least 64MB, such as 20GB, found {text[:80]!a}")
    return found


def _like(typed: str | None) -> Like:
    """Checks at once that this machine has what it takes. Raises UsageError, HostError."""
    word = typed or os.environ.get(LIKE, "") or Like.QEMU
    known = [one.value for one in Like]
    if word not in known:
        raise UsageError("bad-machine", f"--like: expected {' or '.join(known)}, found {word[:40]!r}")
    if word == Like.VIRTUALBOX:
        vfio_qemu()
    return Like(word)


def _with_disk(settings: Settings, image_bytes: int, inputs_bytes: int) -> Settings:
    """Adds a data disk where an image, unpacked beside its layers, and the inputs would crowd the guest's memory."""
    needed = image_bytes * 4 + inputs_bytes * 2
    if settings.disk_bytes is not None or settings.disk_file or needed < settings.memory_mb << 20:
        return settings
    console.info("image and inputs are large for the machine's memory: it gets a data disk")
    return replace(settings, disk_bytes=_DEFAULT_DISK)


def _inputs_bytes(shared: Path) -> int:
    """What a prepared job brings beside its image."""
    return sum(path.stat().st_size for path in shared.rglob("*") if path.is_file() and path.parent.name != "image")


COMMAND = Command(
    "run",
    lambda given: run_command(RunOptions.of(**given)),
    RUN,
    (
        Example("run python:3-slim python -c \"print('Hello BOINC')\"", "An image from a registry."),
        Example(
            "run hello.tar /bin/sh -c 'echo hello > /root/shared/results/out.txt'",
            "An archive of `docker save`; the results are in the directory that the last lines name.",
        ),
        Example(
            "run --memory 4GB --disk 20GB --input data.csv -e LEVEL=3 hello.tar wc -l /root/shared/data.csv",
            "A larger machine, an input file and a variable.",
        ),
        Example("run --with docker hello.tar ls /", "The same job as hosts with Docker run it."),
        Example("run --job build/submit/hello/job", "A job that `submit --dry-run` wrote."),
    ),
    "Boots the ISO in QEMU, runs the container, and brings its results back. Ends with the container's exit code; "
    "125 means that the machine or its Docker failed.",
    words="container",
    refused=REFUSED,
)
