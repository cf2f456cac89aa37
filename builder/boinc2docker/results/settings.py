"""The parts of an app's ``app.toml`` that say what happens to its results.

    name = "boinc2docker"            # or [app] name

    [results]
    directory = "results"            # relative to the project: to this file
    unpack = true
    outputs = ["results.tgz", "boinc_log.tgz"]
    batch_pattern = "^(?P<batch>.+)_[0-9]+$"    # where a work unit's name holds its batch; {app} is the app's name
    tokens = ["wu_id", "files"]      # only if the daemon is registered with tokens (servers before 1.6)
    rules = "rules.py"
    [results.limits]
    unpacked_mb = 4096
    files = 100000
    ratio = 200

    [validator]
    method = "numeric"               # bitwise, numeric or trivial
    ignore = ["*.log"]
    file_mb = 64                     # larger tables and arrays are not compared by number: the result is invalid, as
                                     # with tables of more cells than tables.MOST_CELLS
    [[validator.tolerance]]          # the first that fits a file and a column counts
    files = "*.csv"
    columns = ["pi*"]
    absolute = 1e-6
    relative = 1e-9

Other tables belong to other parts and are not looked at.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from boinc2docker.errors import InputError
from boinc2docker.results.archive import Limits

BATCH_PATTERN = "^{app}_(?P<batch>.+)_[0-9]{1,7}$"
"""How submit names the jobs of a batch. A single job ends with a hash or a time, which are longer."""

TOKENS = frozenset({"files", "files2", "wu_id", "wu_name", "result_id", "runtime", "batch_id"})


class Method(Enum):
    """How a result is judged."""

    BITWISE = "bitwise"
    NUMERIC = "numeric"
    TRIVIAL = "trivial"


@dataclass(frozen=True)
class Tolerance:
    """Numbers are equal if they differ by at most ``absolute``, or ``relative`` times the larger one."""

    files: str = "*"
    columns: tuple[str, ...] = ("*",)
    absolute: float = 0.0
    relative: float = 0.0


@dataclass(frozen=True)
class Comparison:
    """What counts when two results are compared; sizes in bytes."""

    method: Method = Method.BITWISE
    ignore: tuple[str, ...] = ()
    tolerances: tuple[Tolerance, ...] = ()
    file_bytes: int = 64 << 20


@dataclass(frozen=True)
class Settings:
    """Everything about the results of one app. ``project`` is the directory of its app.toml: BOINC's project, where the
    app is installed."""

    app: str
    directory: Path
    project: Path = Path()
    unpack: bool = True
    outputs: tuple[str, ...] = ("results.tgz", "boinc_log.tgz")
    batch_pattern: re.Pattern[str] | None = None
    tokens: tuple[str, ...] = ()
    rules: Path | None = None
    limits: Limits = field(default_factory=Limits)
    comparison: Comparison = field(default_factory=Comparison)

    @property
    def log_output(self) -> str | None:
        """Which of the outputs is the log archive."""
        return next((name for name in self.outputs[1:] if "log" in name), None)


def bad(message: str) -> InputError:
    return InputError("bad-settings", f"app.toml: {message}")


def load(path: Path) -> Settings:
    """The settings in ``path``; relative paths in it count from its directory. Raises InputError."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError("no-settings", f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise bad(str(error)) from error
    return parse(table, path.parent)


