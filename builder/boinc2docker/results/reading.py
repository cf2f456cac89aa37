"""An app's results for Python programs: iterate over them, read their values and their files.

from boinc2docker import Results

for result in Results.open(project="/home/boincadm/projects/sample", app="pi").select(state="done"):
    print(result.work_unit, result.values["error"], result.table("pi.csv")[0])
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from boinc2docker.errors import InputError
from boinc2docker.plain_text import storable
from boinc2docker.results.index import Row, opened
from boinc2docker.results.installed import settings_path
from boinc2docker.results.model import Scalar
from boinc2docker.results.placement import UNPACKED
from boinc2docker.results.settings import Settings, load
from boinc2docker.results.tables import Cell, Columns, columns

State = Literal["done", "failed", "error"]
MOST_FILE_BYTES = 256 << 20
"""The largest result file that is read as a table."""


@dataclass(frozen=True)
class StoredResult:
    """What came back from one work unit.

    ``state`` is ``done``; ``failed`` if the server could not assimilate the result; ``error`` if the work unit ended
    without one. ``reason`` says why it is not done. ``seconds`` is the time in the container.

    ``directory`` holds the archives as BOINC received them, ``path`` the unpacked files that the container left in
    results/, ``log`` the log archive; each is None where there is none. ``values`` are what the project's rules
    recorded, ``metrics`` the job's own account, such as ``memory_peak_mb``.
    """

    app: str
    work_unit: str
    batch: str
    state: State
    id: int | None = None
    exit_code: int | None = None
    reason: str | None = None
    seconds: float | None = None
    directory: Path | None = None
    path: Path | None = None
    log: Path | None = None
    values: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether there is a result file ``name``, such as ``fit/mean.csv``. A link that leads outside of ``path`` is
        none."""
        if self.path is None:
            return False
        file = self.path / name
        return file.is_file() and file.resolve().is_relative_to(self.path.resolve())

    def file(self, name: str) -> Path:
        """The path of a result file. Raises InputError if ``has`` denies it."""
        if self.path is None or not self.has(name):
            raise InputError("no-result-file", f"{self.work_unit} has no result file {ascii(name)[1:-1]}")
        return self.path / name

    def files(self) -> list[str]:
        """The names of the result files, in order."""
        if self.path is None:
            return []
        names = (str(file.relative_to(self.path)) for file in self.path.rglob("*") if file.is_file())
        return sorted(name for name in names if self.has(name))

    def columns(self, name: str) -> Columns:
        """The columns of a CSV, TSV, JSON or blank-separated result file, by name. Numbers are floats, other cells
        texts. Raises InputError if the file is missing, larger than 256 MB or not what its suffix says."""
        file = self.file(name)
        if file.stat().st_size > MOST_FILE_BYTES:
            raise InputError("file-too-large", f"{self.work_unit}: {name} is larger than {MOST_FILE_BYTES >> 20} MB")
        try:
            found = columns(name, file.read_bytes())
        except InputError as error:
            raise InputError(error.code, f"{self.work_unit}: {error.message}") from error
        if file.suffix.lower() != ".json":
            return found
        return {column: [_unquoted(cell) for cell in cells] for column, cells in found.items()}

    def table(self, name: str) -> list[dict[str, Cell]]:
        """The rows of such a file, each a dictionary by column. Raises as ``columns``, and InputError if the columns
        have different lengths, as in nested JSON."""
        found = self.columns(name)
        lengths = {len(cells) for cells in found.values()}
        if len(lengths) > 1:
            raise InputError(
                "uneven-columns",
                f"{self.work_unit}: the columns of {name} have {sorted(lengths)} rows",
                hint="columns() returns each of them as it is",
            )
        return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


@dataclass(frozen=True)
class Results:
    """The results of one app, read from its index while you iterate, ordered by batch and name."""

    settings: Settings

    @classmethod
    def open(
        cls, *, settings: str | Path | None = None, project: str | Path | None = None, app: str | None = None
    ) -> Results:
        """The results of the app whose app.toml is ``settings``, or of ``app`` as installed in ``project``.

        Without either: as the command ``results`` finds them, from the current directory and the environment. Raises
        UsageError if there is no such app, InputError for a faulty app.toml.
        """
        named = settings_path(Path(settings) if settings else None, Path(project) if project else None, app)
        return cls(load(named))

    def __iter__(self) -> Iterator[StoredResult]:
        """All results. Raises HostError if nothing has been assimilated yet."""
        return self.select()

    def select(
        self, *, batch: str | None = None, name: str | None = None, state: State | None = None
    ) -> Iterator[StoredResult]:
        """Results of a batch, in a state, or whose work unit fits the pattern ``name`` (``*`` and ``?``).

        Raises HostError if nothing has been assimilated yet.
        """
        with opened(self.settings.directory, create=False) as index:
            for row in index.select(app=self.settings.app, batch=batch, name=name, state=state):
                yield stored_result(self.settings, row)

    def find(self, work_unit: str) -> StoredResult | None:
        """The result of one work unit; None if it has not come back."""
        with opened(self.settings.directory, create=False) as index:
            row = index.find(self.settings.app, work_unit)
        return stored_result(self.settings, row) if row is not None else None


def stored_result(settings: Settings, row: Row) -> StoredResult:
    """A row of the index, with the places of its files on this disk."""
    directory = settings.directory / row.directory if row.directory is not None else None
    path = directory / UNPACKED if directory is not None and row.state == "done" else None
    has_log = directory is not None and settings.log_output in row.outputs
    return StoredResult(
        app=row.app,
        work_unit=row.name,
        batch=row.batch,
        state=cast(State, row.state),
        id=row.id,
        exit_code=row.exit_code,
        reason=row.reason,
        seconds=row.seconds,
        directory=directory,
        path=path if path is not None and path.is_dir() else None,
        log=directory / str(settings.log_output) if directory is not None and has_log else None,
        values=row.recorded,
        metrics=row.metrics,
    )


def _unquoted(cell: Cell) -> Cell:
    """A JSON text without its quotes, which tell it from a number where values are compared."""
    return storable(str(json.loads(cell))) if isinstance(cell, str) and cell.startswith('"') else cell
