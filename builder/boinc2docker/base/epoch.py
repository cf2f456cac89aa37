"""The time stamp of everything built from a base: ``SOURCE_DATE_EPOCH``, else the base's own.

https://reproducible-builds.org/specs/source-date-epoch/
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from pathlib import Path

from boinc2docker.errors import UsageError

_VOLUME_DESCRIPTOR = 16 * 2048
_MODIFIED = 830
"""Offset of the volume modification date (ECMA-119, 8.4.27): 16 digits down to hundredths, then quarter hours."""


def chosen(environment: Mapping[str, str] = os.environ) -> int | None:
    """``SOURCE_DATE_EPOCH`` in seconds, None if it is unset. Raises UsageError if it is not a number."""
    text = environment.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise UsageError("bad-epoch", f"SOURCE_DATE_EPOCH: expected seconds since 1970, found {text!r}")
    return int(text)


def of_iso(path: Path) -> int:
    """When an ISO's volume was last modified; 0 if that cannot be read."""
    with path.open("rb") as stream:
        stream.seek(_VOLUME_DESCRIPTOR)
        descriptor = stream.read(2048)
    return of_descriptor(descriptor)


def of_descriptor(descriptor: bytes) -> int:
    """The modification date in a primary volume descriptor, in seconds; 0 if there is none."""
    field = descriptor[_MODIFIED : _MODIFIED + 17]
    if descriptor[1:6] != b"CD001" or len(field) != 17:
        return 0
    try:
        local = datetime.datetime.strptime(field[:14].decode("ascii"), "%Y%m%d%H%M%S").replace(tzinfo=datetime.UTC)
    except ValueError:
        return 0
    quarters = int.from_bytes(field[16:], "big", signed=True)
    return max(0, int(local.timestamp()) - quarters * 15 * 60)
