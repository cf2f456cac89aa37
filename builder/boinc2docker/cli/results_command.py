"""``results``: the command line of what ``results`` does."""

from __future__ import annotations

from boinc2docker.cli.command import Command, Example, Given
from boinc2docker.cli.option import Option, group, values
from boinc2docker.cli.readers import existing, path
from boinc2docker.cli.results import SHOWN_STATES, Options, results_command

ACTIONS = {
    "ls": "List the jobs that came back or failed.",
    "show": "Show one job, with the reason if it failed: results show JOB.",
    "export": "Write values of all jobs as CSV or Parquet.",
    "plot": "Plot one value against another: results plot X Y.",
    "retry": "Try again what could not be assimilated.",
}
OPTIONS = (
    Option("action", "What to do.", "argument", noun="ACTION", choices=ACTIONS, required=True, group="Arguments"),
    Option(
        "names", "show: the job. plot: two columns, X and Y.", "argument", many=True, noun="WORD", group="Arguments"
    ),
    *group(
        "Project",
        Option("project", "BOINC project in which the app is installed.", read=existing, noun="DIR"),
        Option("appname", "With --project: the app (default: boinc2docker).", noun="NAME"),
        Option(
            "settings",
            "The app's app.toml (default: ./app.toml, else that of the project in the current directory).",
            read=existing,
            noun="FILE",
        ),
    ),
    *group(
        "Jobs",
        Option("batch", "Only jobs of this batch.", noun="NAME"),
        Option("name", "Only jobs whose name fits this pattern of * and ?.", noun="PATTERN"),
        Option(
            "state",
            "Only jobs in this state; kept means done, although the container failed.",
            noun="STATE",
            choices=SHOWN_STATES,
        ),
    ),
    *group(
        "Output",
        Option(
            "column",
            "export: a column of the index, a recorded value, or FILE:COLUMN of result files.",
            kind="list",
            noun="NAME",
        ),
        Option("csv", "export: write this CSV file.", read=path, noun="FILE"),
        Option("raw", "export: do not protect texts that a spreadsheet would take for formulas.", kind="flag"),
        Option("parquet", "export: write this Parquet file.", read=path, noun="FILE"),
        Option(
            "log",
            "plot: logarithmic axes (default: axes whose values are all above 0 and span two decades).",
            noun="AXES",
            choices=("x", "y", "xy"),
        ),
        Option("linear", "plot: linear axes.", noun="AXES", choices=("x", "y", "xy")),
        Option("output", "plot: .png or .svg file to write (default: plot.png).", read=path, noun="FILE"),
    ),
)


def results(given: Given) -> int:
    """Does the action; returns the exit code. Raises BuilderErrors."""
    typed = values(OPTIONS, given)
    return results_command(
        typed["action"],
        Options(
            app=typed["appname"],
            columns=typed["column"],
            words=typed["names"],
            **{name: typed[name] for name in ("project", "settings", "batch", "name", "state")},
            **{name: typed[name] for name in ("csv", "raw", "parquet", "output", "log", "linear")},
        ),
    )


COMMAND = Command(
    "results",
    results,
    OPTIONS,
    (
        Example("results ls --batch sweep", "The jobs of a batch, in the project of this directory."),
        Example("results show boinc2docker_sweep_17", "Why a job failed, with the end of its output."),
        Example("results export --csv sweep.csv --column name --column pi.json:darts", "A table of all results."),
        Example("results plot --output error.svg darts error", "A picture of two values."),
        Example("results retry --project ~/projects/sample --appname pi", "After mending what held results back."),
    ),
)
