"""``--sweep name=1..1000[:step]`` or ``name=a,b,c``: a batch without a file. Several sweeps make every combination."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from boinc2docker.errors import UsageError
from boinc2docker.submission.batch.batch_file import Row
from boinc2docker.submission.batch.placeholders import COLUMN

_NUMBER = r"(-?\d{1,15}(?:\.\d{1,15})?)"
_RANGE = re.compile(rf"{_NUMBER}\.\.{_NUMBER}(?::{_NUMBER})?", re.ASCII)
MOST = 10_000_000
"""The most jobs that sweeps may make."""


class Rows(Protocol):
    """The values of jobs, to be iterated any number of times. ``columns`` is None if they differ from row to row."""

    @property
    def columns(self) -> tuple[str, ...] | None: ...

    def __iter__(self) -> Iterator[Row]: ...


@dataclass(frozen=True)
class Sweep:
    """A column and its values: a list, or a range of exact decimal numbers with as many digits as its ends."""

    column: str
    first: Decimal = Decimal(0)
    step: Decimal = Decimal(1)
    count: int = 0
    width: int = 0
    listed: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.listed) or self.count

    def __iter__(self) -> Iterator[str]:
        yield from self.listed
        for number in range(self.count):
            value = self.first + number * self.step
            digits = f"{abs(value):f}".rjust(self.width, "0")
            yield f"-{digits}" if value < 0 else digits


def parse(text: str) -> Sweep:
    """Reads ``NAME=FIRST..LAST[:STEP]`` or ``NAME=VALUE,VALUE,…``. Raises UsageError."""
    column, equals, values = text.partition("=")
    if not equals or not COLUMN.fullmatch(column):
        raise UsageError(
            "bad-sweep", f"--sweep: expected NAME=1..1000, NAME=0..1:0.1 or NAME=a,b,c, found {text[:80]!a}"
        )
    found = _RANGE.fullmatch(values)
    if found is None:
        listed = tuple(values.split(","))
        if "" in listed or not values.isprintable():
            raise UsageError("bad-sweep", f"--sweep {column}: {values[:80]!a} has an empty or unprintable value")
        return Sweep(column, listed=listed)
    first, last, step = Decimal(found[1]), Decimal(found[2]), Decimal(found[3] or 1)
    if step == 0:
        raise UsageError("bad-sweep", f"--sweep {column}: expected a step other than 0, found {values[:80]}")
    if (last - first) / step < 0:
        raise _wrong_way(column, found[1], found[2], step)
    count = int((last - first) / step) + 1
    if count > MOST:
        raise UsageError("bad-sweep", f"--sweep {column}: expected at most {MOST} values, found {count}")
    places = -min(int(one.as_tuple().exponent) for one in (first, step))
    padded = any(re.match(r"-?0\d", one) for one in (found[1], found[2]))
    width = max(len(one.lstrip("-").partition(".")[0]) for one in found.group(1, 2)) if padded else 0
    exact = Decimal(1).scaleb(-places)
    return Sweep(column, first.quantize(exact), step.quantize(exact), count, width and width + places + (places > 0))


def _wrong_way(column: str, first: str, last: str, step: Decimal) -> UsageError:
    if step > 0:
        problem, hint = f"{first}..{last} runs downwards", f"{column}={last}..{first}, or {column}={first}..{last}:-1"
    else:
        problem, hint = f"{first}..{last} does not run downwards, but its step is {step}", "drop the minus of the step"
    return UsageError("bad-sweep", f"--sweep {column}: {problem}", hint=hint)


@dataclass(frozen=True)
class Combinations:
    """Each row of ``rows`` (None: one empty row) with every combination of the sweeps, the last varying fastest."""

    sweeps: tuple[Sweep, ...]
    rows: Rows | None = None

    def __post_init__(self) -> None:
        names = [one.column for one in self.sweeps] + list((self.rows.columns if self.rows else None) or ())
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UsageError("bad-sweep", f"two columns are called {twice!r}", hint="rename one of them")
        count = 1
        for one in self.sweeps:
            count *= len(one)
        if count > MOST:
            raise UsageError("bad-sweep", f"--sweep: expected at most {MOST} combinations, found {count}")

    @property
    def columns(self) -> tuple[str, ...] | None:
        own = tuple(one.column for one in self.sweeps)
        if self.rows is None:
            return own
        return None if self.rows.columns is None else (*self.rows.columns, *own)

    def __iter__(self) -> Iterator[Row]:
        number = 0
        for row in self.rows or (Row(""),):
            if row.problem:
                yield row
                continue
            for values in _combined(self.sweeps):
                number += 1
                if twice := row.values.keys() & values.keys():
                    yield Row(row.where, problem=f"it sets {min(twice)!r}, and so does --sweep")
                    break
                yield Row(row.where or f"combination {number}", {**row.values, **values})


def _combined(sweeps: Sequence[Sweep]) -> Iterable[dict[str, str]]:
    if not sweeps:
        yield {}
        return
    *others, last = sweeps
    for values in _combined(others):
        for value in last:
            yield {**values, last.column: value}
