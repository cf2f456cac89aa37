"""What machine a program file is for, from its first bytes.

Formats: System V ABI (ELF header), Microsoft PE/COFF specification, Apple ``mach-o/loader.h`` and ``mach-o/fat.h``.
"""

from __future__ import annotations

import struct

_ELF_X86_64 = 62
_PE_X86_64 = 0x8664
_MACHO_X86_64 = 0x01000007
_MACHO_64 = 0xFEEDFACF
_MACHO_FAT = b"\xca\xfe\xba\xbe"


def describe(head: bytes) -> str:
    """``elf``, ``pe`` or ``macho`` for a program that runs on x86-64; else what it is, in words."""
    if head.startswith(b"\x7fELF"):
        return _elf(head)
    if head.startswith(b"MZ"):
        return _pe(head)
    if head.startswith(_MACHO_FAT):
        count = min(struct.unpack_from(">I", head, 4)[0], (len(head) - 8) // 20, 8) if len(head) >= 8 else 0
        kinds = [struct.unpack_from(">I", head, 8 + 20 * at)[0] for at in range(count)]
        return "macho" if _MACHO_X86_64 in kinds else "a macOS program without an x86-64 part"
    if len(head) >= 8 and struct.unpack_from("<I", head)[0] == _MACHO_64:
        return "macho" if struct.unpack_from("<I", head, 4)[0] == _MACHO_X86_64 else "a macOS program not for x86-64"
    if head.startswith(b"PK"):
        return "a zip archive"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "a web page"
    return "no program"


def _elf(head: bytes) -> str:
    if len(head) >= 20 and head[4] == 2 and head[5] == 1 and struct.unpack_from("<H", head, 18)[0] == _ELF_X86_64:
        return "elf"
    return "a Linux program not for x86-64"


def _pe(head: bytes) -> str:
    at = struct.unpack_from("<I", head, 0x3C)[0] if len(head) >= 0x40 else len(head)
    if head[at : at + 4] == b"PE\0\0" and len(head) >= at + 6:
        machine = struct.unpack_from("<H", head, at + 4)[0]
        return "pe" if machine == _PE_X86_64 else "a Windows program not for x86-64"
    return "a DOS program"
