"""``status`` and ``cancel``: a command line selects jobs; the outcome is text or JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boinc2docker import console
from boinc2docker.cli.batch_options import batch_of
from boinc2docker.cli.command import Command, Example
from boinc2docker.cli.option import Option, group, values
from boinc2docker.cli.submit import PROJECT
from boinc2docker.project.project import Project
from boinc2docker.submission.jobs.cancel import cancel
from boinc2docker.submission.jobs.selection import STATES, Selection
from boinc2docker.submission.jobs.status import status
from boinc2docker.submission.submit import APP

_SELECTION: tuple[Option, ...] = (
    Option(
        "jobs",
        "Names of jobs or of batches, patterns with * and ?, IDs, or ranges of IDs FIRST-LAST.",
        kind="argument",
        many=True,
        noun="JOB",
        group="Arguments",
    ),
    PROJECT,
    Option("appname", f"App of the jobs (default: {APP}).", noun="NAME", group="Project"),
    *group(
        "Jobs",
        Option("batch_id", "Jobs with this batch ID of BOINC's.", noun="N"),
        Option("report", "Jobs of this report, which `submit --report` wrote.", noun="FILE"),
    ),
)
STATUS: tuple[Option, ...] = (
    *_SELECTION,
    Option("each", "Show every job, however many there are (default: up to 25).", kind="flag", group="Output"),
)
CANCEL: tuple[Option, ...] = (
    *_SELECTION,
    Option("dry_run", "Say how many jobs would be cancelled, and cancel none.", kind="flag", group="Jobs"),
)


def _selected(typed: Mapping[str, Any]) -> tuple[Project, Selection]:
    # An empty term, as from a variable that is not set, is an error, not "all jobs".
    terms = tuple(dict.fromkeys(term.strip() for word in typed["jobs"] for term in word.split(",")))
    _, number = batch_of(None, typed["batch_id"])
    report = Path(typed["report"]) if typed["report"] else None
    selection = Selection(typed["appname"] or APP, terms, number, report)
    return Project.open(Path(typed["project"]) if typed["project"] else None), selection


def status_command(given: Mapping[str, Any]) -> int:
    """Prints how far the jobs are. Raises BuilderErrors."""
    typed = values(STATUS, given)
    project, selection = _selected(typed)
    found = status(project, selection, each=typed["each"])
    now = time.time()
    lines = [
        f"{one.id:>9}  {one.state:<9}  {_age(now - one.created):>7}  {one.name}"
        + (f"  ({', '.join(one.errors)})" if one.state == "failed" else "")
        for one in found.units
    ]
    counts = [f"{found.states[name]} {name}" for name in STATES if found.states[name]]
    lines.append(_jobs(found.jobs) + (": " + ", ".join(counts) if counts else ""))
    console.report({"app": selection.app, **found.as_json()}, "\n".join(lines))
    return 0


def cancel_command(given: Mapping[str, Any]) -> int:
    """Ends the jobs that are not over. Raises BuilderErrors."""
    typed = values(CANCEL, given)
    project, selection = _selected(typed)
    done = cancel(project, selection, dry_run=typed["dry_run"])
    verb = "would be cancelled" if done.dry_run else "cancelled"
    over = f", {done.over} {'was' if done.over == 1 else 'were'} over already" if done.over else ""
    console.report(
        {"app": selection.app, "cancelled": done.cancelled, "over": done.over, "dry_run": done.dry_run},
        f"{_jobs(done.cancelled)} {verb}{over}",
    )
    return 0


def _jobs(number: int) -> str:
    return f"{number} job" + ("" if number == 1 else "s")


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


COMMAND_STATUS = Command(
    "status",
    status_command,
    STATUS,
    (
        Example("status sweep", "The jobs of the batch `sweep`, counted and listed."),
        Example("status --each --report jobs.jsonl", "Every job that a submission reported."),
    ),
    "A job is waiting, running, returned, valid, done, failed or cancelled.",
)
COMMAND_CANCEL = Command(
    "cancel",
    cancel_command,
    CANCEL,
    (
        Example("cancel --dry-run sweep", "Count the jobs of the batch `sweep` that would be cancelled."),
        Example("cancel 'boinc2docker_sweep_1*' 4711-4720", "Cancel jobs by a pattern and by their IDs."),
    ),
    "Uses the project's cancel_jobs. Jobs that are done stay as they are.",
)
