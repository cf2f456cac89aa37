"""Reads NumPy files from strangers: never unpickles, never uses more memory than the file's own size.

Formats: ``.npy`` (numpy.lib.format) and ``.npz``, a ZIP archive of ``.npy`` files.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy

from boinc2docker.errors import BuilderError, InputError

Array = numpy.ndarray[Any, Any]

MOST_DIMENSIONS = 32
MOST_ARRAYS = 10_000
"""In one file; each field of a structured array counts."""
BLOCK_BYTES = 1 << 20
"""Bytes of an array compared at a time. A comparison needs about ten times as much memory."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The methods NumPy writes. bzip2 and LZMA would raise other errors and use unbounded memory."""
_DIRECTORY_ENTRY = b"PK\x01\x02"


def bad_array(name: str, why: str) -> InputError:
    """The file ``name`` is not what its suffix says."""
    return InputError("bad-array", f"{ascii(name)[1:-1]}: {why}")


@contextmanager
def _hostile(name: str, what: str) -> Iterator[None]:
    """Turns any error of NumPy or zipfile into "the file is bad", so that it never means "try again"."""
    try:
        yield
    except (BuilderError, MemoryError):
        raise
    except Exception as error:
        raise bad_array(name, f"{what}: {ascii(str(error))[1:200]}") from error


def read_npy(name: str, data: bytes) -> Array:
    """The array in a ``.npy`` file. Raises InputError for Python objects, a header that does not match the data, and
    any other file."""
    stream = io.BytesIO(data)
    try:
        shape, fortran, dtype = _header(stream)
    except Exception as error:  # including MemoryError: Python's parser raises it for nested headers of 10 kB
        raise bad_array(name, f"not a NumPy file: {ascii(str(error))[1:200]}") from error
    left = len(data) - stream.tell()
    # Before anything is allocated: a header may promise terabytes.
    if dtype.hasobject:
        raise bad_array(name, "it holds Python objects, which are not read")
    if dtype.subdtype is not None:
        raise bad_array(name, "its elements are arrays themselves")
    if len(shape) > MOST_DIMENSIONS or any(type(length) is not int for length in shape):
        raise bad_array(name, f"the shape {shape!r:.80} is not at most {MOST_DIMENSIONS} whole numbers")
    if min(shape, default=0) < 0 or not dtype.itemsize or math.prod(shape) * dtype.itemsize != left:
        raise bad_array(name, f"{left} bytes do not make an array of shape {shape!r:.80} of {dtype.itemsize} bytes")
    order: Literal["F", "C"] = "F" if fortran else "C"
    with _hostile(name, "not an array"):
        if not left:
            return numpy.empty(shape, dtype)
        return numpy.frombuffer(data, dtype, offset=len(data) - left).reshape(shape, order=order)


def _header(stream: io.BytesIO) -> tuple[tuple[int, ...], bool, numpy.dtype[Any]]:
    version = numpy.lib.format.read_magic(stream)
    if version == (1, 0):
        return numpy.lib.format.read_array_header_1_0(stream)
    if version == (2, 0):
        return numpy.lib.format.read_array_header_2_0(stream)
    raise ValueError(f"format {version[0]}.{version[1]}, expected 1.0 or 2.0")


def read_npz(name: str, data: bytes, limit: int) -> dict[str, Array]:
    """The arrays in a ``.npz`` file by name, at most ``limit`` bytes in all. Raises InputError."""
    if data.count(_DIRECTORY_ENTRY) > MOST_ARRAYS:  # zipfile allocates 600 bytes for each 46
        raise bad_array(name, f"it has more than {MOST_ARRAYS} arrays")
    arrays: dict[str, Array] = {}
    with _hostile(name, "not a NumPy archive"), zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            key = info.filename.removesuffix(".npy")
            if key in arrays:
                raise bad_array(name, "two arrays have the same name")
            if info.compress_type not in _METHODS:
                raise bad_array(name, "an array is compressed by a method that NumPy does not use")
            with archive.open(info) as member:
                content = member.read(limit + 1)
            limit -= len(content)
            if limit < 0:
                raise bad_array(name, "the arrays are larger than validator.file_mb allows")
            arrays[key] = read_npy(f"{name}:{info.filename}", content)
    return arrays


def named_arrays(name: str, data: bytes, limit: int) -> dict[str, Array]:
    """The arrays in the file ``name``; the fields of a structured array count as arrays. Raises InputError."""
    whole = read_npz(name, data, limit) if name.lower().endswith(".npz") else {"array": read_npy(name, data)}
    arrays: dict[str, Array] = {}
    with _hostile(name, "not arrays"):
        for key, value in whole.items():
            for path, array in _fields(name, key, value):
                if path in arrays:
                    raise bad_array(name, "two arrays or fields have the same name")
                arrays[path] = array
                if len(arrays) > MOST_ARRAYS:
                    raise bad_array(name, f"it has more than {MOST_ARRAYS} arrays")
    return arrays


def _fields(name: str, key: str, array: Array) -> Iterator[tuple[str, Array]]:
    """The fields of a structured array as separate arrays; a plain array as it is."""
    if array.dtype.names is None:
        if array.dtype.kind not in "biufcSUmM":
            raise bad_array(name, f"values of type {ascii(str(array.dtype))[1:-1]:.80} cannot be compared")
        if not array.dtype.itemsize:  # a field of empty texts: NumPy would read a byte beyond each
            raise bad_array(name, "values of zero bytes cannot be compared")
        yield key, array
        return
    for field in array.dtype.names:
        yield from _fields(name, f"{key}.{field}" if key != "array" else field, array[field])


def array_difference(a: Array, b: Array, absolute: float, relative: float) -> str | None:
    """Where two arrays differ by more than both tolerances; None if they do not. Works block by block."""
    if a.shape != b.shape:
        return f"shapes {a.shape} and {b.shape}"
    if a.dtype.kind != b.dtype.kind and not {a.dtype.kind, b.dtype.kind} <= set("biufc"):
        return "the values differ"
    step = max(1, BLOCK_BYTES // max(a.itemsize, b.itemsize, 16))
    for start in range(0, a.size, step):
        # ``flat`` is in the order of the indices, whatever the memory layout; a slice of it copies only the block.
        why = _block_difference(a.flat[start : start + step], b.flat[start : start + step], absolute, relative, start)
        if why is not None:
            return why
    return None


def _block_difference(a: Array, b: Array, absolute: float, relative: float, start: int) -> str | None:
    kinds = {a.dtype.kind, b.dtype.kind}
    if not kinds <= set("biufc") or (kinds <= set("biu") and not (absolute or relative)):
        return None if bool(numpy.array_equal(a, b)) else "the values differ"
    kind = "complex128" if "c" in kinds else "float64"
    with numpy.errstate(all="ignore"):
        x, y = a.astype(kind), b.astype(kind)
        allowed = numpy.maximum(absolute, relative * numpy.maximum(abs(x), abs(y)))
        finite = numpy.isfinite(x) & numpy.isfinite(y)
        near = (finite & (abs(x - y) <= allowed)) | (x == y) | (numpy.isnan(x) & numpy.isnan(y))
    if bool(near.all()):
        return None
    where = int(numpy.argmin(near))
    return f"element {start + where}: {x[where]!r} and {y[where]!r}"
