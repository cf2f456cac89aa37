"""Rows of the index as text for people. Pure; what strangers wrote is shown harmless.

Numbers are rounded to what a person reads; ``--json`` has them in full.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from boinc2docker.plain_text import lines, one_line
from boinc2docker.results.index import STATES, Row

if TYPE_CHECKING:
    from boinc2docker.project.tries import Try

LAST_LINES = 20
"""So many of a job's last lines are shown."""
_REASON = 160
_TITLES = ("BATCH", "NAME", "STATE", "EXIT", "TIME")


def natural(text: str) -> tuple[tuple[str, int, str], ...]:
    """A key for sorting in which 2 comes before 10."""
    parts = re.findall(r"([^0-9]*)0*([0-9]*)", text)
    return tuple((words, len(digits), digits) for words, digits in parts)


def kept(row: Row) -> bool:
    """Whether the row is the result of a container that failed, kept because its job asked for it."""
    return row.state == "done" and row.metrics.get("kept") is True


def state(row: Row) -> str:
    """The state, as a person sees it."""
    return "kept" if kept(row) else row.state


def counted(rows: Sequence[Row]) -> dict[str, int]:
    """How many rows are in each state; those that are ``kept`` count as done, too."""
    return {**{name: sum(row.state == name for row in rows) for name in STATES}, "kept": sum(map(kept, rows))}


def listed(app: str, rows: Sequence[Row]) -> str:
    """A table of the rows, with a header unless there are none, and a line that counts them."""
    cells = [
        (
            one_line(row.batch),
            one_line(row.name),
            state(row),
            "" if row.exit_code is None else str(row.exit_code),
            seconds(row.seconds),
            _cut(one_line(row.reason or ""), _REASON),
        )
        for row in rows
    ]
    table = [(*_TITLES, "REASON" if any(one[-1] for one in cells) else ""), *cells] if cells else []
    widths = [max((len(one[i]) for one in table), default=0) for i in range(len(_TITLES))]
    made = [_line(one, widths) for one in table]
    counts = counted(rows)
    also = f" ({counts['kept']} of them kept failures)" if counts["kept"] else ""
    told = ", ".join(f"{counts[name]} {name}{also if name == 'done' else ''}" for name in STATES)
    plural = "work unit" if len(rows) == 1 else "work units"
    return "\n".join([*made, f"{len(rows)} {plural} of {app}: {told}"])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Names to the left, numbers to the right."""
    *plain, reason = cells
    padded = [
        text.rjust(width) if i > 2 else text.ljust(width)
        for i, (text, width) in enumerate(zip(plain, widths, strict=True))
    ]
    return "  ".join([*padded, reason]).rstrip()


def described(row: Row, *, path: str, log: str | None, output: str, tries: Sequence[Try]) -> str:
    """All that is known of a row, a line for each fact. ``output`` is what the container wrote, its end."""
    facts = list(_facts(row, path, log))
    width = max(len(name) for name, _ in facts)
    made = [f"{name:<{width}}  {value}" for name, value in facts]
    for one in tries:
        code = f", exit code {one.exit_status}" if one.exit_status else ""
        made.append(f"try {one_line(one.name)}: {one.outcome}{code}, host {one.host}, {seconds(one.seconds)}")
        if one.outcome != "success":
            made += [f"    {one_line(text)}" for text in one.message.strip().splitlines()[:3]]
            made += _end(one.stderr, LAST_LINES)
    if output.strip():
        made += ["the container's last lines:", *_end(output, LAST_LINES)]
    return "\n".join(made)


def _facts(row: Row, path: str, log: str | None) -> Iterator[tuple[str, str]]:
    yield "app", row.app
    yield "name", one_line(row.name)
    yield "batch", one_line(row.batch)
    yield "state", state(row) + (" (the container failed; the job keeps such results)" if kept(row) else "")
    for name, value in (("id", row.id), ("exit code", row.exit_code), ("error mask", row.error_mask)):
        if value is not None:
            yield name, str(value)
    if row.reason:
        yield "reason", one_line(row.reason)
    for name, amount in (("in the container", row.seconds), ("elapsed", row.runtime)):
        if amount is not None:
            yield name, seconds(amount)
    for name, value in {**row.metrics, **row.recorded}.items():
        if (
            value not in (None, "")
            and name != "kept"
            and not (name == "message" and one_line(str(value)) in (row.reason or ""))
        ):
            yield one_line(name), _value(name, value)
    for name, facts in row.outputs.items():
        yield "output", f"{one_line(name)}, {size(facts.get('bytes', 0))}, sha256:{facts.get('sha256', '')}"
    yield "recorded at", row.recorded_at
    yield "directory", one_line(path)
    if log:
        yield "log", one_line(log)


def _value(name: str, value: Any) -> str:
    if isinstance(value, Mapping):  # the times of a job's phases
        in_order = sorted(value.items(), key=lambda item: item[1])
        return ", ".join(f"{one_line(str(key))} {_value('', one)}" for key, one in in_order)
    if isinstance(value, int | float) and not isinstance(value, bool) and name.endswith("_bytes"):
        return size(value)
    return number(value) if isinstance(value, float) else one_line(str(value))


def _end(text: str, most: int) -> list[str]:
    """The last lines of ``text``, indented."""
    rows = lines(text).rstrip().splitlines()
    return [f"    {row[:500]}" for row in rows[-most:] if row.strip() or len(rows) > 1]


def number(value: float) -> str:
    """Six significant digits, whole numbers in full."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def seconds(value: float | None) -> str:
    """``8.5 s``; longer times without a fraction; nothing for None."""
    if value is None:
        return ""
    return f"{value:.1f} s" if value < 1000 else f"{value:.0f} s"


def size(value: float) -> str:
    """``123 B``, ``4.5 kB``, ``67.8 MB``, in powers of 1000."""
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= length:
            return f"{value / length:.1f} {unit}"
    return f"{value:.0f} B"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
