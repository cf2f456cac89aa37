"""A table as CSV, Parquet or a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from boinc2docker import atomic
from boinc2docker import extras as environment
from boinc2docker.errors import InputError, UsageError

WIDE = 100
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""How a text begins that a spreadsheet would take for a formula; Excel takes the wide characters, too
(https://owasp.org/www-community/attacks/CSV_Injection)."""


def as_csv(lines: Sequence[dict[str, Any]], columns: Sequence[str], *, raw: bool = False) -> str:
    """Pure: RFC 4180 with LF; absent values are empty. Texts that a spreadsheet would take for formulas, also names of
    columns, begin with ``'``, unless they are wanted ``raw``."""
    return "".join(
        _csv_line(cells if raw else [_harmless(cell) for cell in cells])
        for cells in (list(columns), *([line[name] for name in columns] for line in lines))
    )


def _csv_line(cells: Sequence[Any]) -> str:
    """With CR LF as the end of a line ``csv`` quotes both; with LF alone a CR in a text would begin another line."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue().removesuffix("\r\n") + "\n"


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def write_parquet(path: Path, lines: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Writes ``path``; a column of numbers and texts becomes texts. Raises HostError if pyarrow cannot be had."""
    environment.need("pyarrow", "parquet")
    import pyarrow
    import pyarrow.parquet

    made = {name: _uniform([line[name] for line in lines]) for name in columns}
    with atomic.replacing(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.table(made), str(temporary))


def _uniform(values: list[Any]) -> list[Any]:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int} and any(value is not None and not -(1 << 63) <= value < 1 << 63 for value in values):
        kinds = {int, float}  # Parquet's whole numbers have 64 bits
    if len(kinds) <= 1:
        return values
    if kinds <= {int, float}:
        return [None if value is None else float(value) for value in values]
    return [None if value is None else str(value) for value in values]


def plot(path: Path, lines: Sequence[dict[str, Any]], x: str, y: str) -> int:
    """Draws ``y`` against ``x`` to a .png or .svg and returns the number of points; the same table gives the same file.

    Raises InputError if no line has both as numbers, UsageError for another suffix, HostError if matplotlib cannot be
    had.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg"):
        raise UsageError("bad-output", f"--output: expected a .png or .svg file, found {path.name}")
    points = [
        (float(line[x]), float(line[y]))
        for line in lines
        if isinstance(line[x], int | float) and isinstance(line[y], int | float)
    ]
    if not points:
        raise InputError("nothing-to-plot", f"no result has numbers for both {x} and {y}")
    environment.need("matplotlib", "plot")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "boinc2docker"}):
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.subplots()
        axes.scatter([point[0] for point in points], [point[1] for point in points], s=14)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.set_title(f"{y} against {x}, {len(points)} points")
        for numbers, scale in ((0, axes.set_xscale), (1, axes.set_yscale)):
            if _wide([point[numbers] for point in points]):
                scale("log")
        axes.grid(visible=True, alpha=0.3)
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        with atomic.replacing(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=120, metadata=metadata)
    return len(points)


def _wide(values: Sequence[float]) -> bool:
    """Whether numbers are so far apart that a linear axis shows most of them as one."""
    return min(values) > 0 and max(values) / min(values) >= WIDE
