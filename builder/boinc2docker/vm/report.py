"""What a machine hands back: the completion file, ``job.json``, the archives of results and logs.

All of it comes from a machine that ran somebody else's container: none of it is trusted.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boinc2docker import console, leftovers
from boinc2docker.atomic import explain
from boinc2docker.errors import InputError, MachineError
from boinc2docker.results.archive import Limits
from boinc2docker.results.unpack import unpack as unpack_archive

PHASES = ("agent", "boot", "mounts", "store", "image", "run", "results", "report")
"""Phases in which the agent may report a failure; ``run`` is the job's own."""
_NUMBER = re.compile(rb"\s*([+-]?\d{1,9})")
_MAX_TRIGGER = 64 << 10
MAX_UNPACKED = 4 << 30
"""Bytes that an archive may unpack to: app.toml's default."""
MAX_MEMBERS = 100_000
_ANY_RATIO = 1100
"""Most bytes unpacked per byte: gzip reaches 1032."""


@dataclass(frozen=True)
class Completion:
    """A completion file: the task's exit code, whether its message is shown to the volunteer, and the message."""

    exit_code: int
    notice: bool
    message: str


def parse_completion(data: bytes) -> Completion:
    """Reads a completion or temporary exit file the way vboxwrapper does: like C's ``atoi``, nothing is an error."""
    first, _, rest = data[:_MAX_TRIGGER].partition(b"\n")
    second, _, message = rest.partition(b"\n")
    text = "".join(c if c.isprintable() or c == "\n" else "?" for c in message.decode(errors="replace"))
    return Completion(_atoi(first), _atoi(second) != 0, text.strip())


def _atoi(text: bytes) -> int:
    found = _NUMBER.match(text)
    return int(found[1]) if found else 0


@dataclass(frozen=True)
class JobReport:
    """The valid parts of ``job.json``. ``phases`` are seconds of the guest's uptime by mark."""

    phases: Mapping[str, float] = field(default_factory=dict)
    downloaded_bytes: int = 0
    reused_bytes: int = 0
    memory_peak_mb: int | None = None
    exit_code: int | None = None
    failed_phase: str | None = None


def parse_job_report(data: bytes) -> JobReport:
    """Reads ``job.json``. Parts that are missing or of another type are skipped; nothing is an error."""
    try:
        top = json.loads(data)
    except (ValueError, RecursionError):
        return JobReport()
    if not isinstance(top, dict):
        return JobReport()
    marks, failed = top.get("marks"), top.get("failed_phase")
    listed = marks.items() if isinstance(marks, dict) else ()
    return JobReport(
        phases={str(name)[:40]: float(value) for name, value in listed if _is_number(value)},
        downloaded_bytes=_count(top.get("downloaded_bytes")) or 0,
        reused_bytes=_count(top.get("reused_bytes")) or 0,
        memory_peak_mb=_count(top.get("memory_peak_mb")),
        exit_code=_count(top.get("exit_code")),
        failed_phase=failed if isinstance(failed, str) and failed in PHASES else None,
    )


def parse_message(data: bytes) -> str:
    """The message in ``job.json``, printable; empty if there is none."""
    try:
        found = json.loads(data).get("message")
    except (ValueError, RecursionError, AttributeError):
        return ""
    return "".join(c if c.isprintable() else "?" for c in found[:1000]) if isinstance(found, str) else ""


def parse_fraction(progress: Path) -> float | None:
    """Reads the guest's progress from 0 to 1, as vboxwrapper does; None if there is none."""
    with contextlib.suppress(OSError, ValueError):
        if progress.is_file() and not progress.is_symlink():
            with progress.open("rb") as stream:
                return float(stream.read(64))
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def _count(value: Any) -> int | None:
    return int(value) if _is_number(value) else None


def require_free(target: Path) -> None:
    """Raises InputError unless ``target`` does not exist or is an empty directory."""
    if target.is_dir() and not target.is_symlink():
        if any(target.iterdir()):
            raise InputError(
                "results-not-empty", f"--results: {target} is not empty", hint="choose another directory, or empty it"
            )
    elif target.exists() or target.is_symlink():
        raise InputError(
            "results-not-empty", f"--results: {target} exists and is not a directory", hint="choose another one"
        )


def unpack(archive: Path, target: Path) -> list[str]:
    """Unpacks a machine's ``.tgz`` into the directory ``target``, whole or not at all; returns what it contains.

    The rules are those of the server that accepts results (``boinc2docker.results.archive``), except that a member that
    breaks them is left out with a warning. Raises MachineError if the archive is damaged or too large, HostError if the
    disk is full.
    """
    limits = Limits(unpacked_bytes=MAX_UNPACKED, files=MAX_MEMBERS, ratio=_ANY_RATIO)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with leftovers.directory_part_of(target) as beside:
            whole = beside / "whole"
            unpack_archive(archive, whole, limits, durable=False, leave_out=_left_out)
            names = sorted(str(path.relative_to(whole)) for path in whole.rglob("*"))
            with contextlib.suppress(FileNotFoundError):
                target.rmdir()
            whole.rename(target)
    except InputError as error:
        if error.code == "archive-too-large":
            raise MachineError(
                "results-too-large",
                f"{archive.name} from the machine is too large: {error.message}",
                hint=f"{archive} is kept; a sparse file counts with its full size",
            ) from error
        raise MachineError("bad-results", f"{archive.name} from the machine is damaged: {error.message}") from error
    except OSError as error:
        raise explain(error, f"write {target}") from error
    return names


def _left_out(why: str) -> None:
    console.warn(f"left out of the results: {why}")
