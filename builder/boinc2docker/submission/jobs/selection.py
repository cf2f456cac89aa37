"""Selects jobs, by names, batches, patterns, IDs, BOINC's batch ID or a batch's report, and reads their state.

States of work units and results: BOINC ``db/boinc_db_types.h``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boinc2docker.errors import UsageError
from boinc2docker.project.database import TOGETHER, Database
from boinc2docker.project.work_unit_errors import CANCELLED, reasons
from boinc2docker.submission.batch.report import names as names_of_report

STATES = ("waiting", "running", "returned", "valid", "done", "failed", "cancelled")
"""Not sent yet; at a host; returned, but other results or the validator are pending; valid; assimilated; …"""
OPEN = ("waiting", "running", "returned")
_UNSENT, _IN_PROGRESS, _OVER = (1, 2), 4, 5
_SUCCESS, _NO_ERRORS = 1, (0, 1, 5)
_COLUMNS = "id, name, batch, create_time, error_mask, canonical_resultid, assimilate_state"


@dataclass(frozen=True)
class ResultCounts:
    """The number of a work unit's results: not sent, at a host, successful, failed."""

    unsent: int = 0
    running: int = 0
    success: int = 0
    error: int = 0


@dataclass(frozen=True)
class UnitStatus:
    """A work unit and its state. ``created`` is in seconds since 1970; ``errors`` are BOINC's reasons for giving up."""

    id: int
    name: str
    state: str
    batch: int
    created: int
    errors: tuple[str, ...]
    results: ResultCounts


@dataclass(frozen=True)
class Selection:
    """Jobs of ``app``: those of any of ``terms``, of the report and of the batch ID; all if none is given.

    A term is a name, the name of a batch (its jobs are ``NAME_1`` or ``APP_NAME_1`` and so on), a pattern with ``*``
    and ``?``, an ID, or IDs ``FIRST-LAST``. Raises UsageError for what is none of these.
    """

    app: str
    terms: tuple[str, ...] = ()
    batch_id: int | None = None
    report: Path | None = None

    def __post_init__(self) -> None:
        for term in self.terms:
            if not re.fullmatch(r"[A-Za-z0-9_.*?-]{1,191}", term):
                raise UsageError(
                    "bad-name",
                    f"{term[:80]!a} is no name, no ID and no pattern: expected letters, digits and _ . - * ?",
                )

    @property
    def is_all(self) -> bool:
        """Whether nothing narrows it down."""
        return not self.terms and self.batch_id is None and self.report is None


def chosen(database: Database, selection: Selection) -> Iterator[UnitStatus]:
    """The selected jobs, each once: by ID, or in the order of the report. Reads a thousand at a time."""
    app_id = database.app_id(selection.app)
    if selection.report is not None:
        if selection.terms or selection.batch_id is not None:
            raise UsageError("bad-option", "--report names the jobs: drop the other selections")
        yield from _reported(database, app_id, selection.report)
        return
    condition, values = _condition(selection)
    last = 0
    while True:
        rows = database.rows(
            f"select {_COLUMNS} from workunit where appid = %s and id > %s and {condition} "  # noqa: S608
            f"order by id limit {TOGETHER}",
            app_id,
            last,
            *values,
        )
        if not rows:
            return
        yield from _statuses(database, rows)
        last = rows[-1][0]


def unknown(database: Database, selection: Selection) -> list[str]:
    """The terms that fit no job, if there are several: a single term is the whole selection."""
    if len(selection.terms) < 2:
        return []
    app_id = database.app_id(selection.app)
    unmatched = []
    for term in selection.terms:
        condition, values = _term(term, selection.app)
        query = f"select 1 from workunit where appid = %s and ({condition}) limit 1"  # noqa: S608
        if not database.rows(query, app_id, *values):
            unmatched.append(term)
    return unmatched


def _reported(database: Database, app_id: int, report: Path) -> Iterator[UnitStatus]:
    names = names_of_report(report)
    while chunk := tuple(itertools.islice(names, TOGETHER)):
        rows = database.rows(
            f"select {_COLUMNS} from workunit where appid = %s and name in %s order by id",  # noqa: S608
            app_id,
            chunk,
        )
        yield from _statuses(database, rows)


def _condition(selection: Selection) -> tuple[str, list[Any]]:
    """An SQL condition and its values."""
    conditions = [_term(term, selection.app) for term in selection.terms]
    if selection.batch_id is not None:
        conditions.append(("batch = %s", [selection.batch_id]))
    if not conditions:
        return "1 = 1", []
    return f"({' or '.join(text for text, _ in conditions)})", [value for _, values in conditions for value in values]


def _term(term: str, app: str) -> tuple[str, list[Any]]:
    if match := re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", term, re.ASCII):
        return "id between %s and %s", [int(match[1]), int(match[2] or match[1])]
    if "*" in term or "?" in term:
        return "name like %s escape '!'", [_literal(term).replace("*", "%").replace("?", "_")]
    conditions: list[tuple[str, list[Any]]] = [("name = %s", [term])]
    for batch in (term, f"{app}_{term}"):
        numbered = "^" + batch.replace(".", "[.]") + "_[0-9]+$"
        conditions.append(("(name like %s escape '!' and name regexp %s)", [f"{_literal(batch)}!_%", numbered]))
    return " or ".join(text for text, _ in conditions), [value for _, values in conditions for value in values]


def _literal(text: str) -> str:
    """``text`` as a LIKE pattern that matches only itself."""
    return re.sub(r"([!%_])", r"!\1", text)


def _statuses(database: Database, rows: Sequence[tuple[Any, ...]]) -> Iterator[UnitStatus]:
    counts: dict[int, dict[str, int]] = {}
    if rows:
        for unit, server_state, outcome, count in database.rows(
            "select workunitid, server_state, outcome, count(*) from result where workunitid in %s "
            "group by workunitid, server_state, outcome",
            tuple(row[0] for row in rows),
        ):
            kind = _kind(server_state, outcome)
            if kind:
                known = counts.setdefault(unit, {})
                known[kind] = known.get(kind, 0) + int(count)
    for identifier, name, batch, created, mask, canonical, assimilated in rows:
        results = ResultCounts(**counts.get(identifier, {}))
        errors = tuple(reasons(mask))
        state = _state(mask, canonical, assimilated, results)
        yield UnitStatus(identifier, name, state, batch, created, errors, results)


def _kind(server_state: int, outcome: int) -> str:
    if server_state in _UNSENT:
        return "unsent"
    if server_state == _IN_PROGRESS:
        return "running"
    if server_state == _OVER and outcome == _SUCCESS:
        return "success"
    return "error" if server_state == _OVER and outcome not in _NO_ERRORS else ""


def _state(mask: int, canonical: int, assimilated: int, results: ResultCounts) -> str:
    if mask:
        return "cancelled" if mask & CANCELLED else "failed"
    if canonical:
        return "done" if assimilated == 2 else "valid"
    if results.running:
        return "running"
    return "returned" if results.success else "waiting"
