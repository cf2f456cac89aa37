"""stream.hex0, and a job whose output it shows to `boinc2docker run` while the job runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.guest.machine import STUBS, Machine, engine_socket
from tests.guest.scripts import HOME

HEADERS = 120
SOURCE = """
    .intel_syntax noprefix
    .globl _start
_start:
    mov r12, [rsp]          # argc
    mov rbx, [rsp+16]       # argv[1]
    mov edi, 0x505          # first port
    mov esi, 1              # one of them
    mov edx, 1              # may be used
    mov eax, 173            # ioperm
    syscall
    mov ebp, 0x1000000      # bytes that may still be sent
    test eax, eax
    jnz none
    mov edx, 0x505
    in al, dx
    cmp al, 0xb2
    je ask
none:
    xor ebp, ebp
ask:
    dec r12d
    jnz copy
    xor edi, edi
    test ebp, ebp
    jnz leave
    inc edi
    jmp leave
copy:
    sub rsp, 4096
next:
    xor edi, edi
    mov rsi, rsp
    mov edx, 4096
    xor eax, eax            # read
    syscall
    xor edi, edi
    test eax, eax
    jz leave
    mov edi, 2
    js leave
    mov r13d, eax
    test ebp, ebp
    jz pass
    mov edi, 3
    mov esi, 2              # LOCK_EX
    mov eax, 73             # flock
    syscall
    mov edx, 0x505
    mov al, [rbx]
    out dx, al
    mov eax, r13d
    out dx, al
    mov al, ah
    out dx, al
    mov ecx, r13d
    mov rsi, rsp
    cld
    rep outsb
    mov edi, 3
    mov esi, 8              # LOCK_UN
    mov eax, 73
    syscall
    sub ebp, r13d
    jns pass
    xor ebp, ebp
pass:
    mov r14, rsp
more:
    mov edi, 1
    mov rsi, r14
    mov edx, r13d
    mov eax, 1              # write
    syscall
    mov edi, 3
    test eax, eax
    jle leave
    add r14, rax
    sub r13d, eax
    jnz more
    jmp next
leave:
    mov eax, 60             # exit
    syscall
"""


def program() -> bytes:
    """The bytes of stream.hex0, read by the test's own words: comments begin with # or ;."""
    text = (HOME / "bin" / "stream.hex0").read_text()
    return bytes.fromhex("".join(re.split("[#;]", line)[0] for line in text.splitlines()))


@pytest.mark.skipif(shutil.which("as") is None or shutil.which("objcopy") is None, reason="needs binutils")
def test_the_code_is_what_the_assembler_makes(tmp_path: Path) -> None:
    for argv in (["as", "-o", "s.o"], ["objcopy", "-O", "binary", "-j", ".text", "s.o", "s.bin"]):
        subprocess.run(argv, cwd=tmp_path, input=SOURCE.encode(), check=True)
    assert program()[HEADERS:] == (tmp_path / "s.bin").read_bytes()
    assert program()[96:112] == len(program()).to_bytes(8, "little") * 2, "bytes in the file and in memory"


def unprivileged(tmp_path: Path) -> list[str | Path]:
    """The program, without the right to use a port: with it, it would ask a port of the machine the tests run on."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("needs setpriv, to be sure that the port is refused")
    path = tmp_path / "stream"
    path.write_bytes(program())
    path.chmod(0o755)
    for folder in path.parents:
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o001)
    lowered = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--reuid=65534", "--regid=65534"]
    return [setpriv, *lowered, "--clear-groups", path]


def test_without_a_host_that_listens_it_says_so_and_copies(tmp_path: Path) -> None:
    argv = unprivileged(tmp_path)
    assert subprocess.run(argv, stdin=subprocess.DEVNULL, check=False).returncode == 1
    data = os.urandom(1_000_003)
    done = subprocess.run([*argv, "1"], input=data, capture_output=True, check=False)
    assert (done.returncode, done.stdout == data, done.stderr) == (0, True, b"")


def test_a_reader_that_leaves_ends_it(tmp_path: Path) -> None:
    argv = unprivileged(tmp_path)
    with Path("/dev/full").open("wb") as full:
        assert subprocess.run([*argv, "1"], input=b"x", stdout=full, check=False).returncode == 3


def holds(path: Path, data: bytes) -> bool:
    return path.exists() and path.read_bytes() == data


def test_output_is_seen_while_the_job_runs_and_kept_as_ever(make: Callable[[str], Machine]) -> None:
    script = 'echo one; echo two >&2; while [ ! -e "$B2D_SHARE/go" ]; do sleep 0.1; done; printf "\\001\\377three"\n'
    kept = []
    for live in (True, False):
        machine = make("busybox")
        if live:
            machine.environment["B2D_STREAM"] = str(STUBS / "stream")
        machine.job(script)
        with engine_socket(machine.root / "docker.sock"):
            machine.boot()
            if live:
                machine.wait_for(partial(holds, machine.stub / "live-1", b"one\n"))
                machine.wait_for(partial(holds, machine.stub / "live-2", b"two\n"))
            assert not machine.completion.exists()
            (machine.share / "go").touch()
            machine.wait_for(machine.completion.exists)
            machine.cut_power()
        logs = machine.archive("boinc_log.tgz")
        kept.append((logs["stdout.txt"], logs["stderr.txt"], (machine.share / "results.tgz").read_bytes()))
        assert (machine.stub / "live-1").exists() is live
    assert kept[0] == kept[1]
    assert kept[0][:2] == (b"one\n\x01\xffthree", b"two\n")
