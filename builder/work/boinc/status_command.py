"""``invoke status`` and ``invoke cancel``: from a command line's values to the jobs that are meant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder.option import Option, values
from builder.work.boinc.batch_options import batch_of
from builder.work.boinc.cancel import cancel_command
from builder.work.boinc.project import Project
from builder.work.boinc.selection import Selection
from builder.work.boinc.status import status_command
from builder.work.boinc.submission import APP

MANAGE = (
    Option(
        "jobs",
        "names, batches, patterns with * and ?, IDs, or FIRST-LAST; several with commas between",
        "argument",
    ),
    Option("project", "the BOINC project's directory (default: $PROJHOME, $BOINC_PROJECT_DIR, else this one)"),
    Option("appname", f"the app whose jobs they are (default {APP})"),
    Option("batch_id", "jobs with this batch ID of BOINC's"),
    Option("report", "the jobs that a batch's --report lists"),
)
"""What tells jobs apart, for both commands."""
STATUS = (*MANAGE, Option("each", "show every job, however many", kind="flag"))
CANCEL = (*MANAGE, Option("dry_run", "say how many would be cancelled, cancel none", kind="flag"))


def show_status(given: Mapping[str, Any]) -> int:
    """Tells how far the jobs are. Raises BuilderErrors."""
    typed = values(STATUS, given)
    status_command(Project.open(_project(typed)), _selection(typed), each=typed["each"])
    return 0


def cancel_jobs(given: Mapping[str, Any]) -> int:
    """Ends the jobs that are not over. Raises BuilderErrors."""
    typed = values(CANCEL, given)
    selection = _selection(typed)
    cancel_command(Project.open(_project(typed)), selection, dry_run=typed["dry_run"])
    return 0


def _project(typed: Mapping[str, Any]) -> Path | None:
    return Path(typed["project"]) if typed["project"] else None


def _selection(typed: Mapping[str, Any]) -> Selection:
    terms = tuple(term for term in (typed["jobs"] or "").split(",") if term)
    _, number = batch_of(None, typed["batch_id"])
    report = Path(typed["report"]) if typed["report"] else None
    return Selection(typed["appname"] or APP, terms, number, report)
