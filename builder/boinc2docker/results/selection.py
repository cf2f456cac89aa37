"""Rows of the index and columns of result files as one table, for export and plots.

A column is a name of the index (``seconds``), a metric (``memory_peak_mb``), a recorded value (``pi``), or
``FILE:COLUMN`` of an unpacked result file (``pi.json:darts``).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from boinc2docker.errors import InputError, UsageError
from boinc2docker.plain_text import one_line
from boinc2docker.results.index import Row
from boinc2docker.results.reading import stored_result
from boinc2docker.results.settings import Settings
from boinc2docker.results.tables import Columns

INDEX_COLUMNS = ("app", "name", "id", "batch", "state", "error_mask", "reason", "exit_code", "seconds", "runtime")
MARKS = "marks"
"""The metric that is a table of its own: the times of a job's phases. Exported only if it is named."""
MOST_LISTED = 40
"""An error lists this many columns or files."""

Line = dict[str, Any]


def table(settings: Settings, rows: Iterable[Row], names: Sequence[str]) -> list[Line]:
    """One line per row. If a file has several lines, one line for each, with the row's own values repeated.

    Missing values are None. Raises InputError if the files of one work unit have different numbers of lines, or a file
    is not what its name says.
    """
    return [line for row in rows for line in _lines(settings, row, names)]


def default_columns(rows: Iterable[Row]) -> list[str]:
    """The columns of the index, every recorded value, then every metric, in order of appearance."""
    recorded: dict[str, None] = {}
    metrics: dict[str, None] = {}
    for row in rows:
        recorded |= dict.fromkeys(row.recorded)
        metrics |= dict.fromkeys(name for name in row.metrics if name != MARKS)
    return list(dict.fromkeys((*INDEX_COLUMNS, *recorded, *metrics)))


def empty_columns(lines: Sequence[Line], names: Sequence[str]) -> list[str]:
    """The columns, other than the index's own, in which no line has a value."""
    return [name for name in names if name not in INDEX_COLUMNS and all(line[name] is None for line in lines)]


def require_known(settings: Settings, rows: Sequence[Row], every: Iterable[Row], names: Sequence[str]) -> None:
    """Raises UsageError, with the nearest name and all others, for a FILE:COLUMN that none of ``rows`` has, or another
    column that none of ``every`` has."""
    plain = [name for name in names if ":" not in name]
    known = [*default_columns(every), MARKS] if plain else []
    for name in plain:
        if name not in known:
            more = "FILE:COLUMN reads a result file"
            raise _unknown(f"no result has a column {one_line(name)}", name, known, "columns", more)
    for name in names:
        file, colon, column = name.rpartition(":")
        if colon:
            _require_in_files(settings, rows, file, column)


def _require_in_files(settings: Settings, rows: Sequence[Row], file: str, column: str) -> None:
    known: dict[str, None] = {}
    for result in (stored_result(settings, row) for row in rows):
        if result.has(file):
            known |= dict.fromkeys(result.columns(file))
        if column in known:
            return
    if known:
        raise _unknown(f"{one_line(file)} has no column {one_line(column)}", column, [*known], "columns")
    files = next((files for row in rows if (files := stored_result(settings, row).files())), None)
    if files is None:
        return  # none of these is unpacked, so nothing is known
    raise _unknown(f"no result has a file {one_line(file)}", file, files, "files")


def _unknown(problem: str, name: str, known: Sequence[str], kind: str, more: str = "") -> UsageError:
    nearest = difflib.get_close_matches(name, known, n=1)
    listed = ", ".join(one_line(other) for other in known[:MOST_LISTED]) + (", …" if len(known) > MOST_LISTED else "")
    parts = [
        f"did you mean {one_line(nearest[0])}?" if nearest else "",
        f"{kind}: {listed or 'none'}" + (f"; {more}" if more else ""),
    ]
    return UsageError("unknown-column", problem, hint=" ".join(part for part in parts if part))


def _lines(settings: Settings, row: Row, names: Sequence[str]) -> Iterator[Line]:
    result = stored_result(settings, row)
    files: dict[str, Columns] = {}
    lists: dict[str, Sequence[Any]] = {}
    single: Line = {}
    for name in names:
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
    for number in range(lengths.pop() if lengths else 1):
        yield {name: lists[name][number] if name in lists else single[name] for name in names}


def _own(row: Row, name: str) -> Any:
    if name in row.recorded:
        return row.recorded[name]
    if name in row.metrics:
        return row.metrics[name]
    return getattr(row, name) if name in INDEX_COLUMNS else None
