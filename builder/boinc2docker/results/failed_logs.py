"""The log archives of a work unit that failed: clients upload them, script_assimilator does not name them.

Seen with client 7.20.5: of the outputs of a failed task the optional log archive is uploaded. BOINC's file_deleter
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
"""Logs kept of one work unit, the newest."""


@dataclass(frozen=True)
class FailedLogs:
    """What was kept: {bytes, sha256} by name, the first one's record, and why others were not kept."""

    outputs: dict[str, dict[str, Any]]
    job: JobRecord
    problems: tuple[str, ...]


def take(settings: Settings, tries: Sequence[Try], place: Placement) -> FailedLogs:
    """Copies the logs into staging: the newest failure's under the log's own name, others with the number of their try.

    A log that is missing, is no file, cannot be read or is larger than the server allowed is left out. Raises HostError
    for a fault of the server's own disk.
    """
    outputs: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for one, upload in _logs(settings, tries):
        name = upload.name if not outputs else _numbered(upload.name, one.name)
        if name in outputs:
            continue
        try:
            if not present(upload.path, optional=True):
                continue
            size = upload.path.stat().st_size
        except (InputError, UnreadableError, OSError) as error:
            problems.append(f"the log of {one.name} was not kept: {error}")
            continue
        if size > upload.most_bytes:
            problems.append(f"the log of {one.name} was not kept: {size} bytes, the server allows {upload.most_bytes}")
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
    """Pure: ``row`` with exit code and reason of the newest try that failed, by its own account, else BOINC's."""
    job = logs.job
    ended = [one for one in tries if one.outcome == "error"]
    code = job.exit_code if job.exit_code is not None else ended[-1].exit_status if ended else None
    phase = job.metrics.get("failed_phase")
    said = job.metrics.get("message") or (ended[-1].message.strip() if ended else "")
    words = [
        row.reason or "",
        f"exit code {code}" if code else "",
        f"in the phase {phase}" if phase else "",
        said,
        *logs.problems,
    ]
    return replace(
        row,
        reason="; ".join(word for word in words if word)[:MOST_REASON],
        exit_code=code,
        seconds=job.seconds,
        metrics=job.metrics,
        outputs=logs.outputs,
    )


def _logs(settings: Settings, tries: Sequence[Try]) -> Iterator[tuple[Try, Upload]]:
    """The newest try first, and those that ended well last: what they tell is not why the work unit failed."""
    newest_first = reversed(tries)
    for one in sorted(newest_first, key=lambda one: one.outcome == "success"):
        for upload in one.uploads:
            if upload.name == settings.log_output:
                yield one, upload


def _numbered(name: str, result: str) -> str:
    """``boinc_log.0.tgz`` for the log of the result ``wu_0``."""
    path, number = PurePath(name), result.rpartition("_")[2]
    return f"{path.stem}.{number if number.isascii() and number.isalnum() else 'x'}{path.suffix}"
