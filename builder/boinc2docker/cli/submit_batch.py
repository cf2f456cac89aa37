"""``invoke submit --batch FILE`` and ``--sweep``: many jobs of one shape, submitted or tried, told to the user."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from boinc2docker import console
from boinc2docker.image.delivery import Delivery
from boinc2docker.image.reference import parse
from boinc2docker.job.job import Job
from boinc2docker.project.project import Project, find
from boinc2docker.project.staging import submitting
from boinc2docker.submission import app_files
from boinc2docker.submission.batch.batch import Batch, check
from boinc2docker.submission.batch.submit_many import Summary, submit_many
from boinc2docker.submission.batch.sweep import Rows
from boinc2docker.submission.job_template import JobTemplate
from boinc2docker.submission.plan import PlannedUnit, planning
from boinc2docker.submission.shape import Shape
from boinc2docker.submission.submit import APP, Tried, ready, tried


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
    def typical(self) -> Job:
        """A job as far as all of them are alike."""
        return replace(self.template.job, inputs=self.template.shared_inputs)

    @property
    def _common(self) -> dict[str, Any]:
        return {"delivery": self.delivery, "shared_inputs": self.template.shared_inputs}


def submit_batch(
    jobs: ManyJobs, *, keep_going: bool = False, report: Path | None = None, reimport: bool = False
) -> Summary:
    """Makes all of them work units; those that are there already stay as they are. Raises BuilderErrors."""
    batch = Batch(jobs.template, jobs.rows, jobs.name)
    where = Project.open(jobs.project)
    options = jobs.shape.options
    files = ready(where, jobs.app, options, wu_template=jobs.wu_template)
    common = {**jobs._common, "reimport": reimport}
    with (
        submitting(where),
        planning(where, files, parse(jobs.image), jobs.typical, jobs.shape, **common) as planner,
    ):
        how = {"keep_going": keep_going, "report": report, "mend": reimport}
        return submit_many(where, jobs.app, planner, batch, options.words(), **how)  # type: ignore[arg-type]


def try_batch(jobs: ManyJobs, output: Path, *, keep_going: bool = False) -> tuple[Tried, int]:
    """Checks every job and writes the first one's files below ``output``; tells of that, and how many jobs there are.

    Raises BuilderErrors.
    """
    batch = Batch(jobs.template, jobs.rows, jobs.name)
    options = jobs.shape.options
    found = find(jobs.project)
    if found is None:
        files = app_files.without_project(jobs.app)
    else:
        files = app_files.load(
            Project.open(found), jobs.app, wu_template=jobs.wu_template, result_template=options.result_template
        )
    with planning(None, files, parse(jobs.image), jobs.typical, jobs.shape, **jobs._common) as planner:
        checked = check(jobs.app, planner, batch, options.words(), keep_going=keep_going)
        assert isinstance(checked.first, PlannedUnit)  # noqa: S101 - our planner's
        first = checked.first
        number = first.name.removeprefix(f"{jobs.app}_")
        if jobs.name is None and number.isdecimal():
            # The check could not know yet what a batch without a name is called.
            first = replace(first, name=f"{jobs.app}_{checked.name}_{number}")
        return tried(planner, first, output, options), checked.jobs


def batch_command(jobs: ManyJobs, *, output: Path | None, keep_going: bool, report: Path | None, reimport: bool) -> int:
    """Submits, or with ``output`` tries, and tells; 1 if a job was refused."""
    if output is not None:
        done, count = try_batch(jobs, output, keep_going=keep_going)
        console.info(f"{count} jobs; the first: {done.job}  (try it: invoke run --job {done.job})")
        console.info(str(done.bounds))
        console.report({**done.as_json(), "jobs": count}, done.command)
        return 0
    summary = submit_batch(jobs, keep_going=keep_going, report=report, reimport=reimport)
    console.report(summary.as_json(), str(summary))
    return 1 if summary.failed else 0
