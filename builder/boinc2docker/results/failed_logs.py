"""The log archives of a failed work unit, which clients upload but script_assimilator does not name.

Observed with client 7.20.5: of a failed task's outputs, the optional log archive is uploaded. BOINC's file_deleter
removes it once the work unit is assimilated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from boinc2docker.errors import InputError
from boinc2docker.formats.bounded_tar import UnreadableError
from boinc2docker.results.index import MOST_REASON, Row
from boinc2docker.results.job_record import JobRecord, read_log
from boinc2docker.results.output_files import present
from boinc2docker.results.placement import Placement
from boinc2docker.results.settings import Settings

if TYPE_CHECKING:
    from boinc2docker.project.tries import Try, Upload

MOST_LOGS = 5
"""How many logs of a work unit are kept: the newest."""


@dataclass(frozen=True)
class FailedLogs:
    """The kept logs, as {bytes, sha256} by name; the record in the first; and why others were not kept."""

    outputs: dict[str, dict[str, Any]]
    job: JobRecord
    problems: tuple[str, ...]


def take(settings: Settings, tries: Sequence[Try], place: Placement) -> FailedLogs:
    """Copies the logs into staging: the newest failure's under the log's own name, others numbered by their try.

    Skips logs that are missing, unreadable, no regular files, or larger than the server allowed. Raises HostError for a
    fault of the server's own disk.
    """
    outputs: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for attempt, upload in _logs(settings, tries):
        name = upload.name if not outputs else _numbered(upload.name, attempt.name)
        if name in outputs:
            continue
        try:
            if not present(upload.path, optional=True):
                continue
            size = upload.path.stat().st_size
        except (InputError, UnreadableError, OSError) as error:
            problems.append(f"the log of {attempt.name} was not kept: {error}")
            continue
        if size > upload.most_bytes:
            problems.append(
                f"the log of {attempt.name} was not kept: {size} bytes, the server allows {upload.most_bytes}"
            )
            continue
        outputs[name] = place.take(name, upload.path)
        if len(outputs) == MOST_LOGS:
            break
    job = JobRecord()
    if outputs:
        try:
            job = read_log(place.staging / next(iter(outputs)), settings.limits)
        except UnreadableError as error:
            job = JobRecord(problem=error.message)
    return FailedLogs(outputs, job, tuple(problems))


def explained(row: Row, tries: Sequence[Try], logs: FailedLogs) -> Row:
    """``row`` with the exit code and reason of the newest failed try: from its own log, else from BOINC. Pure."""
    job = logs.job
    failures = [attempt for attempt in tries if attempt.outcome == "error"]
    code = job.exit_code if job.exit_code is not None else failures[-1].exit_status if failures else None
    phase = job.metrics.get("failed_phase")
    message = job.metrics.get("message") or (failures[-1].message.strip() if failures else "")
    parts = [
        row.reason or "",
        f"exit code {code}" if code else "",
        f"in the phase {phase}" if phase else "",
        message,
        *logs.problems,
    ]
    return replace(
        row,
        reason="; ".join(part for part in parts if part)[:MOST_REASON],
        exit_code=code,
        seconds=job.seconds,
        metrics=job.metrics,
        outputs=logs.outputs,
    )


def _logs(settings: Settings, tries: Sequence[Try]) -> Iterator[tuple[Try, Upload]]:
    """The newest try first. Successful tries come last: they do not explain the failure."""
    newest_first = reversed(tries)
    for attempt in sorted(newest_first, key=lambda attempt: attempt.outcome == "success"):
        for upload in attempt.uploads:
            if upload.name == settings.log_output:
                yield attempt, upload


def _numbered(name: str, result: str) -> str:
    """``boinc_log.0.tgz`` for the log of the result ``wu_0``."""
    path, number = PurePath(name), result.rpartition("_")[2]
    return f"{path.stem}.{number if number.isascii() and number.isalnum() else 'x'}{path.suffix}"
