"""A blank dynamic disk image in VirtualBox' format: a header and an empty block map, whatever the disk's size.

Layout: VirtualBox ``src/VBox/Storage/VDICore.h`` (header 1.1 without the optional second geometry, as QEMU's
``block/vdi.c`` writes it too). All numbers are little-endian. The UUIDs follow from the size, so that equal disks are
equal files; vboxwrapper gives each machine's copy a new one (``--setuuid ""``).
"""

from __future__ import annotations

import struct
import uuid

from boinc2docker.errors import InputError

_TEXT = b"<<< Oracle VM VirtualBox Disk Image >>>\n"
_SIGNATURE = 0xBEDA107F
_VERSION = 0x00010001
_HEADER_BYTES = 384
_DYNAMIC = 1
_SECTOR = 512
_BLOCK = 1 << 20
_MAP_OFFSET = 512
_UNALLOCATED = b"\xff\xff\xff\xff"
_NAMESPACE = uuid.UUID("6a1f2a52-33c5-5d0e-9c43-0a6f2a3c1f10")
LARGEST_MIB = 2 << 20
"""2 TiB: what an MBR can address, and a block map of 8 MiB."""


def blank(mebibytes: int) -> bytes:
    """The whole file of an empty dynamic disk of this size. Raises InputError for a size no disk can have."""
    if not 1 <= mebibytes <= LARGEST_MIB:
        raise InputError("bad-disk-size", f"expected a disk of 1 MiB to 2 TiB, found {mebibytes} MiB")
    map_bytes = 4 * mebibytes
    data_offset = _round_up(_MAP_OFFSET + map_bytes, _BLOCK if map_bytes > _BLOCK else 4096)
    block_map = _UNALLOCATED * mebibytes
    return (_header(mebibytes, data_offset) + block_map).ljust(data_offset, b"\0")


def _header(blocks: int, data_offset: int) -> bytes:
    created, snapshot = (uuid.uuid5(_NAMESPACE, f"{role} {blocks} MiB") for role in ("image", "snapshot"))
    fields = struct.pack(
        "<64sIIIII256sIIIIIIIQIIII16s16s16s16s",
        _TEXT,
        _SIGNATURE,
        _VERSION,
        _HEADER_BYTES,
        _DYNAMIC,
        0,  # flags
        b"",  # comment
        _MAP_OFFSET,
        data_offset,
        0,  # cylinders, heads, sectors: no legacy geometry
        0,
        0,
        _SECTOR,
        0,
        blocks * _BLOCK,
        _BLOCK,
        0,  # extra bytes of a block
        blocks,
        0,  # blocks allocated
        created.bytes_le,
        snapshot.bytes_le,
        bytes(16),  # no parent
        bytes(16),
    )
    return fields.ljust(_MAP_OFFSET, b"\0")


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
