"""Do two files mean the same numbers? Pure: bytes in, a difference or None out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

import numpy

from builder.errors import InputError
from builder.results.arrays import Array, bad_array, read_npy, read_npz
from builder.results.settings import Comparison, Tolerance
from builder.results.tables import Cell, columns, is_table

_EXACT = Tolerance()


def is_numeric(name: str) -> bool:
    """True for files that are compared by their numbers; all others are compared bit by bit."""
    return is_table(name) or PurePosixPath(name).suffix.lower() in {".npy", ".npz"}


def tolerance(rules: Sequence[Tolerance], file: str, column: str) -> Tolerance:
    """The first rule that fits both names; exact without one."""
    for rule in rules:
        if fnmatchcase(file, rule.files) and any(fnmatchcase(column, pattern) for pattern in rule.columns):
            return rule
    return _EXACT


def check(name: str, data: bytes, settings: Comparison) -> None:
    """Raises InputError unless ``data`` is what the suffix of ``name`` says."""
    _arrays(name, data, settings) if _is_array(name) else columns(name, data)


def difference(name: str, a: bytes, b: bytes, settings: Comparison) -> str | None:
    """Where the two contents of file ``name`` differ by more than the tolerances; None if they do not.

    Raises InputError if one of them is not what the file's name says.
    """
    if _is_array(name):
        first, second = _arrays(name, a, settings), _arrays(name, b, settings)
        if set(first) != set(second):
            return f"{name}: other arrays"
        for column in sorted(first):
            if why := _array_difference(first[column], second[column], tolerance(settings.tolerances, name, column)):
                return f"{name} {column}: {why}"
        return None
    left, right = columns(name, a), columns(name, b)
    if list(left) != list(right):
        return f"{name}: other columns"
    for column, cells in left.items():
        why = _cells_difference(cells, right[column], tolerance(settings.tolerances, name, column))
        if why:
            return f"{name} {column}: {why}"
    return None


def close(a: float, b: float, rule: Tolerance) -> bool:
    """Symmetric, as math.isclose; NaN equals NaN, an infinity only itself."""
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return math.isclose(a, b, rel_tol=min(rule.relative, 1.0), abs_tol=rule.absolute)


def _cells_difference(a: list[Cell], b: list[Cell], rule: Tolerance) -> str | None:
    if len(a) != len(b):
        return f"{len(a)} and {len(b)} rows"
    for row, (x, y) in enumerate(zip(a, b, strict=True), 1):
        same = close(x, y, rule) if isinstance(x, float) and isinstance(y, float) else x == y
        if not same:
            return f"row {row}: {x!r:.60} and {y!r:.60}"
    return None


def _is_array(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in {".npy", ".npz"}


def _arrays(name: str, data: bytes, settings: Comparison) -> dict[str, Array]:
    if name.lower().endswith(".npz"):
        found = read_npz(name, data, settings.file_bytes)
    else:
        found = {"array": read_npy(name, data)}
    return {path: array for key, value in found.items() for path, array in _fields(name, key, value).items()}


def _fields(name: str, key: str, array: Array) -> dict[str, Array]:
    """The fields of a structured array as arrays of their own; plain ones as they are."""
    if array.dtype.names is None:
        if array.dtype.kind not in "biufcSUmM":
            raise bad_array(name, f"values of type {array.dtype} cannot be compared")
        return {key: array}
    found: dict[str, Array] = {}
    for field in array.dtype.names:
        found |= _fields(name, f"{key}.{field}" if key != "array" else field, array[field])
    return found


def _array_difference(a: Array, b: Array, rule: Tolerance) -> str | None:
    if a.shape != b.shape:
        return f"shapes {a.shape} and {b.shape}"
    if a.dtype.kind not in "biufc" or b.dtype.kind not in "biufc":
        same = a.dtype.kind == b.dtype.kind and bool(numpy.array_equal(a, b))
        return None if same else "other values"
    if a.dtype.kind in "biu" and b.dtype.kind in "biu" and not (rule.absolute or rule.relative):
        return None if bool(numpy.array_equal(a, b)) else "other values"
    kind = "complex128" if "c" in (a.dtype.kind, b.dtype.kind) else "float64"
    with numpy.errstate(all="ignore"):
        x, y = a.astype(kind), b.astype(kind)
        allowed = numpy.maximum(rule.absolute, rule.relative * numpy.maximum(abs(x), abs(y)))
        finite = numpy.isfinite(x) & numpy.isfinite(y)
        near = (finite & (abs(x - y) <= allowed)) | (x == y) | (numpy.isnan(x) & numpy.isnan(y))
    if bool(near.all()):
        return None
    where = int(numpy.argmin(near))
    return f"element {where}: {x.flat[where]!r} and {y.flat[where]!r}"


def require_size(name: str, size: int, settings: Comparison) -> None:
    """Raises InputError for files that are too large to be compared by number."""
    if size > settings.file_bytes:
        raise InputError(
            "file-too-large", f"{ascii(name)[1:-1]} has {size} bytes, validator.file_mb allows {settings.file_bytes}"
        )
