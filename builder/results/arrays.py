"""NumPy files from strangers: ``.npy`` and ``.npz``, never unpickled, never larger in memory than the file itself.

Format: numpy.lib.format; a ``.npz`` is a ZIP archive of ``.npy`` files.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from typing import Any, Literal

import numpy

from builder.errors import InputError

Array = numpy.ndarray[Any, Any]


def bad_array(name: str, why: str) -> InputError:
    return InputError("bad-array", f"{ascii(name)[1:-1]}: {why}")


def read_npy(name: str, data: bytes) -> Array:
    """The array in a ``.npy`` file. Raises InputError for Python objects, a header that promises more or less than
    there is, and anything that is no such file."""
    stream = io.BytesIO(data)
    try:
        shape, fortran, dtype = _header(stream)
    except Exception as error:
        raise bad_array(name, f"no NumPy file: {ascii(str(error))[1:200]}") from error
    left = len(data) - stream.tell()
    # Before anything is allocated: a header may promise terabytes.
    if dtype.hasobject:
        raise bad_array(name, "Python objects are not read")
    if min(shape, default=0) < 0 or not dtype.itemsize or math.prod(shape) * dtype.itemsize != left:
        raise bad_array(name, f"{left} bytes do not make an array of shape {shape!r:.80} of {dtype.itemsize} bytes")
    order: Literal["F", "C"] = "F" if fortran else "C"
    return numpy.frombuffer(data[len(data) - left :], dtype).reshape(shape, order=order)


def _header(stream: io.BytesIO) -> tuple[tuple[int, ...], bool, numpy.dtype[Any]]:
    version = numpy.lib.format.read_magic(stream)
    if version == (1, 0):
        return numpy.lib.format.read_array_header_1_0(stream)
    if version == (2, 0):
        return numpy.lib.format.read_array_header_2_0(stream)
    raise ValueError(f"format {version[0]}.{version[1]}, expected 1.0 or 2.0")


def read_npz(name: str, data: bytes, limit: int) -> dict[str, Array]:
    """The arrays in a ``.npz`` file by name, at most ``limit`` bytes in all. Raises InputError."""
    found: dict[str, Array] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                if info.filename in found or len(found) > 10_000:
                    raise bad_array(name, "an array is there twice, or there are more than 10000")
                with archive.open(info) as member:
                    content = member.read(limit + 1)
                limit -= len(content)
                if limit < 0:
                    raise bad_array(name, "the arrays are larger than validator.file_mb allows")
                found[info.filename] = read_npy(f"{name}:{info.filename}", content)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        OverflowError,
        OSError,
    ) as error:
        raise bad_array(name, f"no NumPy archive: {ascii(str(error))[1:200]}") from error
    return {one.removesuffix(".npy"): array for one, array in found.items()}


def named_arrays(name: str, data: bytes, limit: int) -> dict[str, Array]:
    """The arrays in the file ``name``, fields of structured ones apart. Raises InputError."""
    found = read_npz(name, data, limit) if name.lower().endswith(".npz") else {"array": read_npy(name, data)}
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


def array_difference(a: Array, b: Array, absolute: float, relative: float) -> str | None:
    """Where two arrays differ by more than both tolerances; None if they do not."""
    if a.shape != b.shape:
        return f"shapes {a.shape} and {b.shape}"
    if a.dtype.kind not in "biufc" or b.dtype.kind not in "biufc":
        same = a.dtype.kind == b.dtype.kind and bool(numpy.array_equal(a, b))
        return None if same else "other values"
    if a.dtype.kind in "biu" and b.dtype.kind in "biu" and not (absolute or relative):
        return None if bool(numpy.array_equal(a, b)) else "other values"
    kind = "complex128" if "c" in (a.dtype.kind, b.dtype.kind) else "float64"
    with numpy.errstate(all="ignore"):
        x, y = a.astype(kind), b.astype(kind)
        allowed = numpy.maximum(absolute, relative * numpy.maximum(abs(x), abs(y)))
        finite = numpy.isfinite(x) & numpy.isfinite(y)
        near = (finite & (abs(x - y) <= allowed)) | (x == y) | (numpy.isnan(x) & numpy.isnan(y))
    if bool(near.all()):
        return None
    where = int(numpy.argmin(near))
    return f"element {where}: {x.flat[where]!r} and {y.flat[where]!r}"
