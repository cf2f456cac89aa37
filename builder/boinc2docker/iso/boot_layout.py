"""How an ISO boots, from its first 64 KiB and its El Torito catalogue, and what rewriting it would lose.

pycdlib keeps the classic isolinux MBR; it zeroes any other system area, damages GPTs and fails on appended EFI images.
So a layout is named first, and only what survives is accepted. Pure: bytes in, verdict out, never an exception.
Sources: El Torito 1.0 (2.0-2.3), UEFI 2.10 (5.2.1, 5.3.2), syslinux' isohdpfx.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum

from boinc2docker.iso.volume import SECTOR, descriptors

SYSTEM_AREA = 16 * SECTOR
MBR_CODE_BYTES = 432
"""The part of an isolinux MBR that is code; the boot file's place, the disk's id and the partitions follow."""

_ISOLINUX_START = bytes.fromhex("33ed") + b"\x90" * 30
_PARTITION = struct.Struct("<B3xB3xII")


class BootKind(Enum):
    """What boots the image from a disk or USB stick, besides El Torito from CD."""

    NONE = "none"
    ISOLINUX_MBR = "isolinux-mbr"
    ISOLINUX_MBR_GPT = "isolinux-mbr+gpt"
    GRUB_MBR = "grub-mbr"
    EFI_APPENDED = "efi-appended"
    OTHER = "other"


@dataclass(frozen=True)
class Partition:
    """A partition of the MBR, in sectors of 512 bytes."""

    type: int
    start: int
    sectors: int


@dataclass(frozen=True)
class BootEntry:
    """An entry of the El Torito catalogue: ``platform`` 0 is BIOS, 0xEF is UEFI; ``sector`` counts 2048 bytes."""

    platform: int
    bootable: bool
    media: int
    sectors: int
    sector: int


@dataclass(frozen=True)
class BootLayout:
    """A boot layout: its kind, the catalogue's entries, and what pycdlib would lose (empty: it may be rewritten)."""

    kind: BootKind
    entries: tuple[BootEntry, ...]
    partitions: tuple[Partition, ...]
    would_lose: tuple[str, ...]

    @property
    def rewritable(self) -> bool:
        return not self.would_lose


def catalogue_sector(head: bytes) -> int | None:
    """The sector of the El Torito catalogue that the boot record descriptor names; None if there is none."""
    for kind, sector in descriptors(head):
        if kind == 0 and sector[7:30] == b"EL TORITO SPECIFICATION":
            return int(struct.unpack_from("<I", sector, 71)[0])
    return None


def classify(head: bytes, catalogue: bytes) -> BootLayout:
    """The layout of an image whose first 64 KiB are ``head`` and whose catalogue's sector is ``catalogue``."""
    area = head[:SYSTEM_AREA].ljust(SYSTEM_AREA, b"\0")
    entries = parse_catalogue(catalogue)
    partitions = parse_partitions(area)
    kind = _kind(area, partitions)
    return BootLayout(kind, entries, partitions, tuple(_losses(kind, area, entries, partitions)))


def parse_catalogue(data: bytes) -> tuple[BootEntry, ...]:
    """The boot entries of an El Torito catalogue; none if its validation entry is wrong."""
    data = data[:SECTOR]
    if len(data) < 64 or data[0] != 1 or data[30:32] != b"\x55\xaa" or sum(struct.unpack("<16H", data[:32])) & 0xFFFF:
        return ()
    found = [_boot_entry(data[32:64], data[1])]
    platform = data[1]
    left = 0
    for at in range(64, len(data) - 31, 32):
        entry = data[at : at + 32]
        if left:
            left -= 1
            found.append(_boot_entry(entry, platform))
        elif entry[0] in (0x90, 0x91):
            platform, left = entry[1], struct.unpack_from("<H", entry, 2)[0]
        elif entry[0] != 0x44:  # an extension of the entry before
            break
    return tuple(found)


def parse_partitions(area: bytes) -> tuple[Partition, ...]:
    """The partitions in use of an MBR; none without its signature."""
    if area[510:512] != b"\x55\xaa":
        return ()
    found = (_PARTITION.unpack_from(area, 446 + 16 * slot) for slot in range(4))
    return tuple(Partition(kind, start, sectors) for _, kind, start, sectors in found if kind or sectors)


def _boot_entry(data: bytes, platform: int) -> BootEntry:
    return BootEntry(
        platform=platform,
        bootable=data[0] == 0x88,
        media=data[1] & 0x0F,
        sectors=struct.unpack_from("<H", data, 6)[0],
        sector=struct.unpack_from("<I", data, 8)[0],
    )


def _kind(area: bytes, partitions: tuple[Partition, ...]) -> BootKind:
    isolinux = area.startswith(_ISOLINUX_START) and area[510:512] == b"\x55\xaa"
    if not area.strip(b"\0"):
        return BootKind.NONE
    if any(partition.type == 0xEF and partition.start > 0 for partition in partitions) and not _has_gpt(area):
        return BootKind.EFI_APPENDED
    if isolinux:
        return BootKind.ISOLINUX_MBR_GPT if _has_gpt(area) else BootKind.ISOLINUX_MBR
    if area[:2] in (b"\xeb\x63", b"\xeb\x48") or b"GRUB" in area[:512]:
        return BootKind.GRUB_MBR
    return BootKind.OTHER


def _has_gpt(area: bytes) -> bool:
    return area[512:520] == b"EFI PART"


def _losses(
    kind: BootKind, area: bytes, entries: tuple[BootEntry, ...], partitions: tuple[Partition, ...]
) -> list[str]:
    lost = {
        BootKind.ISOLINUX_MBR_GPT: "its GPT would be written with wrong checksums",
        BootKind.GRUB_MBR: "its GRUB boot sector (booting from disk or stick) would be erased",
        BootKind.EFI_APPENDED: "its EFI partition would be lost",
        BootKind.OTHER: "its boot sector (booting from disk or stick) would be erased",
    }
    found = [lost[kind]] if kind in lost else []
    if any(entry.platform == 0xEF for entry in entries):
        found.append("its EFI boot image would be lost or no longer found")
    elif len(entries) > 1:
        found.append(f"{len(entries) - 1} of its {len(entries)} El Torito boot images could be lost")
    if kind is BootKind.ISOLINUX_MBR:
        if area[512:].strip(b"\0"):
            found.append("what lies behind its boot sector would be erased")
        if len(partitions) > 1:
            found.append(f"{len(partitions) - 1} of its {len(partitions)} partitions would be lost")
    return found
