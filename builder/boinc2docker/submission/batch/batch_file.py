"""A batch as a file: one job per line, as JSON objects or CSV with a header. Read as a stream; errors name the line."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from boinc2docker.atomic import explain
from boinc2docker.errors import InputError
from boinc2docker.submission.batch.placeholders import COLUMN

MOST = 1 << 20
"""The longest line, in bytes."""


@dataclass(frozen=True)
class Row:
    """A job's values by column, and their source: ``jobs.csv, line 17``. A bad row has a ``problem`` instead."""

    where: str
    values: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


class _BadLineError(Exception):
    """The fault of one line; the next may be right."""


class BatchFile:
    """A file that can be read any number of times. Its first character tells the format: ``{`` begins JSON lines.

    ``columns`` is None for JSON lines, whose columns may differ. Raises InputError for a file that cannot be read, has
    another format, or has a bad header.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        self.path = path
        self.name = name or str(path)
        with self._open() as stream:
            first = next(_lines(stream, self._fail), (0, ""))[1].lstrip()
        self.is_json = first.startswith("{")
        if not first:
            self._fail("it is empty: expected one JSON object per line, or CSV with a header")
        if first.startswith("["):
            self._fail("expected one JSON object per line, found an array", "write each object on a line of its own")
        self._header, self._delimiter = ((), ",") if self.is_json else self._read_header(first)

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The header of CSV."""
        return None if self.is_json else self._header

    def __iter__(self) -> Iterator[Row]:
        with self._open() as stream:
            lines = _lines(stream, self._fail)
            yield from self._json_rows(lines) if self.is_json else self._csv_rows(lines)

    def _open(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise explain(error, f"read the batch {self.name}") from error

    def _fail(self, problem: str, hint: str | None = None) -> NoReturn:
        raise InputError("bad-batch", f"{self.name}: {problem}", hint=hint)

    def _read_header(self, first: str) -> tuple[tuple[str, ...], str]:
        delimiter = next((sign for sign in ",;\t" if sign in first), ",")
        try:
            names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter, strict=True))]
        except (csv.Error, StopIteration) as error:
            self._fail(f"line 1: {error}")
        for name in names:
            if not COLUMN.fullmatch(name):
                self._fail(
                    f"line 1: {name[:80]!a} is not a column name",
                    "CSV begins with a line of column names: letters, digits, _ and -",
                )
            if names.count(name) > 1:
                self._fail(f"line 1: two columns are called {name!r}")
        return tuple(names), delimiter

    def _json_rows(self, lines: Iterable[tuple[int, str]]) -> Iterator[Row]:
        for number, text in lines:
            if text.strip():
                try:
                    yield Row(f"{self.name}, line {number}", _json_values(text))
                except _BadLineError as problem:
                    yield Row(f"{self.name}, line {number}", problem=str(problem))

    def _csv_rows(self, lines: Iterable[tuple[int, str]]) -> Iterator[Row]:
        at = 0

        def texts() -> Iterator[str]:
            nonlocal at
            for number, text in lines:
                at = number
                yield text

        reader = csv.reader(texts(), delimiter=self._delimiter, strict=True)
        next(reader)
        while True:
            began = at + 1
            try:
                fields = next(reader, None)
            except csv.Error as error:
                yield Row(f"{self.name}, line {began}", problem=f"it is not CSV: {error}")
                continue
            if fields is None:
                return
            if not fields:
                continue
            if len(fields) != len(self._header):
                problem = f"expected {len(self._header)} fields ({', '.join(self._header)[:80]}), found {len(fields)}"
                yield Row(f"{self.name}, line {began}", problem=problem)
                continue
            yield Row(f"{self.name}, line {began}", dict(zip(self._header, fields, strict=True)))


def _lines(stream: BinaryIO, fail: Any) -> Iterator[tuple[int, str]]:
    """Lines with their numbers from 1, without leading blank lines and without a byte order mark."""
    number, started = 0, False
    while raw := stream.readline(MOST + 1):
        number += 1
        if len(raw) > MOST:
            fail(f"line {number} has more than {MOST} bytes")
        if number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            fail(f"line {number} is not UTF-8 text")
        started = started or bool(text.strip())
        if started:
            yield number, text


def _json_values(text: str) -> dict[str, str]:
    try:
        found = json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise _BadLineError(f"it is not JSON: {error.msg.lower()} at character {error.pos + 1}") from error
    except RecursionError as error:
        raise _BadLineError("it is nested too deeply") from error
    if not isinstance(found, dict):
        raise _BadLineError(f"expected a JSON object, found {text.strip()[:40]!a}")
    return {name: _text(name, value) for name, value in found.items()}


def _refuse(text: str) -> NoReturn:
    raise _BadLineError(f"{text} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if not COLUMN.fullmatch(name):
            raise _BadLineError(f"{name[:80]!a} is not a column name: expected letters, digits, _ and -")
        if names.count(name) > 1:
            raise _BadLineError(f"it has {name!r} twice")
    return dict(pairs)


def _text(name: str, value: Any) -> str:
    """A value as text; numbers stay as they are written."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    raise _BadLineError(f"{name}: expected a text, a number, true or false, found {json.dumps(value)[:40]}")
