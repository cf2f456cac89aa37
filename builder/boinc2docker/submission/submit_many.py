"""Many jobs of one image and shape become work units; or, in a dry run, all are checked and the first is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from boinc2docker.image.delivery import Delivery
from boinc2docker.image.reference import Source, parse
from boinc2docker.job.job import Job
from boinc2docker.project.project import Project, find
from boinc2docker.project.staging import submitting
from boinc2docker.submission import app_files
from boinc2docker.submission.batch.batch import Batch, check
from boinc2docker.submission.batch.submit_many import Summary
from boinc2docker.submission.batch.submit_many import submit_many as submit_rows
from boinc2docker.submission.plan import PlannedUnit, planning
from boinc2docker.submission.shape import Runner, Shape
from boinc2docker.submission.submit import APP, Tried, ready, tried

DIGITS = 6
"""Of a job's number where containers run it: docker_wrapper confuses names of which one is part of the other."""


def submit_many(
    image: str | Source,
    batch: Batch,
    *,
    project: Path | None = None,
    app: str = APP,
    shape: Shape | None = None,
    delivery: Delivery | None = None,
    wu_template: str | None = None,
    keep_going: bool = False,
    report: Path | None = None,
    reimport: bool = False,
) -> Summary:
    """Makes the jobs of ``batch`` work units; those that were submitted before stay as they are.

    The parameters are those of ``submit``. Nothing is created if a job cannot be made, unless ``keep_going``;
    ``report`` is a file for each job's outcome, one JSON line per job. Raises BuilderErrors.
    """
    shape = shape or Shape()
    where = Project.open(project)
    files = ready(where, app, shape.options, wu_template=wu_template, runners=shape.runners)
    batch = batch if Runner.CONTAINER not in shape.runners else replace(batch, digits=DIGITS)
    with (
        submitting(where),
        planning(
            where,
            files,
            _source(image),
            _typical(batch),
            shape,
            delivery=delivery,
            shared_inputs=batch.job.shared_inputs,
            reimport=reimport,
        ) as planner,
    ):
        words = shape.options.words()
        return submit_rows(where, app, planner, batch, words, keep_going=keep_going, report=report, mend=reimport)


def try_out_many(
    image: str | Source,
    batch: Batch,
    *,
    output: Path,
    project: Path | None = None,
    app: str = APP,
    shape: Shape | None = None,
    delivery: Delivery | None = None,
    wu_template: str | None = None,
    keep_going: bool = False,
) -> tuple[Tried, int]:
    """Checks every job and writes the first one's files below ``output``; what it wrote, and how many jobs there are.

    The other parameters are those of ``submit_many``. Raises BuilderErrors.
    """
    shape = shape or Shape()
    options = shape.options
    found = find(project)
    if found is None:
        files = app_files.without_project(app)
    else:
        opened = Project.open(found)
        files = app_files.load(opened, app, wu_template=wu_template, result_template=options.result_template)
    shared = batch.job.shared_inputs
    with planning(
        None, files, _source(image), _typical(batch), shape, delivery=delivery, shared_inputs=shared
    ) as planner:
        checked = check(app, planner, batch, options.words(), keep_going=keep_going)
        assert isinstance(checked.first, PlannedUnit)  # noqa: S101 - our planner's
        first = checked.first
        number = first.name.removeprefix(f"{app}_")
        if batch.name is None and number.isdecimal():
            # The check could not know yet what a batch without a name is called.
            first = replace(first, name=f"{app}_{checked.name}_{number}")
        return tried(planner, first, output, options), checked.jobs


def _source(image: str | Source) -> Source:
    return parse(image) if isinstance(image, str) else image


def _typical(batch: Batch) -> Job:
    """A job as far as all of them are alike."""
    return replace(batch.job.job, inputs=batch.job.shared_inputs)
