"""Whether the files of a release belong together, and if not, which one was changed.

Two files vouch for every byte, without any key: ``SHA256SUMS`` and the provenance both hold the digest of every file,
``SHA256SUMS`` that of the provenance, ``measurements.json`` that of ``SHA256SUMS`` and its own. So a single changed
file is the one the others disagree with. If someone changes all of them together, only the signature shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from boinc2docker.digest import Digest
from boinc2docker.errors import BuilderError, InputError
from boinc2docker.release import contents, minisign, provenance
from boinc2docker.release.contents import MEASUREMENTS, PUBLIC_KEY, SIGNATURES, SUMS, Names
from boinc2docker.release.minisign import PublicKey

_LARGEST_TEXT = 64 << 20
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
    directory: Path
    names: Names
    actual: dict[str, Digest] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def blame(self, name: str, text: str) -> None:
        if all(known.file != name for known in self.problems):
            self.problems.append(Problem(name, text))

    def text(self, name: str) -> str | None:
        """A small file's text; None if it is missing or not text, which is noted."""
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
    found: dict[str, int] = {}
    for path in directory.iterdir():
        version, dot, suffix = path.name.removeprefix("boinc2docker-").partition(".provenance.json")
        if not dot:
            version, dot, suffix = path.name.removeprefix("boinc2docker-").partition(".iso")
        if dot and not suffix and path.name.startswith("boinc2docker-"):
            found[version] = found.get(version, 0) + 1
    if not found:
        raise InputError("no-release", f"{directory} holds no release", hint="`ci/invoke release` makes one")
    return Names(max(found, key=lambda version: (found[version], version)))


def judge(directory: Path, key: PublicKey | None = None) -> Verdict:
    """Reads every byte of every file. ``key`` is the only key whose signature counts; without it any one does."""
    case = _Case(directory, names_of(directory))
    _require_files(case)
    sums, statement = _sums(case), _statement(case)
    _hold_together(case, sums, statement)
    _judge_measurements(case, sums)
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
            case.actual[name] = Digest.of_file(path)


def _sums(case: _Case) -> dict[str, Digest]:
    return _parsed(case, SUMS, contents.parse_sums) or {}


def _statement(case: _Case) -> Mapping[str, Digest]:
    found = _parsed(case, case.names.provenance, provenance.parse)
    return found.subjects if found else {}


def _parsed(case: _Case, name: str, parse: Callable[[str], T]) -> T | None:
    text = case.text(name)
    if text is None:
        return None
    try:
        return parse(text)
    except BuilderError as error:
        case.blame(name, error.message)
        return None


def _hold_together(case: _Case, sums: Mapping[str, Digest], statement: Mapping[str, Digest]) -> None:
    """Each file's digest as it is, as SHA256SUMS and as the provenance have it: two agree against the one changed."""
    names = case.names
    for name in names.subjects:
        actual, listed, stated = case.actual.get(name), sums.get(name), statement.get(name)
        if actual is None or actual == listed == stated:
            continue
        if sums and statement and listed == stated:
            case.blame(name, f"has another digest than {SUMS} and the provenance say")
        elif sums and actual == stated:
            case.blame(SUMS, f"has another digest of {name} than the file and the provenance")
        elif statement and actual == listed:
            case.blame(names.provenance, f"has another digest of {name} than the file and {SUMS}")
        elif actual not in (listed, stated):
            case.blame(name, "has another digest than recorded")
    if set(sums) != set(names.reproducible):
        case.blame(SUMS, "does not name exactly the reproducible files of a release")
    if statement and set(statement) != set(names.subjects):
        case.blame(names.provenance, "does not speak of the release's files")


def _judge_measurements(case: _Case, sums: Mapping[str, Digest]) -> None:
    """The third witness: was SHA256SUMS or the provenance changed, when they disagree?"""
    found = _parsed(case, MEASUREMENTS, contents.parse_measurements)
    provenance_name = case.names.provenance
    actual = case.actual.get(provenance_name)
    disagree = bool(sums) and actual is not None and sums.get(provenance_name) != actual
    known = {problem.file for problem in case.problems}
    if found is None:
        if disagree and not known & {SUMS, provenance_name}:
            case.blame(provenance_name, f"has another digest than {SUMS} says")
        return
    intact = case.actual.get(SUMS) == found[1]
    if not intact and SUMS in case.actual and SUMS not in known and not disagree:
        case.blame(MEASUREMENTS, f"was made with another {SUMS}")
    elif not intact and SUMS in case.actual and provenance_name not in known:
        case.blame(SUMS, "was changed since the release was measured")
    elif disagree and intact:
        case.blame(provenance_name, f"has another digest than {SUMS} says")


def _signer(case: _Case, key: PublicKey | None) -> str | None:
    """The key that signed, if every signature holds. Two signatures by one key: the one that fails was changed."""
    given = [name for name in (PUBLIC_KEY, *SIGNATURES.values()) if name in case.actual]
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
    changed = {problem.file for problem in case.problems}
    if key is None and len(failed) == len(SIGNATURES) and not changed & set(failed):
        case.blame(PUBLIC_KEY, "is not the key of the signatures")
        return None
    for name, reason in failed.items():
        if name not in changed:
            case.blame(SIGNATURES[name], reason)
    signer = key or inside
    return signer.number if signer and not failed and PUBLIC_KEY not in changed else None


def _fails(case: _Case, name: str, key: PublicKey | None) -> str | None:
    """Why the signature of a file does not hold; None if it does, or if what it needs is missing (noted elsewhere)."""
    signature, path = case.text(SIGNATURES[name]), case.directory / name
    if signature is None or key is None or name not in case.actual:
        return None
    try:
        minisign.verify(path.read_bytes(), signature, key, f"boinc2docker {case.names.version} {name}")
    except BuilderError as error:
        return error.message
    return None
