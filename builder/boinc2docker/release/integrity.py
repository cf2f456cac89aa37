"""Whether the files of a release are as they were released, and if not, which one was changed.

``SHA256SUMS`` has the digest of every reproducible file; ``measurements.json`` has that of ``SHA256SUMS``, and its own.
So any one changed file is named, without a key. Only a signature shows that all of them were changed together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from boinc2docker.digest import Digest
from boinc2docker.errors import BuilderError, InputError
from boinc2docker.release import contents, minisign, provenance
from boinc2docker.release.contents import MEASUREMENTS, PUBLIC_KEY, SIGNATURES, SUMS, Names
from boinc2docker.release.minisign import PublicKey

_LARGEST_TEXT = 64 << 20
_NAMED = re.compile(r"boinc2docker-(.*)\.(?:iso|provenance\.json)")
T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """A file of a release, and what is wrong with it."""

    file: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """What the files say of themselves. ``signer`` is the number of the key whose signatures hold, if any."""

    names: Names
    problems: tuple[Problem, ...]
    signer: str | None


@dataclass
class _Case:
    """A release under judgement. ``digests`` are those of its files as they are."""

    directory: Path
    names: Names
    digests: dict[str, Digest] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def blamed(self) -> set[str]:
        return {problem.file for problem in self.problems}

    def blame(self, name: str, text: str) -> None:
        """Notes a file's first problem."""
        if name not in self.blamed:
            self.problems.append(Problem(name, text))

    def text(self, name: str) -> str | None:
        """The text of a small file; None if it is missing or not text, which is noted."""
        try:
            with (self.directory / name).open("rb") as stream:
                return stream.read(_LARGEST_TEXT).decode()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self.blame(name, f"cannot be read: {error}")
            return None


def names_of(directory: Path) -> Names:
    """The names of the release in ``directory``. Raises InputError if there is none."""
    if not directory.is_dir():
        raise InputError("no-release", f"{directory} is not a directory")
    named = [_NAMED.fullmatch(path.name) for path in directory.iterdir()]
    versions = Counter(match[1] for match in named if match)
    if not versions:
        raise InputError("no-release", f"{directory} holds no release", hint="`release` makes one, in a checkout")
    return Names(max(versions, key=lambda version: (versions[version], version)))


def judge(directory: Path, key: PublicKey | None = None) -> Verdict:
    """Reads every byte of every file. With ``key``, only its signature counts; without, that of any key does."""
    case = _Case(directory, names_of(directory))
    _require_files(case)
    _judge_sums(case)
    _judge_provenance(case)
    signer = _signer(case, key)
    return Verdict(case.names, tuple(case.problems), signer)


def _require_files(case: _Case) -> None:
    here = {path.name for path in case.directory.iterdir()}
    for name in sorted(case.names.required - here):
        case.blame(name, "is missing")
    for name in sorted(here - case.names.possible):
        case.blame(name, "is not a file of this release")
    for name in sorted(here & case.names.possible):
        path = case.directory / name
        if path.is_symlink() or not path.is_file():
            case.blame(name, "is not a regular file")
        else:
            case.digests[name] = Digest.of_file(path)


def _judge_sums(case: _Case) -> None:
    """Holds ``SHA256SUMS`` against measurements.json, and every reproducible file against ``SHA256SUMS``."""
    measured = _parsed(case, MEASUREMENTS, contents.parse_measurements)
    sums = _parsed(case, SUMS, contents.parse_sums)
    if measured is not None and SUMS in case.digests and case.digests[SUMS] != measured[1]:
        case.blame(SUMS, f"is not the one that {MEASUREMENTS} was made with")
    if sums is None or SUMS in case.blamed:
        return
    if sums.keys() != set(case.names.reproducible):
        case.blame(SUMS, "does not name exactly the reproducible files of a release")
    for name, digest in sums.items():
        if name in case.digests and case.digests[name] != digest:
            case.blame(name, f"has another digest than {SUMS} says")


def _judge_provenance(case: _Case) -> None:
    """Holds the provenance against the files it speaks of, unless one of them is known to be changed."""
    statement = _parsed(case, case.names.provenance, provenance.parse)
    if statement is None or case.problems:
        return
    if statement.subjects != {name: case.digests[name] for name in case.names.subjects}:
        case.blame(case.names.provenance, "does not speak of the release's files")


def _parsed(case: _Case, name: str, parse: Callable[[str], T]) -> T | None:
    text = case.text(name)
    if text is None:
        return None
    try:
        return parse(text)
    except BuilderError as error:
        case.blame(name, error.message)
        return None


def _signer(case: _Case, key: PublicKey | None) -> str | None:
    """The number of the key that signed, if every signature holds."""
    given = [name for name in (PUBLIC_KEY, *SIGNATURES.values()) if name in case.digests]
    if not given:
        if key is not None:
            case.blame(SIGNATURES[SUMS], f"is missing: the release is not signed by {key.number}")
        return None
    for name in sorted({PUBLIC_KEY, *SIGNATURES.values()} - set(given)):
        case.blame(name, "is missing from a signed release")
    inside = _parsed(case, PUBLIC_KEY, minisign.parse_key)
    if inside is not None and inside.text() != case.text(PUBLIC_KEY):
        case.blame(PUBLIC_KEY, "is not as minisign writes it")
    if key is not None and inside is not None and inside != key:
        case.blame(PUBLIC_KEY, f"is another key than {key.number}")
    failed = {name: reason for name in SIGNATURES if (reason := _fails(case, name, key or inside)) is not None}
    changed = case.blamed
    if key is None and len(failed) == len(SIGNATURES) and not changed & set(failed):
        case.blame(PUBLIC_KEY, "is not the key of the signatures")
        return None
    for name, reason in failed.items():
        if name not in changed:
            case.blame(SIGNATURES[name], reason)
    signer = key or inside
    return signer.number if signer and not failed and PUBLIC_KEY not in changed else None


def _fails(case: _Case, name: str, key: PublicKey | None) -> str | None:
    """Why a file's signature does not hold; None if it does, or if what it needs is missing (noted elsewhere)."""
    signature, path = case.text(SIGNATURES[name]), case.directory / name
    if signature is None or key is None or name not in case.digests:
        return None
    try:
        minisign.verify(path.read_bytes(), signature, key, f"boinc2docker {case.names.version} {name}")
    except BuilderError as error:
        return error.message
    return None
