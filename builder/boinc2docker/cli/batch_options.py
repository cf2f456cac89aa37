"""What the command line says of a batch: where its jobs come from, and what to do about those that fail."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from boinc2docker import leftovers
from boinc2docker.atomic import explain
from boinc2docker.cli.option import Option, group
from boinc2docker.errors import UsageError
from boinc2docker.submission.batch import sweep
from boinc2docker.submission.batch.batch_file import BatchFile
from boinc2docker.submission.batch.sweep import Combinations, Rows

BATCH_OPTIONS: tuple[Option, ...] = group(
    "Many jobs",
    Option(
        "batch",
        "A file with one job a line: CSV with a header, or JSON objects (-: standard input). {COLUMN} is replaced in "
        "the command and in --env, --input, --workdir, --user, --entrypoint and --name; write {{ for a brace. A whole "
        "number is BOINC's batch ID instead (./17 is a file).",
        noun="FILE|N",
    ),
    Option("batch_id", "BOINC's batch ID of the jobs.", noun="N"),
    Option(
        "sweep",
        "One job for each value: NAME=1..1000, NAME=0..1:0.1 or NAME=a,b,c. Several sweeps make every combination.",
        kind="list",
        noun="NAME=VALUES",
    ),
    Option("keep_going", "Skip jobs that cannot be made, and continue when some are refused.", kind="flag"),
    Option("report", "Write the outcome of each job to this file: JSON lines with name, id and outcome.", noun="FILE"),
)


def batch_of(batch: str | None, batch_id: str | None) -> tuple[str | None, int | None]:
    """The file of a batch, and BOINC's ID, from ``--batch`` and ``--batch-id``. Raises UsageError."""
    if batch is not None and re.fullmatch(r"\d+", batch, re.ASCII):
        if batch_id is not None and int(batch_id) != int(batch):
            raise UsageError("two-batches", f"--batch {batch} and --batch-id {batch_id} are two IDs")
        return None, _id(batch, "--batch")
    return batch, None if batch_id is None else _id(batch_id, "--batch-id")


def _id(text: str, what: str) -> int:
    if not re.fullmatch(r"\d{1,10}", text, re.ASCII) or int(text) > 2**31 - 1:
        raise UsageError("bad-number", f"{what}: expected a whole number up to {2**31 - 1}, found {text[:80]!a}")
    return int(text)


@contextlib.contextmanager
def rows_of(batch: str | None, sweeps: Sequence[str]) -> Iterator[Rows]:
    """The rows of a file and of sweeps, for as long as the ``with`` block lasts: of a copy of the file, so that it may
    be changed meanwhile, or be standard input. Raises UsageError, InputError, HostError."""
    swept = tuple(sweep.parse(one) for one in sweeps)
    if batch is None:
        yield Combinations(swept)
        return
    with leftovers.scratch() as directory:
        copy = directory / "batch"
        try:
            with copy.open("wb") as target:
                if batch == "-":
                    shutil.copyfileobj(sys.stdin.buffer, target)
                else:
                    with Path(batch).open("rb") as source:
                        shutil.copyfileobj(source, target)
        except OSError as error:
            raise explain(error, f"read the batch {batch}") from error
        rows = BatchFile(copy, "standard input" if batch == "-" else batch)
        yield Combinations(swept, rows) if swept else rows
