"""``submit --batch FILE`` and ``--sweep``: many jobs of one shape, submitted or tried, told to the user."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boinc2docker import console
from boinc2docker.image.delivery import Delivery
from boinc2docker.submission.batch.batch import Batch
from boinc2docker.submission.batch.submit_many import Summary
from boinc2docker.submission.batch.sweep import Rows
from boinc2docker.submission.job_template import JobTemplate
from boinc2docker.submission.shape import Shape
from boinc2docker.submission.submit import APP, Tried
from boinc2docker.submission.submit_many import submit_many, try_out_many
from boinc2docker.typed import command


@dataclass(frozen=True)
class ManyJobs:
    """Jobs of one image and shape: ``template`` filled in for each of ``rows``.

    The other fields are what ``submission.submit`` takes.
    """

    image: str
    template: JobTemplate
    rows: Rows
    project: Path | None = None
    app: str = APP
    name: str | None = None
    shape: Shape = Shape()  # noqa: RUF009 - frozen
    delivery: Delivery | None = None
    wu_template: str | None = None

    @property
    def batch(self) -> Batch:
        return Batch(self.template, self.rows, self.name)

    @property
    def common(self) -> dict[str, Any]:
        """The parameters of ``submit_many`` and ``try_out_many`` that they share."""
        names = ("project", "app", "shape", "delivery", "wu_template")
        return {name: getattr(self, name) for name in names}


def submit_batch(
    jobs: ManyJobs, *, keep_going: bool = False, report: Path | None = None, reimport: bool = False
) -> Summary:
    """Makes all of them work units. Raises BuilderErrors."""
    how: dict[str, Any] = {"keep_going": keep_going, "report": report, "reimport": reimport}
    return submit_many(jobs.image, jobs.batch, **jobs.common, **how)


def try_batch(jobs: ManyJobs, output: Path, *, keep_going: bool = False) -> tuple[Tried, int]:
    """Checks every job and writes the first one's files below ``output``. Raises BuilderErrors."""
    return try_out_many(jobs.image, jobs.batch, output=output, keep_going=keep_going, **jobs.common)


def batch_command(jobs: ManyJobs, *, output: Path | None, keep_going: bool, report: Path | None, reimport: bool) -> int:
    """Submits, or with ``output`` tries, and tells; 1 if a job was refused."""
    if output is not None:
        done, count = try_batch(jobs, output, keep_going=keep_going)
        console.info(f"{count} jobs; the first: {done.job}  (try it: {command('run', '--job', done.job)})")
        console.info(str(done.bounds))
        console.report({**done.as_json(), "jobs": count}, done.command)
        return 0
    summary = submit_batch(jobs, keep_going=keep_going, report=report, reimport=reimport)
    console.report(summary.as_json(), str(summary))
    return 1 if summary.failed else 0
