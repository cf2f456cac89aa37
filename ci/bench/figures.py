"""Figures of two runs of ``bench``, or of two releases, held against each other. Pure but for ``load``.

Any file of JSON with numbers in it will do (``bench --json``, a release's measurements or sizes): a figure's name is
its path in the file, so what a newer version measures as well needs no change here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from boinc2docker.errors import InputError

_OF_RUN = ("guest_memory_mb", "host_memory_mb")
"""What of a job's own report is a figure; its phases stand beside it."""
_NOT_FIGURES = ("format",)

_MORE = re.compile(r"(^|/|_)per_second(_[^/]*)?$")
_NEITHER = re.compile(
    r"(^|/)(against_[^/]*|one_by_one[^/]*|classic(/.*)?"
    r"|few_rows|many_rows|megabytes|image_mb|compressed_mb|staged_mb|jobs|singles|exit_code)$"
)
_OF_MACHINE = re.compile(r"^(phases/.*|store/(cold|warm)|files/seconds)$")


class Better(Enum):
    """Which way a figure is better. Neither: it is what was compared with, or how large the work was."""

    LESS = "less"
    MORE = "more"
    NEITHER = "neither"


def better(name: str) -> Better:
    """Which way the figure of this name is better."""
    return Better.MORE if _MORE.search(name) else Better.NEITHER if _NEITHER.search(name) else Better.LESS


def of_machine(name: str) -> bool:
    """True for seconds of a machine, which depend on how it is accelerated more than on anything of ours."""
    return _OF_MACHINE.match(name) is not None


def acceleration(value: Mapping[str, Any]) -> str | None:
    """What ran the machine that a file's figures are of, if it tells."""
    run = value.get("run")
    found = run.get("acceleration") if isinstance(run, Mapping) else None
    return found if isinstance(found, str) else None


@dataclass(frozen=True)
class Row:
    """A figure in both files (None where it is absent) and their ratio, new to old."""

    name: str
    old: float | None
    new: float | None
    ratio: float | None

    def __str__(self) -> str:
        if self.ratio is not None:
            return f"{self.name}: {self.old:g} → {self.new:g} ({self.ratio:.2f}×)"
        if self.old is None:
            return f"{self.name}: {self.new:g} (new)"
        return f"{self.name}: {self.old:g} (gone)" if self.new is None else f"{self.name}: {self.old:g} → {self.new:g}"


def load(path: Path) -> dict[str, Any]:
    """A file's JSON object. Raises InputError."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError("bad-figures", f"cannot read the figures in {path}: {error}") from error
    if not isinstance(value, dict):
        raise InputError("bad-figures", f"{path}: expected a JSON object, as `bench --json` prints it")
    return value


def read(path: Path) -> dict[str, Any]:
    """A file's JSON object with figures in it. Raises InputError if there are none."""
    found = load(path)
    if not flatten(found):
        raise InputError("bad-figures", f"{path} holds no figures", hint="`ci/invoke bench --json` prints some")
    return found


def flatten(value: Mapping[str, Any]) -> dict[str, float]:
    """Every number by its path, joined by slashes; entries of lists by their name."""
    return dict(_numbers("", value))


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        if name not in _NOT_FIGURES:
            yield name, value
    elif isinstance(value, Mapping):
        wanted = {key: value.get(key) for key in _OF_RUN} if name == "run" else value
        for key, inner in wanted.items():
            yield from _numbers(f"{name}/{key}" if name else str(key), inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _numbers(f"{name}/{_title(inner, number)}", inner)


def _title(value: Any, number: int) -> str:
    if not isinstance(value, Mapping) or "name" not in value:
        return str(number)
    against = f" against {value['against']}" if "against" in value else ""
    return f"{value['name']}{against}"


def compare(old: Mapping[str, float], new: Mapping[str, float]) -> list[Row]:
    """One row a figure of either, the new file's order first."""
    names = [*new, *(name for name in old if name not in new)]
    return [Row(name, old.get(name), new.get(name), _ratio(old.get(name), new.get(name))) for name in names]


def _ratio(old: float | None, new: float | None) -> float | None:
    return round(new / old, 4) if old and new is not None else None
