"""``invoke run``: from a command line's values to a run, and its end told to the user."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from boinc2docker import __version__, console, places
from boinc2docker.cli import run_output
from boinc2docker.cli.container_options import IMAGE, JOB, LAYERS, delivery_of, job_of, only_a_job, require_image
from boinc2docker.errors import BuilderError, InputError, UsageError
from boinc2docker.image.reference import parse as parse_reference
from boinc2docker.iso import reads_zstd
from boinc2docker.job.job_directory import prepare
from boinc2docker.option import Option, values
from boinc2docker.sizes import parse_bytes, parse_count, parse_seconds
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


RUN = (
    *IMAGE,
    *JOB,
    *LAYERS,
    Option("memory", "memory of the machine, such as 2GB (default) or 900MB"),
    Option("cpus", "processors of the machine (default 1)"),
    Option(
        "disk",
        "a data disk for the image: a size such as 20GB, or a blank VDI file, which is copied "
        "(default: one is added for large images)",
    ),
    Option("results", "where the results go (default: run/N/results in the output directory)"),
    Option(
        "scratch",
        "the directory that all tasks of a project share on a host "
        "(default: build/scratch of a checkout, else in the cache); "
        "other users of this computer should not be able to enter it",
    ),
    Option("timeout", "give up after this long, such as 30m or 2h"),
    Option(
        "patience",
        "wait this many times as long for a slow computer: for the machine to boot (10 minutes), for its Docker "
        "(10 minutes), for signs of life (default 1)",
    ),
    Option(
        "like",
        "how the machine gets at its files: `qemu` (9p, the default), or `virtualbox` (vboxsf over an emulated guest "
        "device, as on volunteers' machines; needs QEMU 10.1 or newer)",
    ),
    Option("iso", "the ISO to boot (default: what build-iso made)"),
    Option(
        "job",
        "run this prepared job directory (with its boinc_app) in place, instead of an image; "
        "other users of this computer should not be able to enter it",
    ),
)
"""The options of ``invoke run``."""


@dataclass(frozen=True)
class RunOptions:
    """The options of ``invoke run`` as they were typed, by name; ``words`` are what followed ``--``."""

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
    settings = _settings(options)
    iso = Path(options.iso) if options.iso else default_iso()
    check_iso(iso)
    scratch = Path(options.scratch) if options.scratch else places.scratch()
    results = Path(options.results) if options.results else None
    if results is not None:
        require_free(results)
    if options.job is not None:
        only_a_job(options.given, options.words)
        directory = new_directory(places.output() / "run", job=Path(options.job), results=results)
    else:
        typed = values(RUN, options.given)
        source = parse_reference(require_image(options.image))
        job, delivery = (
            job_of(typed, options.words),
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
        raise InputError("no-iso", f"there is no ISO in {where}", hint="`build-iso` makes one there, or use --iso")
    return built[-1]


def _settings(options: RunOptions) -> Settings:
    memory = parse_bytes(options.memory, "--memory") >> 20 if options.memory else Settings.memory_mb
    if memory < 256:
        raise UsageError("bad-size", f"--memory: expected at least 256MB, found {options.memory}")
    require_memory(memory)
    disk = options.disk or ""
    own_disk = require_disk(Path(disk)) if "/" in disk or disk.endswith(".vdi") else None
    like = _like(options.like)
    return Settings(
        memory_mb=memory,
        cpus=parse_count(options.cpus, "--cpus", most=32) if options.cpus else Settings.cpus,
        disk_bytes=parse_bytes(disk, "--disk") if disk and own_disk is None else None,
        disk_file=own_disk,
        timeout=parse_seconds(options.timeout, "--timeout") if options.timeout else None,
        patience=parse_count(options.patience, "--patience", most=100) if options.patience else 1,
        like=like,
        device_options=tuple(shlex.split(os.environ.get(DEVICE_OPTIONS, ""))),
    )


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
