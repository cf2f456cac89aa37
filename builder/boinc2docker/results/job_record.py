"""The record of a job in boinc_log.tgz: job.json, format 1, written by the agent on a volunteer's computer.

It is not trusted: values of a wrong type count as missing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boinc2docker.errors import InputError
from boinc2docker.plain_text import storable
from boinc2docker.results.archive import Limits
from boinc2docker.results.archive_contents import read_members

JOB_BYTES = 1 << 20
_TEXTS = ("image", "image_id", "message", "failed_phase", "agent", "base")
_NUMBERS = ("downloaded_bytes", "reused_bytes", "memory_peak_mb", "boots")


@dataclass(frozen=True)
class JobRecord:
    """A job's own report: exit code, seconds in the container, and metrics that do not identify the host."""

    exit_code: int | None = None
    seconds: float | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None
    """The fault of the log archive, if the record is incomplete for that reason."""
    kept: bool = False
    """The container failed with ``exit_code``, and the job asked to keep its results nevertheless."""

    @property
    def failed(self) -> bool:
        """Whether the container failed, in a job that did not ask to keep the results of a failure."""
        return self.exit_code not in (None, 0) and not self.kept


def read_log(path: Path | None, limits: Limits) -> JobRecord:
    """The record in a log archive; for a missing or damaged archive an empty record with its problem.

    Raises UnreadableError if the archive cannot be read now.
    """
    if path is None:
        return JobRecord()
    try:
        return parse(read_members(path, limits, {"job.json": JOB_BYTES}).get("job.json"))
    except InputError as error:
        return JobRecord(problem=error.message)


def parse(data: bytes | None) -> JobRecord:
    """The record in the bytes of job.json. Pure."""
    if data is None:
        return JobRecord(problem="the log archive has no job.json")
    try:
        job = json.loads(data)
    except (ValueError, RecursionError):
        return JobRecord(problem="job.json is not JSON")
    if not isinstance(job, dict) or job.get("format") != 1:
        return JobRecord(problem="job.json is not of format 1")
    marks = {
        storable(name[:40]): float(value)
        for name, value in list(_mapping(job.get("marks")).items())[:40]
        if isinstance(name, str) and _finite(value)
    }
    metrics: dict[str, Any] = {key: storable(job[key][:1000]) for key in _TEXTS if isinstance(job.get(key), str)}
    metrics |= {key: job[key] for key in _NUMBERS if _finite(job.get(key))}
    if marks:
        metrics["marks"] = marks
    seconds = marks["results"] - marks["run"] if {"run", "results"} <= set(marks) else None
    code = job.get("exit_code")
    plain = isinstance(code, int) and not isinstance(code, bool) and abs(code) < 1 << 31
    exit_code = code if plain else None
    kept = job.get("kept") is True and exit_code not in (None, 0)
    if kept:
        metrics["kept"] = True
    return JobRecord(exit_code=exit_code, seconds=seconds, metrics=metrics, kept=kept)


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, dict) else {}


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18 and math.isfinite(value)
