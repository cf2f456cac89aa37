from __future__ import annotations

import contextlib
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.base.debian import elf
from boinc2docker.errors import InputError

PROGRAMS = [Path(sys.executable).resolve(), Path("/bin/ls"), Path("/bin/sh")]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
def test_needed_libraries_are_those_that_readelf_sees(program: Path) -> None:
    if shutil.which("readelf") is None:
        pytest.skip("binutils' readelf is not on this machine")
    if not program.exists() or not elf.is_elf(program.read_bytes()):
        pytest.skip(f"{program} is not an ELF program here")
    said = subprocess.run(["readelf", "-dW", program], capture_output=True, text=True, check=True).stdout
    assert list(elf.needed_libraries(program.read_bytes())) == re.findall(r"\(NEEDED\).*\[(.+)\]", said)


def module(modinfo: bytes) -> bytes:
    """An ELF file with nothing but a .modinfo section."""
    names = b"\0.modinfo\0.shstrtab\0"
    body = modinfo + names
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 1, 62, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, 3, 2
    )
    section = struct.Struct("<IIQQQQIIQQ")
    table = section.pack(*[0] * 10)
    table += section.pack(1, 1, 0, 0, 64, len(modinfo), 0, 0, 1, 0)
    table += section.pack(10, 3, 0, 0, 64 + len(modinfo), len(names), 0, 0, 1, 0)
    return header + body + table


def test_a_module_tells_its_facts() -> None:
    facts = elf.module_facts(module(b"alias=fs-ext4\0depends=jbd2,crc16\0\0alias=ext3\0softdep=pre: crc32c\0"))
    assert facts == {"alias": ["fs-ext4", "ext3"], "depends": ["jbd2,crc16"], "softdep": ["pre: crc32c"]}


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(InputError, match="expected a kernel module"):
        elf.module_facts(module(b""))
    with pytest.raises(InputError, match="ELF"):
        elf.module_facts(b"#!/bin/sh\n" * 20)


@given(st.integers(0, 400), st.integers(0, 399), st.integers(0, 255))
def test_damage_is_refused_or_harmless(length: int, place: int, value: int) -> None:
    data = bytearray(module(b"depends=a,b\0softdep=pre: c\0"))
    data[place % len(data)] = value
    for read in (elf.needed_libraries, elf.module_facts):
        with contextlib.suppress(InputError):
            read(bytes(data[:length]))
