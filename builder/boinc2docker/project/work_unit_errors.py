"""Why a work unit ended without a result: the bits of its ``error_mask``. Source: BOINC ``db/boinc_db_types.h``."""

from __future__ import annotations

CANCELLED = 16
ERRORS = {
    1: "could not be sent",
    2: "too many errors",
    4: "too many successes that do not agree",
    8: "too many results",
    CANCELLED: "cancelled",
    32: "no canonical result",
}


def reasons(mask: int) -> list[str]:
    """One for each bit that is set and known."""
    return [text for bit, text in ERRORS.items() if mask & bit]
