"""Lists what a base's initrds unpack to, with a cache: walking boot2docker's 150 MB takes longer than a remaster.

The memory lies in the user's cache, under the digests of the initrds themselves, and may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from boinc2docker import atomic, places
from boinc2docker.digest import Digest
from boinc2docker.errors import BuilderError, InputError
from boinc2docker.formats.newc import Entry
from boinc2docker.iso import volume
from boinc2docker.iso.image import Image
from boinc2docker.iso.initramfs import list_initramfs
from boinc2docker.iso.volume import IsoFile

FORMAT = 1
WORTH_REMEMBERING = 8 << 20
"""Bytes of initrds above which the cache is faster than a walk."""


def base_listing(stream: BinaryIO, image: Image, initrds: tuple[str, ...]) -> dict[str, Entry]:
    """The tree after unpacking ``initrds`` in order, without contents.

    Raises InputError naming the file that is missing or cannot be read.
    """
    files = [_file(image, path) for path in initrds]
    if sum(file.bytes for file in files) < WORTH_REMEMBERING:
        return _walk(stream, files)
    digests = [volume.digest(stream, file).hex for file in files]
    key = Digest.of(json.dumps([FORMAT, digests]).encode())
    place = places.cache() / "initramfs" / f"{key.hex}.json"
    known = _recall(place)
    if known is None:
        known = _walk(stream, files)
        with contextlib.suppress(BuilderError):  # no cache only costs time
            atomic.write_text(place, _text(known))
    return known


def _file(image: Image, path: str) -> IsoFile:
    file = image.volume.find(path)
    if file is None:
        raise InputError("missing-boot-file", f"{path} is not in the ISO")
    return file


def _walk(stream: BinaryIO, files: list[IsoFile]) -> dict[str, Entry]:
    listing: dict[str, Entry] = {}
    for file in files:
        try:
            listing |= list_initramfs(volume.open_file(stream, file))
        except InputError as error:
            raise InputError(error.code, f"{file.path} of the base: {error.message}") from error
    return listing


def _text(listing: Mapping[str, Entry]) -> str:
    """A listing as JSON: paths and modes. Names that are not UTF-8 survive as JSON escapes."""
    return json.dumps({name: entry.mode for name, entry in listing.items()})


def _recall(place: Path) -> dict[str, Entry] | None:
    try:
        return {name: Entry(name, int(mode)) for name, mode in json.loads(place.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None
