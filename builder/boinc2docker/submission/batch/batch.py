"""A batch: many jobs of one template, all checked before the first is created.

A batch without a name is named after its content, so the same batch submitted again finds its own work units.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from boinc2docker import console
from boinc2docker.errors import InputError, UsageError
from boinc2docker.job.job import Job
from boinc2docker.project.create_work import check_name
from boinc2docker.project.database import fold
from boinc2docker.project.staging import ToStage
from boinc2docker.submission.batch.placeholders import Text
from boinc2docker.submission.batch.sweep import Combinations, Rows
from boinc2docker.submission.job_template import JobTemplate, unknown_column

INDEX = "index"
"""A column of every batch, unless the batch has one of its own: the job's number, from 1."""
NAME = "name"
"""The column that names the jobs, in a batch that has one."""
FORGET = 2000
"""The planner forgets after this many jobs: more than ever wait to be staged."""


class Planned(Protocol):
    """A job as it will be created."""

    @property
    def template(self) -> bytes: ...
    @property
    def files(self) -> tuple[ToStage, ...]: ...
    @property
    def line_files(self) -> tuple[str, ...]: ...


class UnitPlanner(Protocol):
    """Turns jobs into work units; see ``plan.Planner``. ``forget`` drops what it remembers of earlier jobs."""

    def shared_files(self) -> tuple[ToStage, ...]: ...
    def unit(self, job: Job, name: str) -> Planned: ...
    def forget(self) -> None: ...


@dataclass(frozen=True)
class Batch:
    """One job for each of ``rows``, which fill in the template ``job``.

    A job is named by its column ``name``, or by ``name`` if that has placeholders; otherwise it is ``APP_NAME_1`` and
    so on, from which the assimilator reads the batch's name. The number has at least ``digits`` digits. With ``name``
    None the batch is named after its content.

    Raises InputError for a placeholder that no row can fill, UsageError for a sweep that changes nothing.
    """

    job: JobTemplate
    rows: Rows
    name: str | None = None
    digits: int = 1

    @cached_property
    def naming(self) -> Text:
        """The parsed name."""
        return Text.parse(self.name or "", "--name")

    def __post_init__(self) -> None:
        text = self.naming
        check_name(text.fill(dict.fromkeys(text.columns, "x")) if self.name else "x")
        used = (*self.job.columns, *text.columns)
        if self.rows.columns is not None:
            known = (*self.rows.columns, INDEX)
            for column in used:
                if column not in known:
                    raise unknown_column(column, known)
        if isinstance(self.rows, Combinations):
            for sweep in self.rows.sweeps:
                if sweep.column not in (*used, NAME):
                    raise _unused(sweep.column)

    def unit_name(self, prefix: str, number: int, values: dict[str, str]) -> str:
        """The name of job ``number``. Raises InputError for a bad name or an unknown column."""
        text = self.naming
        try:
            name = text.fill(values) if text.columns else values.get(NAME, f"{prefix}_{number:0{self.digits}}")
        except KeyError as error:
            raise unknown_column(str(error.args[0]), tuple(values)) from None
        check_name(name)
        return name


def _unused(column: str) -> UsageError:
    return UsageError(
        "unused-sweep",
        f"--sweep {column}: {{{column}}} is used nowhere, so all its jobs would be the same",
        hint=f"put {{{column}}} into the command, an option such as --env, or --name; for equal jobs: "
        f"--env {column.upper().replace('-', '_')}={{{column}}}",
    )


@dataclass(frozen=True)
class Checked:
    """A batch that can be submitted: its name, its jobs, how many of them cannot be made, the first that can."""

    name: str
    jobs: int
    bad: int
    first: Planned


@dataclass(frozen=True)
class PlannedRow:
    """A row as a work unit, or the problem with it. ``where`` is its place, such as ``jobs.csv, line 17``."""

    where: str
    name: str
    unit: Planned | None
    problem: str = ""


def check(
    app: str, planner: UnitPlanner, batch: Batch, words: Sequence[str] = (), *, keep_going: bool = False
) -> Checked:
    """Plans every job and creates none.

    Raises InputError, naming the line, if a job cannot be made; with ``keep_going`` only if no job can.
    """
    if "--wu_id" in words:
        raise UsageError("bad-option", "--wu-id fills one work unit record, so a batch cannot use it")
    content = hashlib.sha256("\0".join((app, *words)).encode())
    jobs = bad = 0
    first: Planned | None = None
    wrong: PlannedRow | None = None
    plain = batch.naming.fill({}).removeprefix(f"{app}_") if batch.name and not batch.naming.columns else None
    if plain:
        check_name(plain)
    with console.progress("checking jobs", None, unit="jobs") as advance:
        for row in planned_rows(planner, batch, f"{app}_{plain}" if plain else app):
            jobs += 1
            advance(1)
            if row.unit is None:
                bad, wrong = bad + 1, wrong or row
                continue
            first = first or row.unit
            for part in (row.unit.template, *(word.encode() for word in row.unit.line_files)):
                content.update(hashlib.sha256(part).digest())
            content.update(b"\n")
    if wrong and (first is None or not keep_going):
        raise InputError(
            "bad-batch",
            f"{wrong.where}: {wrong.problem}" + (f" ({bad} of {jobs} jobs cannot be made)" if bad > 1 else ""),
            hint="nothing was created; --keep-going submits the other jobs" if first else "nothing was created",
        )
    if first is None:
        raise InputError("empty-batch", "the batch has no jobs")
    return Checked(plain or content.hexdigest()[:12], jobs, bad, first)


def planned_rows(planner: UnitPlanner, batch: Batch, prefix: str) -> Iterator[PlannedRow]:
    """Every row as a work unit. Finds duplicate names without keeping them in memory."""
    with contextlib.closing(_Names()) as names:
        for number, row in enumerate(batch.rows, 1):
            name = ""
            if number % FORGET == 0:
                planner.forget()
            if row.problem:
                yield PlannedRow(row.where, name, None, row.problem)
                continue
            try:
                values = {INDEX: str(number), **row.values}
                name = batch.unit_name(prefix, number, values)
                names.add(name, row.where)
                yield PlannedRow(row.where, name, planner.unit(batch.job.fill(values), name))
            except InputError as error:
                yield PlannedRow(row.where, name, None, error.message)


class _Names:
    """The names so far, in a temporary database that SQLite moves to the disk as it grows."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("pragma journal_mode=off")
        self._database.execute("create table seen (name text primary key, place text) without rowid")

    def add(self, name: str, where: str) -> None:
        """Raises InputError for a name that was added before."""
        try:
            self._database.execute("insert into seen values (?, ?)", (fold(name), where))
        except sqlite3.IntegrityError:
            ((place,),) = self._database.execute("select place from seen where name = ?", (fold(name),)).fetchall()
            raise InputError("duplicate-name", f"{place} has the name {name!r} too") from None

    def close(self) -> None:
        self._database.close()
