"""How far jobs are: counted, and one by one where they are few or it is asked for."""

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
"""So many jobs are shown one by one without being asked for."""


@dataclass
class Status:
    """Jobs counted by state, and their results; ``units`` are all if they are few or were asked for, else none."""

    jobs: int = 0
    states: Counter[str] = field(default_factory=Counter)
    results: Counter[str] = field(default_factory=Counter)
    units: tuple[UnitStatus, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "jobs": self.jobs,
            "states": {name: self.states[name] for name in STATES},
            "results": {name: self.results[name] for name in ("unsent", "running", "success", "error")},
            "workunits": [asdict(one) for one in self.units],
        }


def status(project: Project, selection: Selection, *, each: bool = False) -> Status:
    """Counts the jobs; ``each`` keeps them all, however many. Raises InputError if nothing is called so, HostError."""
    with Database(project.database) as database:
        found = _counted(chosen(database, selection), each=each)
        missing = unknown(database, selection) if found.jobs else []
    if not found.jobs and not selection.is_all:
        raise InputError(
            "no-job",
            f"the app {selection.app} has no such job: {', '.join(selection.terms) or 'none of that batch'}"[:300],
            hint="`status` without a name shows all; jobs leave the database some time after they are done",
        )
    for term in missing:
        console.warn(f"the app {selection.app} has no such job: {term}")
    return found


def _counted(units: Iterable[UnitStatus], *, each: bool) -> Status:
    found = Status()
    kept: list[UnitStatus] | None = []
    for one in units:
        found.jobs += 1
        found.states[one.state] += 1
        found.results.update(asdict(one.results))
        if kept is not None:
            kept.append(one)
            if len(kept) > FEW and not each:
                kept = None
    found.units = tuple(kept or ())
    return found
