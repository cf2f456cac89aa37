"""A table as CSV, Parquet or a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from builder import atomic, environment
from builder.errors import InputError, UsageError


def as_csv(lines: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """Pure: RFC 4180 with LF; absent values are empty."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


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
        axes.grid(visible=True, alpha=0.3)
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        with atomic.replacing(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=120, metadata=metadata)
    return len(points)
