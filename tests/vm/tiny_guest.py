"""Bootable ISOs of a few bytes of machine code: machines that hang, stop or talk nonsense, without a Linux."""

from __future__ import annotations

import io
from pathlib import Path

import pycdlib

SERIAL = 0x3F8
EVENTS = 0x504
_SAY = (
    "be{text} ba{port} fc ac 84c0 7403 ee ebf8"  # mov si, text; mov dx, port; cld; more: lodsb; test al; jz; out; jmp
)
_SAY_SIZE = 15
_HANG = "fa f4 ebfd"  # cli; here: hlt; jmp here
_POWER_OFF = "ba0406 b80020 ef"  # mov dx, 0x604; mov ax, 0x2000; out dx, ax: PIIX4 ACPI, soft off
_RESET = "b0fe e664"  # the keyboard controller's reset line


def tiny_iso(path: Path, *says: tuple[int, str], then: str = "hang") -> Path:
    """Writes an ISO whose guest writes each text to its port, then hangs, powers off or resets."""
    prologue = bytes.fromhex("31c0 8ed8")  # xor ax, ax; mov ds, ax
    ending = bytes.fromhex({"hang": "", "power-off": _POWER_OFF, "reset": _RESET}[then] + _HANG)
    code_size = len(prologue) + _SAY_SIZE * len(says) + len(ending)
    code, texts = prologue, b""
    for port, text in says:
        where = (0x7C00 + code_size + len(texts)).to_bytes(2, "little").hex()
        code += bytes.fromhex(_SAY.format(text=where, port=port.to_bytes(2, "little").hex()))
        texts += text.encode() + b"\0"
    program = code + ending + texts
    assert len(code + ending) == code_size
    assert len(program) <= 2048
    iso = pycdlib.PyCdlib()
    iso.new()
    iso.add_fp(io.BytesIO(program.ljust(2048, b"\0")), 2048, "/BOOT.;1")
    iso.add_eltorito("/BOOT.;1", bootcatfile="/BOOT.CAT;1")
    iso.write(str(path))
    iso.close()
    return path
