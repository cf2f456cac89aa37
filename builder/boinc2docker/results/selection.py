"""Rows of the index and columns of result files as one table, for export and plots.

A column is a name of the index (``seconds``), a metric (``memory_peak_mb``), a recorded value (``pi``), or
``FILE:COLUMN`` of an unpacked result file (``pi.json:darts``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from boinc2docker.errors import InputError
from boinc2docker.results.index import Row
from boinc2docker.results.names import storable
from boinc2docker.results.placement import UNPACKED
from boinc2docker.results.tables import Cell, Columns, columns

INDEX_COLUMNS = ("app", "name", "id", "batch", "state", "error_mask", "reason", "exit_code", "seconds", "runtime")
FILE_BYTES = 256 << 20


def table(root: Path, rows: Iterable[Row], wanted: Sequence[str]) -> list[dict[str, Any]]:
    """One line per row; where a file has more than one line, one per line of it, with the row's own values repeated.

    Values that a work unit does not have are None. Raises InputError if files of one work unit have different numbers
    of lines, or a file is not what its name says.
    """
    return [line for row in rows for line in _lines(root, row, wanted)]


def default_columns(rows: Sequence[Row]) -> list[str]:
    """The index and every recorded value that some row has, in order of appearance."""
    recorded = dict.fromkeys(name for row in rows for name in row.recorded)
    return [*INDEX_COLUMNS, *recorded, *dict.fromkeys(name for row in rows for name in row.metrics if name != "marks")]


def _lines(root: Path, row: Row, wanted: Sequence[str]) -> list[dict[str, Any]]:
    files: dict[str, Columns] = {}
    lists: dict[str, Sequence[Any]] = {}
    single: dict[str, Any] = {}
    for name in wanted:
        file, colon, column = name.rpartition(":")
        if not colon:
            single[name] = _own(row, name)
            continue
        if file not in files:
            files[file] = _read(root, row, file)
        cells: Sequence[Any] = files[file].get(column, [])
        if len(cells) > 1:
            lists[name] = cells
        else:
            single[name] = cells[0] if cells else None
    lengths = {len(cells) for cells in lists.values()}
    if len(lengths) > 1:
        raise InputError("uneven-columns", f"{row.name}: the chosen columns have {sorted(lengths)} lines")
    count = lengths.pop() if lengths else 1
    return [{name: lists[name][i] if name in lists else single[name] for name in wanted} for i in range(count)]


def _own(row: Row, name: str) -> Any:
    if name in row.recorded:
        return row.recorded[name]
    if name in row.metrics:
        return row.metrics[name]
    return getattr(row, name) if name in INDEX_COLUMNS else None


def _read(root: Path, row: Row, file: str) -> Columns:
    if row.state != "done" or row.directory is None:
        return {}
    home = (root / row.directory / UNPACKED).resolve()
    path = home / file
    if not path.is_file() or not path.resolve().is_relative_to(home):
        return {}
    if path.stat().st_size > FILE_BYTES:
        raise InputError("file-too-large", f"{row.name}: {file} is larger than {FILE_BYTES >> 20} MB")
    try:
        found = columns(file, path.read_bytes())
        return (
            found if path.suffix != ".json" else {name: [_bare(one) for one in cells] for name, cells in found.items()}
        )
    except InputError as error:
        raise InputError(error.code, f"{row.name}: {error.message}") from error


def _bare(cell: Cell) -> Cell:
    """A JSON text without its quotes, which tell it from a number where values are compared."""
    return storable(str(json.loads(cell))) if isinstance(cell, str) and cell.startswith('"') else cell
