"""The progress of jobs: counts, and each job if they are few or on request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from boinc2docker import console
from boinc2docker.errors import InputError
from boinc2docker.project.database import Database
from boinc2docker.project.project import Project
from boinc2docker.submission.jobs.selection import STATES, Selection, UnitStatus, chosen, unknown

FEW = 25
"""Up to this many jobs are shown individually by default."""


@dataclass
class Status:
    """Jobs and results counted by state. ``units`` holds every job if they are few or on request, else none."""

    jobs: int = 0
    states: Counter[str] = field(default_factory=Counter)
    results: Counter[str] = field(default_factory=Counter)
    units: tuple[UnitStatus, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "jobs": self.jobs,
            "states": {name: self.states[name] for name in STATES},
            "results": {name: self.results[name] for name in ("unsent", "running", "success", "error")},
            "workunits": [asdict(unit) for unit in self.units],
        }


def status(project: Project, selection: Selection, *, each: bool = False) -> Status:
    """Counts the jobs; ``each`` keeps them all, however many. Raises InputError if none is selected, HostError."""
    with Database(project.database) as database:
        found = _counted(chosen(database, selection), each=each)
        missing = unknown(database, selection) if found.jobs else []
    if not found.jobs and not selection.is_all:
        raise InputError(
            "no-job",
            f"the app {selection.app} has no such job: {', '.join(selection.terms) or 'none of that batch'}"[:300],
            hint="`status` without a name shows all; finished jobs are purged from the database after a while",
        )
    for term in missing:
        console.warn(f"the app {selection.app} has no such job: {term}")
    return found


def _counted(units: Iterable[UnitStatus], *, each: bool) -> Status:
    status = Status()
    kept: list[UnitStatus] | None = []
    for unit in units:
        status.jobs += 1
        status.states[unit.state] += 1
        status.results.update(asdict(unit.results))
        if kept is not None:
            kept.append(unit)
            if len(kept) > FEW and not each:
                kept = None
    status.units = tuple(kept or ())
    return status
