"""One column of results against another, as a picture: a point for each result, and medians where x repeats."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from boinc2docker import atomic, extras
from boinc2docker.errors import InputError, UsageError
from boinc2docker.plain_text import lines as harmless
from boinc2docker.plain_text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Scale = Literal["linear", "log"]
Point = tuple[float, float]

DECADES = 100
"""An axis is logarithmic if its values, all above 0, span this factor: a linear one would show most as one."""
GROUP = 3
"""So many points per value of x, on average, and medians are drawn."""
_POINTS, _MEDIANS = "#9aa5b1", "#b3261e"


@dataclass(frozen=True)
class Summary:
    """The points at one x: their median, and the quartiles around it."""

    x: float
    median: float
    lower: float
    upper: float


def plot(
    path: Path,
    lines: Sequence[Mapping[str, Any]],
    x: str,
    y: str,
    *,
    title: str,
    scales: Mapping[str, Scale] | None = None,
) -> int:
    """Draws the columns ``y`` against ``x`` to a .png or .svg and returns the number of points.

    ``scales`` forces the axes ``x`` and ``y``; otherwise the values choose. The same table makes the same file. Raises
    InputError if no line has both as numbers; UsageError for another suffix or a logarithmic axis with values that are
    not above 0; HostError without matplotlib.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("png", "svg"):
        raise UsageError("bad-output", f"--output: expected a .png or .svg file, found {path.name}")
    points = [(float(line[x]), float(line[y])) for line in lines if _is_number(line[x]) and _is_number(line[y])]
    if not points:
        raise InputError("nothing-to-plot", f"no result has numbers for both {x} and {y}")
    chosen = [
        scale_of(axis, name, [point[place] for point in points], (scales or {}).get(axis))
        for place, (axis, name) in enumerate((("x", x), ("y", y)))
    ]
    extras.need("plot", "results plot")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "boinc2docker"}):
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.subplots()
        axes.set_xscale(chosen[0])
        axes.set_yscale(chosen[1])
        _draw(axes, points)
        axes.set_xlabel(one_line(x), parse_math=False)
        axes.set_ylabel(one_line(y), parse_math=False)
        axes.set_title(harmless(title), parse_math=False)
        axes.grid(visible=True, alpha=0.3)
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        with atomic.replacing(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=120, metadata=metadata)
    return len(points)


def _draw(axes: Axes, points: Sequence[Point]) -> None:
    groups = summaries(points)
    axes.scatter(
        [x for x, _ in points], [y for _, y in points], s=14, color=_POINTS if groups else None, label="one result"
    )
    if groups:
        bars = [
            [group.median - group.lower for group in groups],
            [group.upper - group.median for group in groups],
        ]
        axes.errorbar(
            [group.x for group in groups],
            [group.median for group in groups],
            yerr=bars,
            fmt="o-",
            color=_MEDIANS,
            capsize=5,
            label="median; the bar spans the middle half of the results",
        )
        axes.legend()


def summaries(points: Sequence[Point]) -> list[Summary]:
    """The median and quartiles at each x, in order; none unless x repeats. Pure."""
    by_x: dict[float, list[float]] = {}
    for x, y in points:
        by_x.setdefault(x, []).append(y)
    if len(points) < GROUP * len(by_x):
        return []
    return [_summary(x, by_x[x]) for x in sorted(by_x)]


def _summary(x: float, values: list[float]) -> Summary:
    if len(values) == 1:
        return Summary(x, *values * 3)
    lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
    return Summary(x, median, lower, upper)


def scale_of(axis: str, name: str, values: Sequence[float], forced: Scale | None = None) -> Scale:
    """The scale of an axis for these values, unless ``forced``. Raises UsageError if they cannot be on a logarithmic
    one. Pure."""
    above = sum(value > 0 for value in values)
    if forced == "log" and above < len(values):
        raise UsageError(
            "bad-scale",
            f"--log {axis}: expected only values above 0, but {len(values) - above} of {len(values)} {name} are not",
        )
    if forced is not None:
        return forced
    return "log" if above == len(values) and max(values) / min(values) >= DECADES else "linear"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
