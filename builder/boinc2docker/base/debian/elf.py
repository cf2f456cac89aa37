"""What the build asks of an ELF file: the libraries it needs, and what a kernel module says about itself.

Read by pyelftools. Only 64-bit little-endian files count, the kind a Debian amd64 package holds.
"""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Iterator

from elftools.common.exceptions import ELFError
from elftools.construct.core import ConstructError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from boinc2docker.errors import InputError

MAGIC = b"\x7fELF"
_DAMAGE = (
    ELFError,
    ConstructError,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
"""What pyelftools raises for damaged files."""


def is_elf(start: bytes) -> bool:
    """True if a file that begins with ``start`` (4 bytes are enough) is ELF."""
    return start.startswith(MAGIC)


def needed_libraries(data: bytes) -> tuple[str, ...]:
    """The libraries that a program or library asks the loader for. Raises InputError for what is not ELF64."""
    with _opened(data) as file:
        dynamic = [segment for segment in file.iter_segments() if isinstance(segment, DynamicSegment)]
        tags = [tag for segment in dynamic for tag in segment.iter_tags("DT_NEEDED")]
        return tuple(str(tag.needed) for tag in tags)  # type: ignore[attr-defined] # it is named after the tag


def module_facts(data: bytes) -> dict[str, list[str]]:
    """A kernel module's ``.modinfo``: keys (``depends``, ``softdep``, ``alias`` …) with their values, in order."""
    with _opened(data) as file:
        section = file.get_section_by_name(".modinfo")
        modinfo: bytes = section.data() if section is not None else b""
    facts: dict[str, list[str]] = {}
    for item in modinfo.split(b"\0"):
        key, separator, value = item.decode("utf-8", "replace").partition("=")
        if separator:
            facts.setdefault(key, []).append(value)
    if not facts:
        raise InputError("bad-module", "expected a kernel module, found an ELF file without .modinfo")
    return facts


@contextlib.contextmanager
def _opened(data: bytes) -> Iterator[ELFFile]:
    try:
        file = ELFFile(io.BytesIO(data))
        if file.elfclass != 64 or not file.little_endian:
            raise InputError("bad-elf", "expected a 64-bit little-endian ELF file")
        yield file
    except _DAMAGE as error:
        raise InputError("bad-elf", f"damaged ELF file: {error or type(error).__name__}") from error
