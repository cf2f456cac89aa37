"""Tables in result files: CSV, JSON, and columns separated by blanks, as named columns of numbers and texts.

A cell is a number if Python's ``float`` accepts it: an int if no float equals it, else a float. Sources: RFC 4180, RFC
8259.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from boinc2docker.errors import InputError

Cell = float | str
Columns = dict[str, list[Cell]]

CSV_SUFFIXES = {".csv": ",", ".tsv": "\t"}
JSON_SUFFIXES = {".json"}
TABLE_SUFFIXES = {".txt", ".dat", ".table", ".out"}

MOST_CELLS = 5_000_000
MOST_COLUMNS = 1_000_000
MOST_NAMES = 64 << 20
MOST_NAME = 1000
"""Limits that keep a file below about 1 GB of memory: cells, columns (each costs as much as ten cells), characters in
all column names, and in one column name of JSON."""


def is_table(name: str) -> bool:
    """Whether ``columns`` reads files of this name."""
    return PurePosixPath(name).suffix.lower() in {*CSV_SUFFIXES, *JSON_SUFFIXES, *TABLE_SUFFIXES}


def is_prose(name: str, data: bytes) -> bool:
    """Whether a file with the suffix of a blank-separated table is another text: its lines after the first, or its only
    line, are not all numbers."""
    if PurePosixPath(name).suffix.lower() not in TABLE_SUFFIXES:
        return False
    try:
        rows = _table_rows(data.decode("utf-8-sig"))
    except ValueError:
        return True
    return any(isinstance(cell(text), str) for row in rows[1:] or rows for text in row)


def columns(name: str, data: bytes, *, most: int = MOST_CELLS) -> Columns:
    """The columns of the file ``name``, in the format of its suffix. Raises InputError if it does not have that format
    (bad-table), or has more than about ``most`` cells (table-too-large).

    CSV and blank-separated tables: the first row names the columns if none of its cells is a number; else they are
    called "1", "2", and so on. In blank-separated tables, a ``#`` before the names is dropped, and other lines that
    begin with ``#`` are comments. JSON: one column per path, such as ``fit.mean``; a list's elements are its rows.
    """
    suffix = PurePosixPath(name).suffix.lower()
    try:
        text = data.decode("utf-8-sig")
        _require_cells(name, suffix, text, most)
        if suffix in CSV_SUFFIXES:
            # Not strict: some writers leave quotes inside unquoted fields.
            rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=CSV_SUFFIXES[suffix]) if row]
            return _named(rows, name)
        if suffix in JSON_SUFFIXES:
            return _flattened(json.loads(text), name)
        return _named(_table_rows(text), name)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # any parser error means a bad file: the bytes are a stranger's
        raise InputError(
            "bad-table", f"{ascii(name)[1:-1]} does not have the format of its suffix: {str(error)[:200]}"
        ) from error


def cell(text: str) -> Cell:
    """The number in ``text``; the text itself if it is not a number, or one too large for a float."""
    try:
        number = float(text) if "_" not in text else None
    except ValueError:
        return text.strip()
    if number is None:
        return text
    if math.isinf(number) and "inf" not in text.lower():
        return text.strip()
    return number if abs(number) < 1 << 53 else _whole(text, number)


def _whole(text: str, number: float) -> Cell:
    try:
        return _exact(int(text))
    except ValueError:
        return number


def _exact(whole: int) -> Cell:
    number = float(whole)
    return number if number == whole else whole


def _require_cells(name: str, suffix: str, text: str, most: int) -> None:
    if len(text) > most and _cells_at_most(suffix, text) > most:
        raise _too_large(name, f"{most} cells")


def _cells_at_most(suffix: str, text: str) -> int:
    """An upper bound of the cells in ``text``, without parsing it."""
    if suffix in CSV_SUFFIXES:
        return sum(map(text.count, (CSV_SUFFIXES[suffix], "\n", "\r"))) + 1
    if suffix in JSON_SUFFIXES:
        return sum(map(text.count, (",", "[", "{"))) + 1
    return sum(1 for _ in re.finditer(r"\S+", text))  # \S of str, not bytes: the same blanks as str.split


def _too_large(name: str, what: str) -> InputError:
    return InputError("table-too-large", f"{ascii(name)[1:-1]} has more than {what}")


def _table_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and lines[0].lstrip().startswith("#"):
        lines[0] = lines[0].lstrip()[1:]
        first = lines[0].split()
        if len(lines) > 1 and len(first) != len(lines[1].split()):
            lines = lines[1:]  # a comment, not a header
    return [line.split() for line in lines if not line.lstrip().startswith("#")]


def _named(rows: list[list[str]], name: str) -> Columns:
    if not rows:
        return {}
    width = len(rows[0])
    if width > MOST_COLUMNS:
        raise _too_large(name, f"{MOST_COLUMNS} columns")
    header = [text.strip() for text in rows[0]]
    names = [str(number + 1) for number in range(width)]
    if all(isinstance(cell(text), str) for text in header):
        if len(set(header)) != width:
            raise InputError("bad-table", f"{ascii(name)[1:-1]}: two columns have the same name")
        names, rows = header, rows[1:]
    found: Columns = {one: [] for one in names}
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            raise InputError("bad-table", f"{ascii(name)[1:-1]}: row {number} has {len(row)} cells, expected {width}")
        for one, text in zip(names, row, strict=True):
            found[one].append(cell(text))
    return found


def _flattened(value: Any, name: str) -> Columns:
    flat = _Flat(name)
    flat.walk(value, "")
    return flat.found


@dataclass
class _Flat:
    """The columns of the JSON file ``name`` so far, and the characters in their names."""

    name: str
    found: Columns = field(default_factory=dict)
    characters: int = 0

    def walk(self, value: Any, path: str) -> None:
        """Adds every leaf under its path. ``PATH[]`` holds the lengths of lists and ``PATH{}`` the shapes of their
        elements, so that values with the same columns are the same value."""
        if len(path) > MOST_NAME:  # before it is repeated for each element of a list
            raise _too_large(self.name, f"{MOST_NAME} characters in the name of a column")
        if isinstance(value, dict):
            if not value:
                self._add(path, "{}")
            for key in sorted(value):
                self.walk(value[key], f"{path}.{_key(key)}" if path else _key(key))
        elif isinstance(value, list):
            self._add(f"{path}[]", float(len(value)))
            if any(isinstance(one, dict | list) for one in value):
                for one in value:
                    self._add(f"{path}{{}}", _shape(one))
            for one in value:
                self.walk(one, path)
        else:
            self._add(path, _leaf(value))

    def _add(self, path: str, cell: Cell) -> None:
        self.characters += len(path) if path not in self.found else 0
        if self.characters > MOST_NAMES:
            raise _too_large(self.name, f"{MOST_NAMES} characters in the names of its columns")
        self.found.setdefault(path or "[value]", []).append(cell)


def _leaf(value: Any) -> Cell:
    if isinstance(value, float):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return _exact(value)
        except OverflowError:
            return str(value)
    return json.dumps(value, ensure_ascii=False)  # a text keeps its quotes: "1" is not the number 1


def _key(key: str) -> str:
    """A key as part of a path, quoted if ambiguous."""
    return json.dumps(key) if not key or set(key) & set('.[]{}"') else key


def _shape(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(sorted(value))
    return "list" if isinstance(value, list) else "value"