def parse(table: Mapping[str, Any], base: Path) -> Settings:
    """Pure: the settings in an already parsed app.toml. Raises InputError that names the key."""
    results = _Table(table, "results")
    limits = _Table(results.values, "limits", "results.limits")
    app = table.get("name", _Table(table, "app").values.get("name"))
    if not isinstance(app, str) or not re.fullmatch(r"(?!failed$)[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", app):
        raise bad(f"name: expected the app's name, found {app!r}")
    outputs = results.words("outputs", ("results.tgz", "boinc_log.tgz"))
    if len(set(outputs)) != len(outputs) or not all(re.fullmatch(r"[A-Za-z0-9_][\w.-]*", one) for one in outputs):
        raise bad("results.outputs: expected different plain file names")
    tokens = results.words("tokens", ())
    if tokens and (unknown := set(tokens) - TOKENS):
        raise bad(f"results.tokens: {', '.join(sorted(unknown))} is no token of script_assimilator")
    rules = results.text("rules", "")
    found = Settings(
        app=app,
        directory=base / results.text("directory", "results"),
        project=base,
        unpack=results.flag("unpack", True),
        outputs=outputs,
        batch_pattern=_pattern(results.text("batch_pattern", "") or BATCH_PATTERN, app),
        tokens=tokens,
        rules=base / rules if rules else None,
        limits=Limits(
            unpacked_bytes=int(limits.number("unpacked_mb", 4096, least=1) * 1e6),
            files=int(limits.number("files", 100_000, least=1)),
            ratio=int(limits.number("ratio", 200, least=1)),
        ),
        comparison=_comparison(_Table(table, "validator")),
    )
    results.no_more()
    limits.no_more()
    return found


def _comparison(table: _Table) -> Comparison:
    name = table.text("method", "bitwise")
    if name not in {method.value for method in Method}:
        raise bad(f"validator.method: expected bitwise, numeric or trivial, found {name!r}")
    rows = table.values.get("tolerance", [])
    table.known.add("tolerance")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise bad("validator.tolerance: expected [[validator.tolerance]] tables")
    found = Comparison(
        method=Method(name),
        ignore=table.words("ignore", ()),
        tolerances=tuple(_tolerance(row) for row in rows),
        file_bytes=int(table.number("file_mb", 64, least=1) * 1e6),
    )
    table.no_more()
    return found


def _tolerance(row: Mapping[str, Any]) -> Tolerance:
    table = _Table({"tolerance": row}, "tolerance", "validator.tolerance")
    found = Tolerance(
        files=table.text("files", "*"),
        columns=table.words("columns", ("*",)),
        absolute=table.number("absolute", 0.0, least=0),
        relative=table.number("relative", 0.0, least=0),
    )
    table.no_more()
    return found


def _pattern(text: str, app: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text.replace("{app}", re.escape(app)))
    except re.error as error:
        raise bad(f"results.batch_pattern: {error}") from error
    if "batch" not in pattern.groupindex:
        raise bad("results.batch_pattern: expected a group (?P<batch>…)")
    return pattern


class _Table:
    """One table, read key by key, so that a misspelt key is told."""

    def __init__(self, parent: Mapping[str, Any], key: str, name: str | None = None) -> None:
        values = parent.get(key, {})
        self.name = name or key
        if not isinstance(values, dict):
            raise bad(f"{self.name}: expected a table")
        self.values: dict[str, Any] = values
        self.known: set[str] = {"limits"} if key == "results" else set()

    def _value(self, key: str, default: Any, kinds: tuple[type, ...], expected: str) -> Any:
        self.known.add(key)
        value = self.values.get(key, default)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise bad(f"{self.name}.{key}: expected {expected}, found {value!r}")
        return value

    def text(self, key: str, default: str) -> str:
        return str(self._value(key, default, (str,), "a text"))

    def flag(self, key: str, default: bool) -> bool:
        return bool(self._value(key, default, (bool,), "true or false"))

    def number(self, key: str, default: float, *, least: float) -> float:
        value = float(self._value(key, default, (int, float), "a number"))
        if not math.isfinite(value) or value < least:
            raise bad(f"{self.name}.{key}: expected a number of at least {least}, found {value}")
        return value

    def words(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self._value(key, default, (list, tuple), "a list of texts")
        if not all(isinstance(one, str) for one in value):
            raise bad(f"{self.name}.{key}: expected a list of texts, found {value!r}")
        return tuple(value)

    def no_more(self) -> None:
        """Raises for keys nobody asked for."""
        if unknown := sorted(set(self.values) - self.known):
            raise bad(f"{self.name}: unknown key {', '.join(unknown)}")
