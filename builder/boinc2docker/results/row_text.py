"""Rows of the index as text for people. Pure. Text from strangers is made harmless.

Numbers are rounded; ``--json`` has them in full.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from boinc2docker.plain_text import lines, one_line
from boinc2docker.results.index import STATES, Row

if TYPE_CHECKING:
    from boinc2docker.project.tries import Try
    from boinc2docker.results.reading import StoredResult

LAST_LINES = 20
"""How many of a job's last lines are shown."""
_REASON = 160
_TITLES = ("BATCH", "NAME", "STATE", "EXIT", "TIME")


def natural(text: str) -> tuple[tuple[str, int, str], ...]:
    """A sort key that puts 2 before 10."""
    parts = re.findall(r"([^0-9]*)0*([0-9]*)", text)
    return tuple((words, len(digits), digits) for words, digits in parts)


def kept(row: Row) -> bool:
    """Whether the container failed and its result was kept, as the job asked."""
    return row.state == "done" and row.metrics.get("kept") is True


def state(row: Row) -> str:
    """The state that a person sees."""
    return "kept" if kept(row) else row.state


def counted(rows: Sequence[Row]) -> dict[str, int]:
    """The number of rows in each state. Kept failures count as done, too."""
    return {**{name: sum(row.state == name for row in rows) for name in STATES}, "kept": sum(map(kept, rows))}


def listed(app: str, rows: Sequence[Row]) -> str:
    """A table of the rows under a header, and a line that counts them."""
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
    table = [(*_TITLES, "REASON" if any(reason for *_, reason in cells) else ""), *cells] if cells else []
    widths = [max((len(line[i]) for line in table), default=0) for i in range(len(_TITLES))]
    shown = [_line(line, widths) for line in table]
    counts = counted(rows)
    failures = f" ({counts['kept']} of them kept failures)" if counts["kept"] else ""
    totals = ", ".join(f"{counts[name]} {name}{failures if name == 'done' else ''}" for name in STATES)
    plural = "work unit" if len(rows) == 1 else "work units"
    return "\n".join([*shown, f"{len(rows)} {plural} of {app}: {totals}"])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Names to the left, numbers to the right."""
    *plain, reason = cells
    padded = [
        text.rjust(width) if i > 2 else text.ljust(width)
        for i, (text, width) in enumerate(zip(plain, widths, strict=True))
    ]
    return "  ".join([*padded, reason]).rstrip()


def described(result: StoredResult, row: Row, *, output: str, tries: Sequence[Try]) -> str:
    """Everything known about a result, in groups. ``output`` is the end of what the container wrote."""
    groups = [
        ("", list(_facts(row))),
        ("recorded by the project's rules", [(name, _value(name, value)) for name, value in row.recorded.items()]),
        ("reported by the job", list(_metrics(row))),
        ("files", list(_files(result, row))),
    ]
    width = max(len(name) + 2 * bool(title) for title, facts in groups for name, _ in facts)
    shown: list[str] = []
    for title, facts in groups:
        shown += [f"{title}:"] if title and facts else []
        for name, value in facts:
            shown += _laid_out(f"{f'  {name}' if title else name:<{width}}  ", value)
    for attempt in tries:
        code = f", exit code {attempt.exit_status}" if attempt.exit_status else ""
        shown.append(
            f"try {one_line(attempt.name)}: {attempt.outcome}{code}, host {attempt.host}, {seconds(attempt.seconds)}"
        )
        if attempt.outcome != "success":
            shown += [f"    {one_line(text)}" for text in attempt.message.strip().splitlines()[:3]]
            shown += _end(attempt.stderr, LAST_LINES)
    if output.strip():
        shown += ["the container's last lines:", *_end(output, LAST_LINES)]
    return "\n".join(shown)


def _laid_out(label: str, value: str) -> list[str]:
    """A fact; the further lines of its value begin below the first."""
    first, *others = value.split("\n")
    return [f"{label}{first}".rstrip(), *(f"{' ' * len(label)}{line}".rstrip() for line in others)]


def _facts(row: Row) -> Iterator[tuple[str, str]]:
    yield "app", row.app
    yield "name", one_line(row.name)
    yield "batch", one_line(row.batch)
    yield "state", state(row) + (" (the container failed; its job keeps such results)" if kept(row) else "")
    for name, value in (("id", row.id), ("exit code", row.exit_code), ("error mask", row.error_mask)):
        if value is not None:
            yield name, str(value)
    if row.reason:
        yield "reason", lines(row.reason)
    for name, amount in (("in the container", row.seconds), ("elapsed", row.runtime)):
        if amount is not None:
            yield name, seconds(amount)
    yield "recorded at", row.recorded_at


def _metrics(row: Row) -> Iterator[tuple[str, str]]:
    for name, value in row.metrics.items():
        repeated = name == "kept" or (name == "message" and str(value) in (row.reason or ""))
        if value not in (None, "") and not repeated:
            yield one_line(name), _value(name, value)


def _files(result: StoredResult, row: Row) -> Iterator[tuple[str, str]]:
    if result.path is not None:
        yield "result files", one_line(str(result.path))
    if result.log is not None:
        yield "log", one_line(str(result.log))
    if result.directory is not None:
        yield "directory", one_line(str(result.directory))
    for name, facts in row.outputs.items():
        yield "output", f"{one_line(name)}, {size(facts.get('bytes', 0))}, sha256:{facts.get('sha256', '')}"


def _value(name: str, value: Any) -> str:
    if isinstance(value, Mapping):  # the times of a job's phases, in seconds since the machine started
        in_order = sorted(value.items(), key=lambda item: item[1])
        return ", ".join(f"{one_line(str(key))} {_value('', moment)} s" for key, moment in in_order)
    if isinstance(value, int | float) and not isinstance(value, bool) and name.endswith("_bytes"):
        return size(value)
    return number(value) if isinstance(value, float) else lines(str(value))


def _end(text: str, most: int) -> list[str]:
    """The last lines of ``text``, indented."""
    every = lines(text).rstrip().splitlines()
    return [f"    {line[:500]}" for line in every[-most:] if line.strip() or len(every) > 1]


def number(value: float) -> str:
    """Six significant digits; whole numbers in full."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def seconds(value: float | None) -> str:
    """``8.5 s``, or ``1234 s`` without a fraction; empty for None."""
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
