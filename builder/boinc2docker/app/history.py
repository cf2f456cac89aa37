"""What ``package-app`` has installed on a project's server, so that it can go back: ``boinc2docker/APP.json``.

It holds the last installations of an app, each with the files that it wrote and the environment that they name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from boinc2docker.errors import InputError

_DIRECTORY = "boinc2docker"
_KEPT = 3
"""Installations at least, with the current one and the one before it."""


def file_of(root: Path, app: str) -> Path:
    """Where the history of ``app`` lies in the project."""
    return root / _DIRECTORY / f"{app}.json"


@dataclass(frozen=True)
class Stored:
    """A file as an installation wrote it; ``path`` is below the project's root."""

    path: str
    mode: int
    text: str

    @classmethod
    def of(cls, path: str, mode: int, data: bytes) -> Stored:
        return cls(path, mode, data.decode(errors="surrogateescape"))

    @property
    def data(self) -> bytes:
        return self.text.encode(errors="surrogateescape")


@dataclass(frozen=True)
class Installation:
    """One call of package-app that changed something. ``before`` is the number of the one that it replaced, 0 if none;
    ``environment`` is its name, "" if no program was installed."""

    number: int
    version: str
    environment: str
    at: str
    before: int
    files: tuple[Stored, ...]

    def file(self, path: str) -> Stored | None:
        return next((one for one in self.files if one.path == path), None)


@dataclass(frozen=True)
class History:
    """The installations of ``app``, oldest first; ``current`` is the number of the one that counts, 0 if none does."""

    app: str
    current: int = 0
    installations: tuple[Installation, ...] = ()

    @classmethod
    def read(cls, app: str, data: bytes | None) -> History:
        """From the file's bytes. Raises InputError."""
        if data is None:
            return cls(app)
        try:
            document = json.loads(data)
            found = tuple(_installation(one) for one in document["installations"])
            return cls(app, int(document["current"]), found)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                "bad-project-file",
                f"{_DIRECTORY}/{app}.json is not what package-app left there: {error!r}",
                hint="restore it from a backup, or remove it: then there is nothing to go back to",
            ) from error

    def render(self) -> bytes:
        about = "What package-app installed, for `package-app --roll-back`. Keep this file."
        installations = [asdict(one) for one in self.installations]
        document = {"about": about, "current": self.current, "installations": installations}
        return (json.dumps(document, indent=1) + "\n").encode()

    def numbered(self, number: int) -> Installation | None:
        return next((one for one in self.installations if one.number == number), None)

    def with_next(self, version: str, environment: str, at: str, files: Sequence[Stored]) -> History:
        """With one more installation, which is the current one; as it is if that one is just so already."""
        now = self.numbered(self.current)
        if now and (now.version, now.environment, now.files) == (version, environment, tuple(files)):
            return self
        number = max((one.number for one in self.installations), default=0) + 1
        made = Installation(number, version, environment, at, self.current, tuple(files))
        kept = [one for one in self.installations if one.number > number - _KEPT or one.number == self.current]
        return replace(self, current=number, installations=(*kept, made))

    def earlier(self, version: str | None) -> Installation:
        """What ``--roll-back`` goes to: the installation before the current one, or the last of ``version``.

        Raises InputError if there is none.
        """
        now = self.numbered(self.current)
        if version is None:
            found = self.numbered(now.before) if now else None
        else:
            others = [one for one in self.installations if one.version == version and one.number != self.current]
            found = others[-1] if others else None
        if found is None:
            known = ", ".join(f"{one.version} ({one.at})" for one in self.installations if one != now)
            wanted = f"no installation of {self.app} {version}" if version else f"nothing before {self.app}"
            raise InputError(
                "no-roll-back",
                f"there is {wanted}{f' {now.version}' if now and not version else ''} to go back to",
                hint=f"--roll-back --version X.YY goes to one of: {known}"
                if known
                else "package-app installs a version",
            )
        return found


def environments(root: Path) -> dict[str, list[str]]:
    """For the name of each environment that a history knows, the apps and versions that it was installed for.

    Raises InputError for a history that cannot be read.
    """
    found: dict[str, list[str]] = {}
    for path in sorted((root / _DIRECTORY).glob("*.json")):
        try:
            history = History.read(path.stem, path.read_bytes())
        except OSError as error:
            raise InputError("bad-project-file", f"cannot read {path}: {error.strerror}") from error
        for one in history.installations:
            name = f"{history.app} {one.version}"
            if name not in found.setdefault(one.environment, []):
                found[one.environment].append(name)
    return found


def _installation(document: Mapping[str, object]) -> Installation:
    files = document["files"]
    if not isinstance(files, list):
        raise TypeError("files")
    made = Installation(**{**document, "files": tuple(Stored(**one) for one in files)})  # type: ignore[arg-type]
    if not isinstance(made.number, int) or not isinstance(made.before, int):
        raise TypeError("number")
    return made
