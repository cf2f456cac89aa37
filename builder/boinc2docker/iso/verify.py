"""Verifies a written ISO against its base and the intended changes, by code that did not write it.

Whatever fails here is a fault of the writer, and the output never gets its final name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from boinc2docker.digest import Digest
from boinc2docker.errors import VerificationError
from boinc2docker.iso import volume
from boinc2docker.iso.boot_layout import MBR_CODE_BYTES, SYSTEM_AREA, BootKind, Partition
from boinc2docker.iso.identity import OVERLAY_PATH, SITE_PATH
from boinc2docker.iso.image import Image
from boinc2docker.iso.initramfs import list_initramfs
from boinc2docker.iso.volume import SECTOR, IsoFile

_BOOT_INFO = slice(8, 64)
"""The boot information table in isolinux.bin: where it lies on the CD, its length and checksum (mkisofs, APPENDIX)."""
_LOADER_LIMIT = 4 << 20
_OVERLAY_LIMIT = 64 << 20


@dataclass(frozen=True)
class Intended:
    """The intended changes of a remaster; ``digests`` are those that the ISO records."""

    volume_id: str
    edited: Mapping[str, bytes]
    added: Mapping[str, bytes]
    digests: Mapping[str, Digest]


def verify(base_stream: BinaryIO, base: Image, stream: BinaryIO, result: Image, intended: Intended) -> None:
    """Raises VerificationError unless ``result`` is ``base`` with the intended changes and nothing else.

    Every file of the base is there with its mode and, unless edited, its bytes; boot file, catalogue and MBR point
    to where things lie; the configurations load the added initramfs files last; recorded digests hold.
    """
    _check_names(base, result, intended)
    _check_boot(base, result)
    _check_configs(base, result)
    for file in sorted(result.volume.files.values(), key=lambda file: file.extents):
        _check_file(base_stream, base, stream, result, file, intended)
    _check_boot_info(base_stream, base, stream, result)
    list_initramfs(volume.read_file(stream, result.volume.files[OVERLAY_PATH], limit=_OVERLAY_LIMIT))


def _require(truth: bool, message: str) -> None:
    if not truth:
        raise VerificationError("bad-result", f"the written ISO is not as intended: {message}")


def _check_names(base: Image, result: Image, intended: Intended) -> None:
    found, expected = set(result.volume.files), {*base.volume.files, *intended.added}
    _require(not result.volume.duplicates, f"names appear twice: {', '.join(result.volume.duplicates)}")
    _require(found == expected, f"files missing or too many: {', '.join(sorted(found ^ expected))}")
    _require(base.volume.directories <= result.volume.directories, "directories are missing")
    for path, file in base.volume.files.items():
        _require(file.mode == result.volume.files[path].mode, f"{path} has another mode")
    _require(result.volume.volume_id == intended.volume_id, f"volume id {result.volume.volume_id!r}")


def _check_file(
    base_stream: BinaryIO, base: Image, stream: BinaryIO, result: Image, file: IsoFile, intended: Intended
) -> None:
    path = file.path
    text = intended.added.get(path, intended.edited.get(path))
    if text is not None:
        found = volume.read_file(stream, file, limit=max(len(text), file.bytes))
        _require(found == text, f"{path} has other bytes than were written")
    elif is_rewritten(result, file):
        _require(volume.digest(stream, file) == intended.digests[path], f"{path} has another digest than recorded")
    else:
        for chunk, expected in _side_by_side(stream, file, base_stream, base.volume.files[path]):
            _require(chunk == expected, f"{path} differs from the base")


def _side_by_side(
    stream: BinaryIO, file: IsoFile, base_stream: BinaryIO, original: IsoFile
) -> Iterator[tuple[bytes, bytes]]:
    lengths = [[length for _, length in found.extents] for found in (file, original)]
    _require(lengths[0] == lengths[1], f"{file.path} has another length than in the base")
    return zip(volume.chunks(stream, file), volume.chunks(base_stream, original), strict=True)


def is_rewritten(image: Image, file: IsoFile) -> bool:
    """Whether a file contains positions of others, so every writer changes it: boot file, El Torito catalogue."""
    catalogue = image.catalogue is not None and bool(file.extents) and file.extents[0][0] == image.catalogue * SECTOR
    return catalogue or file == image.loader


def _check_boot(base: Image, result: Image) -> None:
    """Compares El Torito entry by entry, and the MBR field by field."""
    _require(result.loader is not None and base.loader is not None, "no boot file")
    assert result.loader is not None and base.loader is not None  # noqa: S101, PT018 - for the type checker
    _require(result.loader.path == base.loader.path, f"the CD boots {result.loader.path}")
    for was, now in zip(base.layout.entries, result.layout.entries, strict=False):
        same = (was.platform, was.bootable, was.media, was.sectors) == (
            now.platform,
            now.bootable,
            now.media,
            now.sectors,
        )
        _require(same, "the El Torito catalogue differs from the base's")
    _require(len(base.layout.entries) == len(result.layout.entries), "the El Torito catalogue has another length")
    _require(result.layout.kind is base.layout.kind, f"it boots as {result.layout.kind.value}")
    if base.layout.kind is BootKind.ISOLINUX_MBR:
        _check_mbr(base, result, result.loader.extents[0][0] // SECTOR)


def _check_mbr(base: Image, result: Image, loader_sector: int) -> None:
    was, now = base.head[:SYSTEM_AREA], result.head[:SYSTEM_AREA]
    _require(was[:MBR_CODE_BYTES] == now[:MBR_CODE_BYTES], "the MBR's code differs from the base's")
    _require(was[440:446] == now[440:446], "the MBR's disk id differs from the base's")
    _require(
        struct.unpack_from("<Q", now, MBR_CODE_BYTES)[0] == loader_sector * 4, "the MBR does not point to the boot file"
    )
    _require(not now[512:].strip(b"\0"), "there is data after the MBR")
    partitions = result.layout.partitions
    _require(len(partitions) == len(base.layout.partitions) == 1, "the MBR has another number of partitions")
    _check_partition(base.layout.partitions[0], partitions[0], result)


def _check_partition(was: Partition, now: Partition, result: Image) -> None:
    _require((was.type, was.start) == (now.type, now.start), "the MBR's partition differs from the base's")
    end = (now.start + now.sectors) * 512
    _require(
        result.volume.space_bytes <= end <= result.size, f"the MBR's partition ends at {end} of {result.size} bytes"
    )


def _check_boot_info(base_stream: BinaryIO, base: Image, stream: BinaryIO, result: Image) -> None:
    assert result.loader is not None and base.loader is not None  # noqa: S101, PT018 - _check_boot saw to it
    now = volume.read_file(stream, result.loader, limit=_LOADER_LIMIT)
    was = volume.read_file(base_stream, base.loader, limit=_LOADER_LIMIT)
    same = was[: _BOOT_INFO.start] == now[: _BOOT_INFO.start] and was[_BOOT_INFO.stop :] == now[_BOOT_INFO.stop :]
    _require(same, f"{result.loader.path} differs from the base's in more than its boot information table")
    expected = (16, result.loader.extents[0][0] // SECTOR, len(now), boot_info_checksum(now))
    found = struct.unpack_from("<4I", now, _BOOT_INFO.start)
    _require(found == expected, f"the boot information table says {found}; expected {expected}")


def boot_info_checksum(loader: bytes) -> int:
    """The sum of the 32-bit words of a boot file from byte 64 on, as its boot information table holds it."""
    body = loader[64:]
    body += bytes(-len(body) % 4)
    words: tuple[int, ...] = struct.unpack(f"<{len(body) // 4}I", body)
    return sum(words) & 0xFFFFFFFF


def _check_configs(base: Image, result: Image) -> None:
    ours = (OVERLAY_PATH, SITE_PATH)
    for path, config in base.configs.items():
        expected = [(label.kernel, label.initrds + ours) for label in config.labels]
        found = [(label.kernel, label.initrds) for label in result.configs[path].labels]
        _require(found == expected, f"{path} boots {found}; expected {expected}")
