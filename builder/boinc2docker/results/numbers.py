"""Compares the numbers in two files. Pure: bytes in, a difference or None out.

NumPy is loaded only for the first array: most results have none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from types import ModuleType

from boinc2docker import extras
from boinc2docker.errors import InputError
from boinc2docker.results.settings import Comparison, Tolerance
from boinc2docker.results.tables import Cell, Columns, columns, is_prose, is_table

_EXACT = Tolerance()


def is_numeric(name: str) -> bool:
    """Whether a file is compared by its numbers; all others are compared bit by bit."""
    return is_table(name) or PurePosixPath(name).suffix.lower() in {".npy", ".npz"}


def tolerance(rules: Sequence[Tolerance], file: str, column: str) -> Tolerance:
    """The first rule that fits both names; exact if there is none."""
    for rule in rules:
        if fnmatchcase(file, rule.files) and any(fnmatchcase(column, pattern) for pattern in rule.columns):
            return rule
    return _EXACT


def check(name: str, data: bytes, settings: Comparison) -> None:
    """Raises InputError unless ``data`` has the format of the suffix of ``name``; ``.txt`` files
    and the like may be any text."""
    if _is_array(name):
        _arrays().named_arrays(name, data, settings.file_bytes)
    else:
        _columns(name, data)


def difference(name: str, a: bytes, b: bytes, settings: Comparison) -> str | None:
    """Where two contents of the file ``name`` differ by more than the tolerances; None if they do not.

    Raises InputError if one of them does not have the format of the suffix, HostError for arrays if NumPy is not
    installed.
    """
    if _is_array(name):
        arrays = _arrays()
        first, second = (arrays.named_arrays(name, data, settings.file_bytes) for data in (a, b))
        if set(first) != set(second):
            return f"{name}: the arrays have other names"
        for column in sorted(first):
            rule = tolerance(settings.tolerances, name, column)
            if why := arrays.array_difference(first[column], second[column], rule.absolute, rule.relative):
                return f"{name} {column}: {why}"
        return None
    left, right = _columns(name, a), _columns(name, b)
    if left is None or right is None:
        return f"{name}: the text differs" if a != b else None
    if list(left) != list(right):
        return f"{name}: the columns have other names"
    for column, cells in left.items():
        why = _cells_difference(cells, right[column], tolerance(settings.tolerances, name, column))
        if why:
            return f"{name} {column}: {why}"
    return None


def close(a: float, b: float, rule: Tolerance) -> bool:
    """Symmetric, like math.isclose. NaN equals NaN, an infinity only itself."""
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    if not rule.absolute and not rule.relative:
        return a == b  # exact: an int stays an int if no float equals it
    return math.isclose(a, b, rel_tol=min(rule.relative, 1.0), abs_tol=rule.absolute)


def _columns(name: str, data: bytes) -> Columns | None:
    """The columns; None for a text that need not be a table and is compared bit by bit."""
    try:
        return columns(name, data)
    except InputError as error:
        if error.code == "bad-table" and is_prose(name, data):
            return None
        raise


def _cells_difference(a: list[Cell], b: list[Cell], rule: Tolerance) -> str | None:
    if len(a) != len(b):
        return f"{len(a)} and {len(b)} rows"
    for row, (x, y) in enumerate(zip(a, b, strict=True), 1):
        same = close(x, y, rule) if isinstance(x, int | float) and isinstance(y, int | float) else x == y
        if not same:
            return f"row {row}: {x!r:.60} and {y!r:.60}"
    return None


def _arrays() -> ModuleType:
    """The module for NumPy's files. Raises HostError if NumPy is not installed."""
    extras.need("arrays", "comparing NumPy files")
    from boinc2docker.results import arrays

    return arrays


def _is_array(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in {".npy", ".npz"}


def require_size(name: str, size: int, settings: Comparison) -> None:
    """Raises InputError for a file too large to be compared by number."""
    if size > settings.file_bytes:
        raise InputError(
            "file-too-large", f"{ascii(name)[1:-1]} has {size} bytes, validator.file_mb allows {settings.file_bytes}"
        )
