"""Rows of the index and columns of result files as one table, for export and plots.

A column is a name of the index (``seconds``), a metric (``memory_peak_mb``), a recorded value (``pi``), or
``FILE:COLUMN`` of an unpacked result file (``pi.json:darts``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from boinc2docker.errors import InputError
from boinc2docker.results.index import Row
from boinc2docker.results.reading import stored_result
from boinc2docker.results.settings import Settings
from boinc2docker.results.tables import Columns

INDEX_COLUMNS = ("app", "name", "id", "batch", "state", "error_mask", "reason", "exit_code", "seconds", "runtime")


def table(settings: Settings, rows: Iterable[Row], wanted: Sequence[str]) -> list[dict[str, Any]]:
    """One line per row; where a file has more than one line, one per line of it, with the row's own values repeated.

    Values that a work unit does not have are None. Raises InputError if files of one work unit have different numbers
    of lines, or a file is not what its name says.
    """
    return [line for row in rows for line in _lines(settings, row, wanted)]


def default_columns(rows: Sequence[Row]) -> list[str]:
    """The index and every recorded value that some row has, in order of appearance."""
    recorded = dict.fromkeys(name for row in rows for name in row.recorded)
    return [*INDEX_COLUMNS, *recorded, *dict.fromkeys(name for row in rows for name in row.metrics if name != "marks")]


def _lines(settings: Settings, row: Row, wanted: Sequence[str]) -> list[dict[str, Any]]:
    result = stored_result(settings, row)
    files: dict[str, Columns] = {}
    lists: dict[str, Sequence[Any]] = {}
    single: dict[str, Any] = {}
    for name in wanted:
        file, colon, column = name.rpartition(":")
        if not colon:
            single[name] = _own(row, name)
            continue
        if file not in files:
            files[file] = result.columns(file) if result.has(file) else {}
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
