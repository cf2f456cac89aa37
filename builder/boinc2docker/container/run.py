"""One run of a job in a container, from its slot to what it hands back."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from boinc2docker import atomic, console
from boinc2docker.container.files import BUNDLE, IGNORED, SlotFiles
from boinc2docker.container.wrapper import Ended, Engine, Task, Wrapper
from boinc2docker.errors import MachineError
from boinc2docker.vm import report
from boinc2docker.vm.outcome import Outcome


def lay_out(slot: Path, files: SlotFiles, bundle: Path) -> None:
    """Puts docker_wrapper's files beside ``slot/shared``, which holds the job: a slot as the client makes it."""
    for name, text in (
        ("Dockerfile", files.dockerfile),
        ("b2d_image", files.image),
        ("job.toml", files.settings),
        (".dockerignore", IGNORED),
    ):
        atomic.write_text(slot / name, text)
    shutil.copyfile(bundle, slot / BUNDLE)


def run_job(
    slot: Path,
    engine: Engine,
    *,
    results: Path,
    log: Path,
    cpus: int = 1,
    timeout: float | None = None,
    environment: Mapping[str, str] | None = None,
    started: Callable[[], None] = lambda: None,
) -> Outcome:
    """Runs the job in ``slot`` (see ``lay_out``) under ``engine``; fills ``results`` and ``log``.

    ``started`` is called while the container runs. Several runs at a time have containers of their own. Raises
    MachineError if the engine fails, HostError if it is not here, InputError for what is no job.
    """
    report.require_free(results)
    log.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with console.step(f"running the job under {engine}"):
        name = f"b2d_{secrets.token_hex(8)}"
        task = Task(slot, workunit=name, result=f"{name}_0", cpus=cpus)
        ended = Wrapper(engine, task, environment).run(timeout=timeout, looked=started)
    atomic.write_text(log / "engine.txt", ended.log)
    return _collect(slot / "shared", engine, ended, results, log, time.monotonic() - began)


def _collect(handed_back: Path, engine: Engine, ended: Ended, results: Path, log: Path, seconds: float) -> Outcome:
    """What the client would upload: it takes files that are there, whatever the exit code is."""
    told = report.JobReport()
    message = ""
    archive = handed_back / "boinc_log.tgz"
    if _is_file(archive):
        try:
            report.unpack(archive, log / "container")
            data = (log / "container" / "job.json").read_bytes()
            told, message = report.parse_job_report(data), report.parse_message(data)
        except (MachineError, OSError) as error:
            console.warn(str(error))
    packed = handed_back / "results.tgz"
    files = report.unpack(packed, results) if _is_file(packed) else []
    return Outcome(
        exit_code=ended.exit_code,
        message=message,
        results=results if _is_file(packed) else None,
        log=log,
        phases=told.phases,
        downloaded_bytes=told.downloaded_bytes,
        reused_bytes=told.reused_bytes,
        container_exit_code=told.exit_code,
        guest_memory_mb=told.memory_peak_mb,
        host_memory_mb=0,
        acceleration=str(engine),
        seconds=seconds,
        files=tuple(files),
        failed_phase=told.failed_phase,
    )


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
