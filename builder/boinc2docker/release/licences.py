"""A Debian package's licences as an SPDX expression; where that is uncertain, a reference to the package's text.

Sources: Debian's machine-readable ``debian/copyright`` format 1.0, section 7.1 (short names); SPDX 2.3, annex D
(expressions). A name is certain if SPDX or Debian's format defines it. ``MIT``, and ``GPL`` without a version, are
not: Debian's format warns that the first stands for several texts.
"""

from __future__ import annotations

import functools
import io
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from debian.copyright import Copyright, MachineReadableFormatError, NotMachineReadableError

_GNU = re.compile(r"(A?GPL|LGPL|GFDL)-(\d(?:\.\d)?)(\+?)")
_DEBIAN = {
    "expat": "MIT",
    "apache-2": "Apache-2.0",
    "openldap-2.8": "OLDAP-2.8",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
}
_NOT_CERTAIN = {"mit", "artistic", "gpl", "lgpl"}
_WITH = {"gpl-2 with linux-syscall-note exception": "GPL-2.0-only WITH Linux-syscall-note"}


@dataclass(frozen=True)
class Licence:
    """An SPDX expression, and for each ``LicenseRef-…`` in it the name that the package uses."""

    expression: str
    references: tuple[tuple[str, str], ...] = ()


@functools.cache
def _spdx_names() -> dict[str, str]:
    """SPDX's current identifiers, by lower-case form."""
    from license_expression import get_license_index

    names = (entry.get("spdx_license_key") for entry in get_license_index() if not entry.get("is_exception"))
    return {name.lower(): name for name in names if name and not name.startswith("LicenseRef")}


def term(name: str) -> str | None:
    """The SPDX identifier of a short name; None if it is uncertain."""
    plain = " ".join(name.split()).lower()
    if plain in _WITH:
        return _WITH[plain]
    if plain in _NOT_CERTAIN:
        return None
    if plain in _DEBIAN:
        return _DEBIAN[plain]
    gnu = _GNU.fullmatch(name.strip().upper())
    if gnu is not None:
        version = gnu[2] if "." in gnu[2] else f"{gnu[2]}.0"
        found = f"{gnu[1]}-{version}-{'or-later' if gnu[3] else 'only'}"
        return found if found.lower() in _spdx_names() else None
    return _spdx_names().get(plain)


def of_synopsis(synopsis: str, owner: str) -> Licence:
    """A ``License`` field's first line as an expression; uncertain names become ``LicenseRef-Debian-<owner>-…``.

    ``and`` binds stronger than ``or``, and a comma weaker than both: ``A or B, and C`` is ``(A or B) and C``.
    """
    references: dict[str, str] = {}

    def one(name: str) -> str:
        known = term(name)
        if known is None:
            known = _reference(owner, name)
            references[known] = " ".join(name.split())
        return known

    parts = [part for part in re.split(r",\s*(?:and\s+)?", synopsis.strip(), flags=re.IGNORECASE) if part.strip()]
    return _joined([Licence(_alternatives(part, one), tuple(references.items())) for part in parts or ["unnamed"]])


def of_copyright(text: str, owner: str) -> Licence:
    """All licences of a ``debian/copyright`` file; a reference to the file if it is not machine-readable.

    ``owner`` is the source package's name. All licences of the source are joined by AND, including those of its
    build scripts: the text does not say which of them apply to a binary package.
    """
    logging.getLogger("debian.copyright").setLevel(logging.ERROR)
    try:
        parsed = Copyright(io.StringIO(text), strict=False)
        fields: list[Any] = [paragraph.license for paragraph in parsed.all_files_paragraphs()]
        found = {str(field.synopsis) for field in fields if field is not None}
    except (NotMachineReadableError, MachineReadableFormatError, ValueError):
        found = set()
    names = sorted(name for name in found if name.strip())
    if not names:
        reference = _reference(owner, "copyright")
        return Licence(reference, ((reference, "the whole text"),))
    return _joined([of_synopsis(name, owner) for name in names])


def _alternatives(part: str, one: Callable[[str], str]) -> str:
    sides = []
    for side in re.split(r"\s+or\s+", part.strip(), flags=re.IGNORECASE):
        names = [one(name) for name in re.split(r"\s+and\s+", side, flags=re.IGNORECASE)]
        sides.append(" AND ".join(dict.fromkeys(names)))
    return sides[0] if len(sides) == 1 else " OR ".join(_enclosed(side) for side in sides)


def _joined(licences: Sequence[Licence]) -> Licence:
    """The conjunction of all licences, with each term once."""
    terms: dict[str, None] = {}
    for licence in licences:
        text = licence.expression
        plain = " OR " not in text
        terms |= dict.fromkeys(text.split(" AND ") if plain else [_enclosed(text) if len(licences) > 1 else text])
    references = {name: text for licence in licences for name, text in licence.references}
    return Licence(" AND ".join(terms), tuple(sorted(references.items())))


def _enclosed(text: str) -> str:
    return f"({text})" if " " in text else text


def _reference(owner: str, name: str) -> str:
    """``LicenseRef-…`` may hold letters, digits, dots and hyphens only (SPDX 2.3, 10.1)."""
    return "LicenseRef-Debian-" + re.sub(r"[^A-Za-z0-9.]+", "-", f"{owner}-{name}".replace("+", "-or-later")).strip("-")
