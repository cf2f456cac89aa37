"""Looks up a work unit in BOINC's own database, if the app's settings lie in a project.

This supplements what the assimilator is told. Nothing depends on it: a failed query is only a warning. The database
module is loaded for the first query, since most results need none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from boinc2docker.errors import BuilderError
from boinc2docker.results.settings import Settings

if TYPE_CHECKING:
    from boinc2docker.project.database import Database
    from boinc2docker.project.project import Project
    from boinc2docker.project.tries import Try, UnitBatch

Answer = TypeVar("Answer")


def tries(settings: Settings, unit: str) -> tuple[Try, ...]:
    """The tries of the work unit, oldest first; empty if unknown."""

    def ask(project: Project, database: Database) -> tuple[Try, ...]:
        from boinc2docker.project import tries as work_units

        return work_units.tries(project, database, settings.app, unit)

    return _asked(settings, ask, f"the tries of {unit}") or ()


def batch(settings: Settings, unit: str) -> UnitBatch | None:
    """The work unit's batch; None if unknown."""

    def ask(_project: Project, database: Database) -> UnitBatch | None:
        from boinc2docker.project import tries as work_units

        return work_units.batch_of(database, settings.app, unit)

    return _asked(settings, ask, f"the batch of {unit}")


def _asked(settings: Settings, question: Callable[[Project, Database], Answer], what: str) -> Answer | None:
    if not (settings.project / "config.xml").is_file():
        return None
    try:
        from boinc2docker.project.database import Database
        from boinc2docker.project.project import Project

        project = Project.open(settings.project)
        with Database(project.database) as database:
            return question(project, database)
    except (BuilderError, ImportError) as error:
        from boinc2docker import console

        console.warn(f"cannot look up {what} in BOINC's database: {error}")
        return None
