"""guestlog.hex0 is the program it says it is: compared with what the assembler makes of the equivalent source."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.guest.scripts import HOME

HEADERS = 120
SOURCE = """
    .intel_syntax noprefix
    .globl _start
_start:
    mov edi, 0x504      # first port
    mov esi, 1          # one of them
    mov edx, 1          # may be used
    mov eax, 173        # ioperm
    syscall
    test eax, eax
    jnz refused
    sub rsp, 4096
next:
    xor edi, edi
    mov rsi, rsp
    mov edx, 4096
    xor eax, eax        # read
    syscall
    test eax, eax
    jz done
    js broken
    mov ecx, eax
    mov rsi, rsp
    mov edx, 0x504
    cld
    rep outsb
    jmp next
refused:
    mov edi, 1
    jmp leave
broken:
    mov edi, 2
    jmp leave
done:
    xor edi, edi
leave:
    mov eax, 60         # exit
    syscall
"""


def program() -> bytes:
    """The bytes of guestlog.hex0, read by the test's own words: comments begin with # or ;."""
    text = (HOME / "bin" / "guestlog.hex0").read_text()
    return bytes.fromhex("".join(re.split("[#;]", line)[0] for line in text.splitlines()))


@pytest.fixture
def executable(tmp_path: Path) -> Path:
    path = tmp_path / "guestlog"
    path.write_bytes(program())
    path.chmod(0o755)
    return path


@pytest.mark.skipif(shutil.which("as") is None or shutil.which("objcopy") is None, reason="needs binutils")
def test_the_code_is_what_the_assembler_makes(tmp_path: Path) -> None:
    for argv in (["as", "-o", "g.o"], ["objcopy", "-O", "binary", "-j", ".text", "g.o", "g.bin"]):
        subprocess.run(argv, cwd=tmp_path, input=SOURCE.encode(), check=True)
    assert program()[HEADERS:] == (tmp_path / "g.bin").read_bytes()


@pytest.mark.skipif(shutil.which("readelf") is None, reason="needs binutils")
def test_the_headers_are_those_of_a_static_program(executable: Path) -> None:
    shown = subprocess.run(["readelf", "-hlW", executable], capture_output=True, text=True, check=True)
    assert shown.stderr == ""
    size = len(program())
    assert re.search(r"Class:\s+ELF64", shown.stdout)
    assert re.search(r"Type:\s+EXEC", shown.stdout)
    assert re.search(r"Machine:\s+Advanced Micro Devices X86-64", shown.stdout)
    assert re.search(r"Entry point address:\s+0x400078", shown.stdout)
    assert re.search(rf"LOAD\s+0x0+ 0x0+400000 0x0+400000 0x0*{size:x} 0x0*{size:x} R E 0x1000", shown.stdout)
    assert "INTERP" not in shown.stdout


def test_it_says_no_without_the_right_to_use_the_port(executable: Path) -> None:
    """Only ever run here without privileges: with them it would write to a port of the machine the tests run on."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("needs setpriv, to be sure that the port is refused")
    for folder in [executable.parent, *executable.parents]:
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o001)
    command = [setpriv, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
    command += ["--reuid=65534", "--regid=65534", "--clear-groups"]
    done = subprocess.run([*command, executable], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 1
