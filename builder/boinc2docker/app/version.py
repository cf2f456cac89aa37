"""Version numbers of BOINC apps, as ``update_versions`` reads them.

``MAJOR.MINOR`` becomes MINOR + 100·MAJOR. So ``1.2`` is 102 and not 120, and ``1.100`` is 200: only two digits after
the dot sort as they read. Source: BOINC ``tools/update_versions``, ``parse_version``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from boinc2docker.errors import UsageError

_FORM = re.compile(r"(0|[1-9][0-9]{0,4})\.([0-9]{2})")
_SHORT = re.compile(r"([0-9]{1,5})\.([0-9]{1,3})")


@dataclass(frozen=True, order=True)
class Version:
    """An app version by its number in BOINC's database."""

    number: int

    @classmethod
    def parse(cls, text: str) -> Version:
        """Reads ``1.02``. Raises UsageError for every other form, with what may have been meant."""
        match = _FORM.fullmatch(text)
        if match is None or not int(match[1] + match[2]):
            raise UsageError(
                "bad-version",
                f"expected a version such as 1.02 (two digits after the dot, above 0.00), found {text!r}",
                hint=_meant(text),
            )
        return cls(100 * int(match[1]) + int(match[2]))

    def __str__(self) -> str:
        return f"{self.number // 100}.{self.number % 100:02}"

    def next(self) -> Version:
        return Version(self.number + 1)


def directory_number(name: str) -> int | None:
    """The number BOINC gives to a directory ``apps/APP/<name>``; None if it skips the directory."""
    major, dot, minor = name.partition(".")
    minor = minor.partition(".")[0]
    if not re.fullmatch("[0-9]+", major) or (dot and not re.fullmatch("[0-9]+", minor)):
        return None
    return 100 * int(major) + int(minor) if dot else int(major)


def _meant(text: str) -> str | None:
    short = _SHORT.fullmatch(text)
    if short and len(short[2]) != 2:
        number = directory_number(text) or 0
        return f"BOINC reads {text} as number {number}, which is {Version(number)}" if number else None
    if re.fullmatch(r"[1-9][0-9]{0,4}", text):
        return f"write {text}.00"
    return None
