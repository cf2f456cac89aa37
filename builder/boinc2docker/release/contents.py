"""The files of a release, and ``SHA256SUMS``.

Reproducible files depend on the commit only, and ``SHA256SUMS`` lists exactly these: it is the same for two releases of
one commit. Measurements differ each time, so they have a file of their own, which contains its own digest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from boinc2docker.digest import Digest
from boinc2docker.errors import InputError
from boinc2docker.release.documents import NAME, canonical

SUMS = "SHA256SUMS"
NOTES = "RELEASE_NOTES.md"
MEASUREMENTS = "measurements.json"
PUBLIC_KEY = "minisign.pub"
SIGNATURES = {SUMS: f"{SUMS}.minisig", MEASUREMENTS: f"{MEASUREMENTS}.minisig"}
"""Signed files, and their signatures' files."""

_SELF = "own_sha256"
_OF_SUMS = "sums_sha256"
_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9._-]+)")
_VERSION = re.compile(r"\d+\.\d+\.\d+")


@dataclass(frozen=True)
class Names:
    """The names of a release's files."""

    version: str

    def __post_init__(self) -> None:
        if not _VERSION.fullmatch(self.version):
            raise InputError("bad-version", f"expected a version such as 2.0.0, found {self.version!r}")

    def _of(self, suffix: str) -> str:
        return f"{NAME}-{self.version}.{suffix}"

    @property
    def iso(self) -> str:
        return self._of("iso")

    @property
    def identity(self) -> str:
        return self._of("identity.json")

    @property
    def cyclonedx(self) -> str:
        return self._of("cdx.json")

    @property
    def spdx(self) -> str:
        return self._of("spdx.json")

    @property
    def sizes(self) -> str:
        return self._of("sizes.json")

    @property
    def provenance(self) -> str:
        return self._of("provenance.json")

    @property
    def subjects(self) -> tuple[str, ...]:
        """The reproducible files that the provenance describes: all but itself."""
        return (NOTES, self.cyclonedx, self.identity, self.iso, self.sizes, self.spdx)

    @property
    def reproducible(self) -> tuple[str, ...]:
        """The files that ``SHA256SUMS`` lists."""
        return tuple(sorted((*self.subjects, self.provenance)))

    @property
    def required(self) -> frozenset[str]:
        """All files of an unsigned release."""
        return frozenset((*self.reproducible, SUMS, MEASUREMENTS))

    @property
    def possible(self) -> frozenset[str]:
        """All files of a signed one."""
        return self.required | {PUBLIC_KEY, *SIGNATURES.values()}


def sums_text(digests: Mapping[str, Digest]) -> str:
    """``SHA256SUMS`` as ``sha256sum --check`` reads it, sorted by name: one text for one set of digests."""
    return "".join(f"{digests[name].hex}  {name}\n" for name in sorted(digests))


def parse_sums(text: str) -> dict[str, Digest]:
    """Digests by name. Raises InputError unless the text is exactly what ``sums_text`` writes."""
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise InputError("bad-sums", f"line {number}: expected a digest, two spaces and a name")
        found[match[2]] = Digest(match[1])
    if sums_text(found) != text:
        raise InputError("bad-sums", "expected sorted lines, each name once")
    return found


def measurements_text(figures: Mapping[str, Any], sums: str) -> str:
    """``measurements.json``: figures, the digest of ``SHA256SUMS`` they belong to, and its own without that line."""
    value = {**figures, _OF_SUMS: Digest.of(sums.encode()).hex}
    return canonical({**value, _SELF: Digest.of(canonical(value).encode()).hex})


def parse_measurements(text: str) -> tuple[dict[str, Any], Digest]:
    """The figures, and the digest of their ``SHA256SUMS``. Raises InputError if a byte was changed."""
    try:
        value = json.loads(text)
        own = value.pop(_SELF)
        sums = Digest.parse(value[_OF_SUMS])
        whole = Digest.of(canonical(value).encode()).hex == own and canonical({**value, _SELF: own}) == text
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError("bad-measurements", f"cannot be read: {error!r}") from error
    if not whole:
        raise InputError("bad-measurements", "its own digest does not hold")
    return value, sums
