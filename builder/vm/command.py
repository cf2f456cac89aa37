"""``invoke run``: from a command line's values to a run, and its end told to the user."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import platformdirs

from builder import PROJECT_ROOT, __version__, console
from builder.errors import InputError, UsageError
from builder.vm.host_address import url_in_guest
from builder.vm.report import require_free
from builder.vm.run import Outcome, Settings, check_iso, run_job
from builder.vm.run_directory import RunDirectory, discarded_on, new_directory
from builder.work import (
    Access,
    Delivery,
    Job,
    command_words,
    gather_environment,
    parse_bytes,
    parse_count,
    parse_input,
    parse_reference,
    parse_seconds,
    parse_via,
    prepare,
)

_DEFAULT_DISK = 16 << 30
_MAX_SHOWN = 1 << 20


@dataclass(frozen=True)
class RunOptions:
    """The options of ``invoke run`` as they were typed; None or empty where they were not."""

    image: str | None = None
    command: str | None = None
    words: Sequence[str] | None = None
    entrypoint: str | None = None
    env: Sequence[str] = ()
    env_file: Sequence[str] = ()
    workdir: str | None = None
    user: str | None = None
    network: str | None = None
    input: Sequence[str] = ()
    keep_failed_results: bool = False
    memory: str | None = None
    cpus: str | None = None
    disk: str | None = None
    timeout: str | None = None
    iso: str | None = None
    results: str | None = None
    scratch: str | None = None
    job: str | None = None
    via: str | None = None
    mirror: Sequence[str] = ()
    plain_http: bool = False


def run_command(options: RunOptions, *, reads_zstd: Callable[[Path], bool] = lambda _: True) -> int:
    """Runs what ``options`` say, shows results and the container's output, and returns the exit code for the shell.

    ``reads_zstd`` tells whether the Docker of an ISO loads zstd layers; where it may not, they are sent as gzip.
    Raises BuilderErrors; everything about the options is checked before anything is written or started.
    """
    settings = _settings(options)
    iso = Path(options.iso) if options.iso else default_iso()
    check_iso(iso)
    scratch = Path(options.scratch) if options.scratch else work_directory() / "scratch"
    results = Path(options.results) if options.results else None
    if results is not None:
        require_free(results)
    if options.job is not None:
        _require_only_a_job(options)
        directory = new_directory(work_directory() / "run", job=Path(options.job), results=results)
    else:
        if not options.image:
            raise UsageError("no-image", "run needs an image, or --job DIR", hint="`--help run` shows an example")
        job, source = _job(options), parse_reference(options.image)
        delivery = replace(_delivery(options), reads_zstd=partial(reads_zstd, iso))
        directory = new_directory(work_directory() / "run", results=results)
        with discarded_on(directory, BaseException):
            image = prepare(job, source, directory.shared, delivery=delivery).image
        console.info(f"{image.name}: {len(image.layers)} layers, {image.size / 1e6:.1f} MB")
        settings = _with_disk(settings, image.size)
    with discarded_on(directory, KeyboardInterrupt, SystemExit):  # Ctrl-C, SIGTERM
        outcome = run_job(directory.shared, scratch, iso, settings, results=directory.results, log=directory.log)
    if outcome.exit_code == 0:
        directory.forget_job()
    _show(outcome, directory)
    return outcome.exit_code


def work_directory() -> Path:
    """Where runs and the default scratch lie: ``build/`` of a checkout, else the user's cache."""
    if (PROJECT_ROOT / "guest").is_dir() and os.access(PROJECT_ROOT, os.W_OK):
        return PROJECT_ROOT / "build"
    return platformdirs.user_cache_path("boinc2docker")


def default_iso() -> Path:
    """The ISO of this version, else the newest one that was built. Raises InputError if there is none."""
    build = work_directory()
    own = build / f"boinc2docker-{__version__}.iso"
    built = [own] if own.is_file() else sorted(build.glob("boinc2docker-*.iso"), key=lambda path: path.stat().st_mtime)
    if not built:
        raise InputError("no-iso", f"there is no ISO in {build}", hint="`ci/invoke build-iso` makes one, or use --iso")
    return built[-1]


def _settings(options: RunOptions) -> Settings:
    memory = parse_bytes(options.memory, "--memory") >> 20 if options.memory else Settings.memory_mb
    if memory < 256:
        raise UsageError("bad-size", f"--memory: expected at least 256MB, found {options.memory}")
    return Settings(
        memory_mb=memory,
        cpus=parse_count(options.cpus, "--cpus", most=32) if options.cpus else Settings.cpus,
        disk_bytes=parse_bytes(options.disk, "--disk") if options.disk else None,
        timeout=parse_seconds(options.timeout, "--timeout") if options.timeout else None,
    )


def _with_disk(settings: Settings, image_bytes: int) -> Settings:
    """Adds a data disk for an image that, unpacked beside its layers, would crowd the guest's memory."""
    if settings.disk_bytes is not None or image_bytes * 4 < settings.memory_mb << 20:
        return settings
    console.info("the image is large for the machine's memory: it gets a data disk")
    return replace(settings, disk_bytes=_DEFAULT_DISK)


def _job(options: RunOptions) -> Job:
    return Job(
        command=command_words(options.command, options.words),
        entrypoint=options.entrypoint,
        environment=gather_environment([Path(name) for name in options.env_file], options.env, os.environ),
        workdir=options.workdir,
        user=options.user,
        network=options.network,
        inputs=tuple(parse_input(text) for text in options.input),
        keep_failed_results=options.keep_failed_results,
    )


def _delivery(options: RunOptions) -> Delivery:
    access = Access(mirrors=tuple(options.mirror), plain_http=options.plain_http)
    return Delivery(via=parse_via(options.via), access=access, seen_by_hosts=url_in_guest)


def _require_only_a_job(options: RunOptions) -> None:
    given: list[object] = [
        options.image,
        options.command,
        options.words,
        options.entrypoint,
        *options.env,
        *options.env_file,
    ]
    given += [options.workdir, options.user, options.network, *options.input, options.keep_failed_results]
    given += [options.via, *options.mirror, options.plain_http]
    if any(given):
        raise UsageError(
            "job-and-image", "--job runs a directory as it is: no image, command or option of the container"
        )


def _show(outcome: Outcome, directory: RunDirectory) -> None:
    if console.wants_json():
        console.result(outcome.as_json())
        return
    console.output(_head(outcome.log / "container" / "stdout.txt"), _head(outcome.log / "container" / "stderr.txt"))
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
