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
