"""``invoke run``: from a command line's values to a run, and its end told to the user."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from boinc2docker import __version__, console, places
from boinc2docker.cli.container_options import IMAGE, JOB, LAYERS, delivery_of, job_of, only_a_job, require_image
from boinc2docker.errors import InputError, UsageError
from boinc2docker.image.reference import parse as parse_reference
from boinc2docker.iso import reads_zstd
from boinc2docker.job.job_directory import prepare
from boinc2docker.option import Option, values
from boinc2docker.sizes import parse_bytes, parse_count, parse_seconds
from boinc2docker.vm.guest_device import OPTIONS as DEVICE_OPTIONS
from boinc2docker.vm.host_address import url_in_guest
from boinc2docker.vm.machine import Like
from boinc2docker.vm.process import require_disk
from boinc2docker.vm.report import require_free
from boinc2docker.vm.run import Outcome, Settings, check_iso, run_job
from boinc2docker.vm.run_directory import RunDirectory, discarded_on, new_directory
from boinc2docker.vm.vfio_qemu import vfio_qemu

LIKE = "B2D_LIKE"
"""Environment variable for what ``--like`` says where it is not given: tests run the same jobs on both."""
_DEFAULT_DISK = 16 << 30
_MAX_SHOWN = 1 << 20


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
        with discarded_on(directory, BaseException):
            image = prepare(job, source, directory.shared, delivery=delivery).image
        console.info(f"{image.name}: {len(image.layers)} layers, {image.size / 1e6:.1f} MB")
        settings = _with_disk(settings, image.size, _inputs_bytes(directory.shared))
    with discarded_on(directory, KeyboardInterrupt, SystemExit):  # Ctrl-C, SIGTERM
        outcome = run_job(directory.shared, scratch, iso, settings, results=directory.results, log=directory.log)
    if outcome.exit_code == 0:
        directory.forget_job()
    _show(outcome, directory)
    return outcome.exit_code


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
    disk = options.disk or ""
    own_disk = require_disk(Path(disk)) if "/" in disk or disk.endswith(".vdi") else None
    like = _like(options.like)
    return Settings(
        memory_mb=memory,
        cpus=parse_count(options.cpus, "--cpus", most=32) if options.cpus else Settings.cpus,
        disk_bytes=parse_bytes(disk, "--disk") if disk and own_disk is None else None,
        disk_file=own_disk,
        timeout=parse_seconds(options.timeout, "--timeout") if options.timeout else None,
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


def _show(outcome: Outcome, directory: RunDirectory) -> None:
    if console.wants_json():
        console.result(outcome.as_json())
        return
    console.output("stderr", _head(outcome.log / "container" / "stderr.txt"))
    console.output("stdout", _head(outcome.log / "container" / "stdout.txt"))
    if outcome.exit_code or outcome.message:
        console.info(f"exit {outcome.exit_code}" + (f": {outcome.message}" if outcome.message else ""))
    if outcome.container_exit_code not in (None, outcome.exit_code):
        console.warn(f"the container exited with {outcome.container_exit_code}; --keep-failed-results reports 0")
    if outcome.results is not None:
        console.info(f"results: {outcome.results} ({len(outcome.files)} files)")
    console.info(f"logs: {outcome.log}")
    if outcome.exit_code:
        console.info(f"job: {directory.shared}")


def _head(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as stream:
        return stream.read(_MAX_SHOWN)
