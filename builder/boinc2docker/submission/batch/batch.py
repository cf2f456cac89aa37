"""Many jobs of one template: all checked before the first is created, staged and created as a stream, resumable.

A batch's name comes from what its jobs are, so the same batch submitted again finds its own work units and creates only
what is missing: that is how a killed run goes on, and why two submitters of one batch do no harm.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sqlite3
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from boinc2docker import console
from boinc2docker.errors import InputError, UsageError
from boinc2docker.job.job import Job
from boinc2docker.project.create_work import Creation, Outcome, check_name, create
from boinc2docker.project.database import fold
from boinc2docker.project.project import Project
from boinc2docker.project.staging import ToStage, stage
from boinc2docker.submission.batch.placeholders import Text
from boinc2docker.submission.batch.report import Report
from boinc2docker.submission.batch.sweep import Rows
from boinc2docker.submission.job_template import JobTemplate, unknown_column

INDEX = "index"
"""A column that every batch has, unless it has one of its own: the number of the job, from 1."""
NAME = "name"
"""The column that names jobs, where there is one."""
FORGET = 2000
"""After how many jobs the planner forgets: more than are waiting to be staged."""


class Planned(Protocol):
    """A job as it will be created."""

    @property
    def template(self) -> bytes: ...
    @property
    def files(self) -> tuple[ToStage, ...]: ...
    @property
    def line_files(self) -> tuple[str, ...]: ...


class UnitPlanner(Protocol):
    """What makes work units of jobs: ``plan.Planner``. ``forget`` is called now and then: what it knows of jobs that
    were, it will not be asked for again."""

    def shared_files(self) -> tuple[ToStage, ...]: ...
    def unit(self, job: Job, name: str) -> Planned: ...
    def forget(self) -> None: ...


@dataclass(frozen=True)
class Batch:
    """``rows`` fill in ``job``, one job each. Raises InputError for placeholders that no row can fill.

    Jobs are called by their column ``name``, or by ``name`` if it has placeholders; else ``APP_NAME_1`` and so on,
    which is also where the assimilator reads the batch's name. None: the batch is named after its content.
    """

    job: JobTemplate
    rows: Rows
    name: str | None = None

    @cached_property
    def naming(self) -> Text:
        """The name, taken apart."""
        return Text.parse(self.name or "", "--name")

    def __post_init__(self) -> None:
        text = self.naming
        check_name(text.fill(dict.fromkeys(text.columns, "x")) if self.name else "x")
        if self.rows.columns is not None:
            known = (*self.rows.columns, INDEX)
            for column in (*self.job.columns, *text.columns):
                if column not in known:
                    raise unknown_column(column, known)

    def unit_name(self, prefix: str, number: int, values: dict[str, str]) -> str:
        """What the job ``number`` is called. Raises InputError for a bad name or an unknown column."""
        text = self.naming
        try:
            found = text.fill(values) if text.columns else values.get(NAME, f"{prefix}_{number}")
        except KeyError as error:
            raise unknown_column(str(error.args[0]), tuple(values)) from None
        check_name(found)
        return found


@dataclass(frozen=True)
class Checked:
    """A batch that can be submitted: its name, how many jobs, how many of them cannot be made, the first that can."""

    name: str
    jobs: int
    bad: int
    first: Planned


@dataclass(frozen=True)
class Summary:
    """What became of a batch. ``status`` and ``cancel`` know it by the name ``batch``, unless jobs have ``own_names``.

    ``reason`` is the first failure's; ``staged_bytes`` were not on the server before.
    """

    batch: str
    jobs: int
    created: int
    existed: int
    failed: int
    staged_bytes: int
    report: str | None
    reason: str = ""
    own_names: bool = False

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Line:
    """A row as a work unit, or what is wrong with it."""

    where: str
    name: str
    unit: Planned | None
    problem: str = ""


def check(
    app: str, planner: UnitPlanner, batch: Batch, words: Sequence[str] = (), *, keep_going: bool = False
) -> Checked:
    """Goes through all jobs and creates nothing.

    Raises InputError, with the line, if a job cannot be made, or if, with ``keep_going``, none can.
    """
    if "--wu_id" in words:
        raise UsageError("bad-option", "--wu-id fills one work unit record: it is not for a batch")
    content = hashlib.sha256("\0".join((app, *words)).encode())
    jobs = bad = 0
    first: Planned | None = None
    wrong: _Line | None = None
    plain = batch.naming.fill({}).removeprefix(f"{app}_") if batch.name and not batch.naming.columns else None
    if plain:
        check_name(plain)
    with console.progress("checking jobs", None, unit="jobs") as advance:
        for line in _lines(planner, batch, f"{app}_{plain}" if plain else app):
            jobs += 1
            advance(1)
            if line.unit is None:
                bad, wrong = bad + 1, wrong or line
                continue
            first = first or line.unit
            for part in (line.unit.template, *(word.encode() for word in line.unit.line_files)):
                content.update(hashlib.sha256(part).digest())
            content.update(b"\n")
    if wrong and (first is None or not keep_going):
        raise InputError(
            "bad-batch",
            f"{wrong.where}: {wrong.problem}" + (f" ({bad} of {jobs} jobs cannot be made)" if bad > 1 else ""),
            hint="nothing was created; --keep-going submits the other jobs" if first else "nothing was created",
        )
    if first is None:
        raise InputError("empty-batch", "there is no job in the batch")
    return Checked(plain or content.hexdigest()[:12], jobs, bad, first)


def with_batch(template: bytes, name: str) -> bytes:
    """The input template with the batch's name in it, for the assimilator to read where jobs' own names do not tell it.

    create_work copies elements that it does not know (``tools/process_input_template.cpp``); clients pass over them.
    """
    before, end, after = template.rpartition(b"</workunit>")
    return before + f"<b2d_batch>{name}</b2d_batch>\n".encode() + end + after if end else template


def submit_many(
    project: Project,
    app: str,
    planner: UnitPlanner,
    batch: Batch,
    words: Sequence[str] = (),
    *,
    keep_going: bool = False,
    report: Path | None = None,
    mend: bool = False,
) -> Summary:
    """Creates the jobs of a batch that are not there yet, and writes what became of each to ``report``, a line a job.

    ``words`` are create_work's options for all of them. Nothing is created if a job cannot be made, unless
    ``keep_going``. ``mend`` replaces files that were staged and are damaged. Memory does not grow with the number of
    jobs. Raises BuilderErrors; jobs that create_work refuses are counted, and without ``keep_going`` the rest is left.
    """
    checked = check(app, planner, batch, words, keep_going=keep_going)
    work = _Submission(project, planner, batch, checked, f"{app}_{checked.name}", mend=mend)
    with Report(report) as log, console.progress(f"submitting {checked.name}", checked.jobs, unit="jobs") as advance:
        work.stage_shared()
        units = work.units(advance)
        options = {"prepare": work.prepare, "purpose": f"{app} {checked.name}", "keep_going": keep_going}
        for outcome in create(project, app, words, units, **options):  # type: ignore[arg-type]
            work.count(outcome, log)
        work.flush(log)
    return work.summary(report)


class _Submission:
    """Counts, and the lines whose outcome is not known yet: ten thousand at most."""

    def __init__(
        self, project: Project, planner: UnitPlanner, batch: Batch, checked: Checked, prefix: str, *, mend: bool
    ) -> None:
        self._project, self._planner, self._batch, self._checked = project, planner, batch, checked
        self._prefix, self._own_names, self._mend = prefix, False, mend
        self._mended: set[str] = set()
        self._waiting: deque[tuple[str, Outcome | None]] = deque()
        self._counts = {"created": 0, "existed": 0, "failed": 0}
        self._staged = 0
        self._reason = ""

    def units(self, advance: console.Advance) -> Iterator[Creation]:
        for line in _lines(self._planner, self._batch, self._prefix):
            advance(1)
            failed = None if line.unit else Outcome(line.name, None, "failed", line.problem)
            self._waiting.append((line.where, failed))
            if line.unit:
                template = line.unit.template
                if not re.fullmatch(rf"{re.escape(self._prefix)}_\d+", line.name):
                    self._own_names = True
                    template = with_batch(template, self._checked.name)
                if self._mend:
                    self._mend_own(line.unit)
                yield Creation(line.name, template, line.unit.line_files, line.unit.files)

    def stage_shared(self) -> None:
        """Replaces damaged files, if they are to be mended: also where no job is missing."""
        if self._mend:
            self._staged += stage(self._project, self._planner.shared_files(), mend=True)

    def _mend_own(self, unit: Planned) -> None:
        """The same for a job's own files that are there; the others are staged when it is known that it is missing.

        What jobs have in common is not read for each of them: the last names are kept.
        """
        if len(self._mended) > FORGET:
            self._mended.clear()
        there = [
            one for one in unit.files if one.name not in self._mended and self._project.download_path(one.name).exists()
        ]
        self._staged += stage(self._project, there, mend=True)
        self._mended.update(one.name for one in there)

    def prepare(self, missing: Sequence[Creation]) -> None:
        """Stages what these need. The shared files are looked at each time, so that a tidying up leaves them alone."""
        files = (*self._planner.shared_files(), *(file for one in missing for file in one.files))
        self._staged += stage(self._project, files)

    def count(self, outcome: Outcome, log: Report) -> None:
        self._note_failed(log)
        where, _ = self._waiting.popleft()
        self._note(outcome, where, log)

    def flush(self, log: Report) -> None:
        """What is left are bad lines, and lines that were not come to."""
        self._waiting = deque(one for one in self._waiting if one[1])
        self._note_failed(log)

    def _note_failed(self, log: Report) -> None:
        while self._waiting and (failed := self._waiting[0][1]):
            self._note(failed, self._waiting.popleft()[0], log)

    def _note(self, outcome: Outcome, where: str, log: Report) -> None:
        self._counts[outcome.outcome] += 1
        log.add(outcome, where)
        if outcome.outcome == "failed" and not self._reason:
            self._reason = f"{where}: {outcome.reason}"

    def summary(self, report: Path | None) -> Summary:
        return Summary(
            batch=self._checked.name,
            jobs=self._checked.jobs,
            staged_bytes=self._staged,
            report=str(report) if report else None,
            reason=self._reason,
            own_names=self._own_names,
            **self._counts,
        )


def _lines(planner: UnitPlanner, batch: Batch, prefix: str) -> Iterator[_Line]:
    """Every row as a work unit; names that occur twice are found without keeping them in memory."""
    with contextlib.closing(_Names()) as names:
        for number, row in enumerate(batch.rows, 1):
            name = ""
            if number % FORGET == 0:
                planner.forget()
            if row.problem:
                yield _Line(row.where, name, None, row.problem)
                continue
            try:
                values = {INDEX: str(number), **row.values}
                name = batch.unit_name(prefix, number, values)
                names.add(name, row.where)
                yield _Line(row.where, name, planner.unit(batch.job.fill(values), name))
            except InputError as error:
                yield _Line(row.where, name, None, error.message)


class _Names:
    """Names that were seen, in a temporary database that SQLite keeps on the disk when it grows."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("pragma journal_mode=off")
        self._database.execute("create table seen (name text primary key, place text) without rowid")

    def add(self, name: str, where: str) -> None:
        """Raises InputError if the name was there before."""
        try:
            self._database.execute("insert into seen values (?, ?)", (fold(name), where))
        except sqlite3.IntegrityError:
            ((place,),) = self._database.execute("select place from seen where name = ?", (fold(name),)).fetchall()
            raise InputError("duplicate-name", f"the name {name!r} is that of {place} too") from None

    def close(self) -> None:
        self._database.close()


def shown(summary: Summary) -> str:
    """A summary for people."""
    lines = [f"{summary.batch}: {summary.created} jobs created, {summary.existed} were there, {summary.failed} failed"]
    lines += [f"  first failure: {summary.reason}"] if summary.reason else []
    left = summary.jobs - summary.created - summary.existed - summary.failed
    lines += [f"  {left} jobs were not tried; submit the batch again to go on, or use --keep-going"] if left else []
    lines += [f"  each job: {summary.report}"] if summary.report else []
    if summary.own_names:
        way = f"--report {summary.report}" if summary.report else "a pattern, such as NAME*"
        lines.append(f"  the jobs have names of their own: status and cancel know them by these, or by {way}")
    return "\n".join(lines)
