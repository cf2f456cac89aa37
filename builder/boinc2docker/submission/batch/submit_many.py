"""A checked batch becomes work units: staged and created as a stream, and resumable.

Only missing work units are created. So a killed run is resumed by submitting the batch again, and two submitters of the
same batch do no harm.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from boinc2docker import console
from boinc2docker.project.create_work import Creation, Outcome, create
from boinc2docker.project.project import Project
from boinc2docker.project.staging import stage
from boinc2docker.submission.batch.batch import FORGET, Batch, Checked, Planned, UnitPlanner, check, planned_rows
from boinc2docker.submission.batch.report import Report


@dataclass(frozen=True)
class Summary:
    """The outcome of a batch. ``status`` and ``cancel`` know it by the name ``batch``, unless jobs have ``own_names``.

    ``existed`` counts jobs that had been submitted before. ``reason`` is the first failure's. ``staged_bytes`` were not
    on the server before.
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

    def __str__(self) -> str:
        """The summary for people."""
        counts = [f"{self.created} {'job' if self.created == 1 else 'jobs'} created"]
        counts += [f"{self.existed} submitted before"] if self.existed else []
        counts += [f"{self.failed} failed"] if self.failed else []
        lines = [f"{self.batch}: {', '.join(counts)}"]
        lines += [f"  first failure: {self.reason}"] if self.reason else []
        left = self.jobs - self.created - self.existed - self.failed
        if left:
            lines.append(f"  not tried: {left}. Submit the batch again to continue, or use --keep-going")
        lines += [f"  outcome of each job: {self.report}"] if self.report else []
        if self.own_names:
            way = f"--report {self.report}" if self.report else "a pattern such as NAME*"
            lines.append(f"  the jobs have names of their own: give status and cancel these names, or {way}")
        return "\n".join(lines)


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
    """Creates the missing jobs of a batch and writes each job's outcome to ``report``, one line per job.

    ``words`` are create_work's options for all of them. If a job cannot be made, nothing is created unless
    ``keep_going``. ``mend`` replaces damaged staged files. Memory does not grow with the number of jobs. Raises
    BuilderErrors. Jobs that create_work refuses are counted; without ``keep_going`` the first one ends the run.
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


def with_batch(template: bytes, name: str) -> bytes:
    """The input template with the batch's name, for jobs whose own names do not tell the assimilator their batch.

    create_work copies unknown elements (``tools/process_input_template.cpp``), and clients ignore them.
    """
    before, end, after = template.rpartition(b"</workunit>")
    return before + f"<b2d_batch>{name}</b2d_batch>\n".encode() + end + after if end else template


class _Submission:
    """The counts, and the rows whose outcome is still unknown: 10 000 at most."""

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
        for row in planned_rows(self._planner, self._batch, self._prefix):
            advance(1)
            failed = None if row.unit else Outcome(row.name, None, "failed", row.problem)
            self._waiting.append((row.where, failed))
            if row.unit:
                template = row.unit.template
                if not re.fullmatch(rf"{re.escape(self._prefix)}_\d+", row.name):
                    self._own_names = True
                    template = with_batch(template, self._checked.name)
                if self._mend:
                    self._mend_own(row.unit)
                yield Creation(row.name, template, row.unit.line_files, row.unit.files)

    def stage_shared(self) -> None:
        """With ``mend``, replaces damaged shared files, even if no job is missing."""
        if self._mend:
            self._staged += stage(self._project, self._planner.shared_files(), mend=True)

    def _mend_own(self, unit: Planned) -> None:
        """Replaces the job's own staged files if damaged. Files that are not there yet are staged by ``prepare``.

        Remembers recent names, so that files which several jobs have in common are read once.
        """
        if len(self._mended) > FORGET:
            self._mended.clear()
        staged = [
            file
            for file in unit.files
            if file.name not in self._mended and self._project.download_path(file.name).exists()
        ]
        self._staged += stage(self._project, staged, mend=True)
        self._mended.update(file.name for file in staged)

    def prepare(self, missing: Sequence[Creation]) -> None:
        """Stages what these jobs need. Touches the shared files each time, so that `store gc` keeps them."""
        files = (*self._planner.shared_files(), *(file for creation in missing for file in creation.files))
        self._staged += stage(self._project, files)

    def count(self, outcome: Outcome, log: Report) -> None:
        self._note_failed(log)
        where, _ = self._waiting.popleft()
        self._note(outcome, where, log)

    def flush(self, log: Report) -> None:
        """Reports the bad rows that are left, and drops rows that were never tried."""
        self._waiting = deque(waiting for waiting in self._waiting if waiting[1])
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
