"""Amounts as people write them: ``2GB``, ``512m``, ``1.5``."""

from __future__ import annotations

import re
from decimal import Decimal

from boinc2docker.errors import UsageError

_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*(b|k|kb|kib|m|mb|mib|g|gb|gib|t|tb|tib)?", re.IGNORECASE | re.ASCII)
_EXPONENT = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_bytes(text: str, what: str) -> int:
    """Bytes of ``2GB``, ``512m``, ``1.5GiB`` or a bare number of bytes; powers of 1024, as for Docker's --memory.

    Raises UsageError naming the option ``what``.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise UsageError("bad-size", f"{what}: expected a size like 512MB or 2GB, found {text[:80]!r}")
    unit = (found[2] or "").lower()[:1]
    return int(Decimal(found[1]) * 1024 ** _EXPONENT[unit])


def parse_seconds(text: str, what: str, *, zero: bool = False) -> float:
    """Seconds of ``90``, ``90s``, ``15m``, ``2h`` or ``3d``; of 0 only where ``zero`` is a time.

    Raises UsageError naming the option ``what``.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip().lower(), re.ASCII)
    if found is None or (float(found[1]) == 0 and not zero):
        raise UsageError("bad-time", f"{what}: expected a time like 90s, 15m or 2h, found {text[:80]!r}")
    return float(found[1]) * _SECONDS[found[2]]


def parse_count(text: str, what: str, *, most: int) -> int:
    """A whole number from 1 to ``most``. Raises UsageError naming the option ``what``."""
    if not re.fullmatch(r"\d{1,9}", text.strip(), re.ASCII) or not 1 <= int(text) <= most:
        raise UsageError("bad-number", f"{what}: expected a whole number from 1 to {most}, found {text[:80]!r}")
    return int(text)
