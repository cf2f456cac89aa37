"""Cancels unfinished jobs through BOINC's ``cancel_jobs``, and checks that it worked.

``cancel_jobs MIN MAX`` marks everything in between, including finished jobs and those of others
(``tools/backend_lib.cpp``). So it is only given runs of consecutive IDs in which every job is selected and unfinished.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from boinc2docker import console
from boinc2docker import programs as command
from boinc2docker.errors import HostError, InputError, UsageError
from boinc2docker.project.database import Database
from boinc2docker.project.project import Project
from boinc2docker.project.work_unit_errors import CANCELLED
from boinc2docker.submission.jobs.selection import OPEN, Selection, chosen, unknown

TOGETHER = 10_000
"""The most jobs in one call."""
_SECONDS = 600


@dataclass(frozen=True)
class Cancelled:
    """How many jobs were cancelled (``dry_run``: would be), and how many were over already."""

    cancelled: int
    over: int
    dry_run: bool


def cancel(project: Project, selection: Selection, *, dry_run: bool = False) -> Cancelled:
    """Cancels the jobs. Raises UsageError if nothing is selected, InputError if no job fits, HostError."""
    if selection.is_all:
        raise UsageError("nothing-named", "cancel: expected names, a batch, a pattern, IDs, --batch-id or --report")
    program = project.program("cancel_jobs")
    environment = {**os.environ, "BOINC_PROJECT_DIR": str(project.root)}
    ended = over = 0

    def open_ids() -> Iterator[int]:
        nonlocal over
        for unit in chosen(database, selection):
            if unit.state in OPEN:
                yield unit.id
            else:
                over += 1

    with Database(project.database) as database, console.progress("cancelling", None, unit="jobs") as advance:
        for first, last in runs(open_ids()):
            if not dry_run:
                command.run((program, str(first), str(last)), cwd=project.root, env=environment, timeout=_SECONDS)
                _require_cancelled(database, first, last)
            ended += last - first + 1
            advance(last - first + 1)
        missing = unknown(database, selection) if ended or over else []
    if not ended and not over:
        raise InputError("no-job", f"the app {selection.app} has no such job: {', '.join(selection.terms)}"[:300])
    for term in missing:
        console.warn(f"the app {selection.app} has no such job: {term}")
    return Cancelled(ended, over, dry_run)


def runs(ids: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Splits rising IDs into runs without gaps: the first and last of each. Pure."""
    first = last = None
    for identifier in ids:
        if first is not None and last is not None and identifier == last + 1 and identifier - first < TOGETHER:
            last = identifier
            continue
        if first is not None and last is not None:
            yield first, last
        first = last = identifier
    if first is not None and last is not None:
        yield first, last


def _require_cancelled(database: Database, first: int, last: int) -> None:
    ((missed,),) = database.rows(
        "select count(*) from workunit where id between %s and %s and error_mask & %s = 0", first, last, CANCELLED
    )
    if missed:
        raise HostError(
            "cancel-failed", f"cancel_jobs {first} {last} reported no error, but left jobs uncancelled: {missed}"
        )
