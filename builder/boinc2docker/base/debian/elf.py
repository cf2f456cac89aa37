"""What the build asks of an ELF file: the libraries it needs, and what a kernel module says about itself.

Only 64-bit little-endian files, the kind a Debian amd64 package holds. Source: System V ABI, gABI chapters 4 and 5.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from boinc2docker.errors import InputError

MAGIC = b"\x7fELF"
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_DYNAMIC = struct.Struct("<qQ")
_SHT_NOBITS = 8
_DT_NULL, _DT_NEEDED, _DT_SONAME = 0, 1, 14


@dataclass(frozen=True)
class Linkage:
    """The dynamic section, as far as the loader's search for libraries goes."""

    needed: tuple[str, ...] = ()
    soname: str | None = None
    dynamic: bool = False


def is_elf(start: bytes) -> bool:
    """True if a file that begins with ``start`` (4 bytes are enough) is ELF."""
    return start.startswith(MAGIC)


def sections(data: bytes) -> dict[str, bytes]:
    """The sections of a file by name; of several with one name the last. Raises InputError for what is not ELF64."""
    try:
        header = _HEADER.unpack_from(data)
        if not is_elf(data) or data[4] != 2 or data[5] != 1:
            raise InputError("bad-elf", "expected a 64-bit little-endian ELF file")
        offset, size, count, names_index = header[6], header[11], header[12], header[13]
        table = [_SECTION.unpack_from(data, offset + index * size) for index in range(count)]
        if not table:
            return {}
        names = _body(data, table[names_index])
        return {_text(names, entry[0]): _body(data, entry) for entry in table}
    except (struct.error, IndexError, ValueError) as error:
        raise _damaged(error) from error


def linkage(data: bytes) -> Linkage:
    """Needed libraries and own library name of a program or library. Raises InputError for what is not ELF64."""
    found = sections(data)
    if ".dynamic" not in found:
        return Linkage()
    try:
        entries = list(_entries(found[".dynamic"], found.get(".dynstr", b"")))
    except (struct.error, ValueError) as error:
        raise _damaged(error) from error
    needed = tuple(text for tag, text in entries if tag == _DT_NEEDED)
    sonames = [text for tag, text in entries if tag == _DT_SONAME]
    return Linkage(needed, sonames[0] if sonames else None, dynamic=True)


def _entries(dynamic: bytes, strings: bytes) -> Iterator[tuple[int, str]]:
    """The entries that name something, with the name."""
    for tag, value in _DYNAMIC.iter_unpack(dynamic):
        if tag == _DT_NULL:
            return
        if tag in (_DT_NEEDED, _DT_SONAME):
            yield tag, _text(strings, value)


def module_facts(data: bytes) -> dict[str, list[str]]:
    """A kernel module's ``.modinfo``: keys (``depends``, ``softdep``, ``alias`` …) with their values, in order."""
    facts: dict[str, list[str]] = {}
    for key, value in _pairs(sections(data).get(".modinfo", b"")):
        facts.setdefault(key, []).append(value)
    if not facts:
        raise InputError("bad-module", "expected a kernel module, found an ELF file without .modinfo")
    return facts


def _pairs(modinfo: bytes) -> Iterator[tuple[str, str]]:
    for item in modinfo.split(b"\0"):
        key, separator, value = item.decode("utf-8", "replace").partition("=")
        if separator:
            yield key, value


def _damaged(error: Exception) -> InputError:
    return InputError("bad-elf", f"damaged ELF file: {error}")


def _body(data: bytes, entry: tuple[int, ...]) -> bytes:
    if entry[1] == _SHT_NOBITS:
        return b""
    return data[entry[4] : entry[4] + entry[5]]


def _text(strings: bytes, offset: int) -> str:
    return strings[offset : strings.index(b"\0", offset)].decode() if offset < len(strings) else ""
