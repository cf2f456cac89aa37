"""A table as CSV or Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from boinc2docker import atomic, extras

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""The first characters of what a spreadsheet takes for a formula; for Excel also the full-width ones
(https://owasp.org/www-community/attacks/CSV_Injection)."""


def as_csv(lines: Sequence[dict[str, Any]], columns: Sequence[str], *, raw: bool = False) -> str:
    """RFC 4180 with LF. Missing values are empty cells. Unless ``raw``, texts and column names that a spreadsheet would
    take for formulas get a ``'`` in front. Pure."""
    return "".join(
        _csv_line(cells if raw else [_harmless(cell) for cell in cells])
        for cells in (list(columns), *([line[name] for name in columns] for line in lines))
    )


def _csv_line(cells: Sequence[Any]) -> str:
    """Writes with CR LF, so that ``csv`` quotes both: with LF alone, a CR in a text would begin another line."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue().removesuffix("\r\n") + "\n"


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def write_parquet(path: Path, lines: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Writes ``path``. A column of both numbers and texts becomes texts. Raises HostError without pyarrow."""
    extras.need("parquet", "results export --parquet")
    import pyarrow
    import pyarrow.parquet

    made = {name: _uniform([line[name] for line in lines]) for name in columns}
    with atomic.replacing(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.table(made), str(temporary))


def _uniform(values: list[Any]) -> list[Any]:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int} and any(value is not None and not -(1 << 63) <= value < 1 << 63 for value in values):
        kinds = {int, float}  # Parquet's integers have 64 bits
    if len(kinds) <= 1:
        return values
    if kinds <= {int, float}:
        return [None if value is None else float(value) for value in values]
    return [None if value is None else str(value) for value in values]
