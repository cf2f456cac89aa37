"""A BOINC project's directory on its server: is it one, and can BOINC's programs work with it.

Layout: BOINC ``py/Boinc/setup_project.py``; the rules are those of ``tools/update_versions``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.app import merge
from builder.app.settings import SAFE_PATH
from builder.app.signing import SUFFIX, UNSIGNED, load_private, load_public, verify_directory
from builder.app.tree import Directory
from builder.errors import InputError

VARIABLES = ("PROJHOME", "BOINC_PROJECT_DIR")
SIGNER = "bin/sign_executable"
_KEYS = ("download_dir", "download_url", "key_dir")


@dataclass(frozen=True)
class Project:
    """A project's root, and the directories its config.xml names."""

    root: Path
    download: Path
    keys: Path

    @property
    def apps(self) -> Path:
        return self.root / "apps"


def from_environment(environment: Mapping[str, str] = os.environ) -> Path | None:
    """``$PROJHOME``, else ``$BOINC_PROJECT_DIR``, else None."""
    return next((Path(environment[name]) for name in VARIABLES if environment.get(name)), None)


def open_project(path: Path) -> Project:
    """Raises InputError for a directory that is no project, or whose paths BOINC's programs would break at."""
    if not path.is_dir():
        raise InputError("no-project", f"{path} is not a directory", hint="--project takes a BOINC project's directory")
    root = path.resolve()
    data = read_file(root / "config.xml")
    if data is None:
        raise InputError("no-project", f"{root} is not a BOINC project: it has no config.xml")
    document = merge.read_root(data, "config.xml")
    config = next(document.all("config"), None)
    values = {key: config.child_text(key) if config else None for key in _KEYS}
    lacking = [key for key, value in values.items() if not value]
    if document.name != "boinc" or lacking:
        message = f"{root / 'config.xml'} is not a BOINC project's: it lacks {', '.join(lacking) or 'the root <boinc>'}"
        raise InputError("no-project", message)
    project = Project(root, root / str(values["download_dir"]), root / str(values["key_dir"]))
    for used in (project.root, project.download, project.keys):
        if not SAFE_PATH.fullmatch(str(used)):
            raise InputError(
                "unsafe-path",
                f"{str(used)!r}: BOINC's programs put paths unquoted into shell commands; "
                "expected letters, digits and _./+@,:=%- only",
                hint="move the project, or reach it by another path (a symbolic link will not do)",
            )
    return project


def read_file(path: Path) -> bytes | None:
    """A project's file, or None if there is none. Raises InputError for one that cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError("bad-project-file", f"cannot read {path}: {error.strerror}") from error


def require_no_strays(project: Project, apps: Sequence[str]) -> None:
    """Raises InputError for anything in ``apps/`` that is no app: it would stop ``update_versions`` altogether."""
    there = sorted(path.name for path in project.apps.glob("*")) if project.apps.is_dir() else []
    strays = [name for name in there if not name.startswith(".") and name not in apps]
    if strays:
        raise InputError(
            "stray-app",
            f"{project.apps / strays[0]} is no app of project.xml, and update_versions would stop at it",
            hint="move it away, or add the app to project.xml",
        )


def require_publishable(project: Project, directories: Sequence[Directory]) -> None:
    """Raises InputError if the download directory has another file under one of the names: names are immutable."""
    for directory in directories:
        for file in directory.files:
            if file.name == UNSIGNED or file.name.endswith(SUFFIX):
                continue
            published = project.download / file.name
            if published.is_file() and _md5(published) != _md5(file.content):
                raise InputError(
                    "name-taken",
                    f"{published} is published with other content, and BOINC's file names are immutable",
                    hint="a vboxwrapper of your own needs a number of its own in its name",
                )


def published(project: Project, directories: Sequence[Directory]) -> set[Path]:
    """The files of a version that lie in the download directory, where ``update_versions`` puts them."""
    names = {file.name for one in directories for file in one.files if file.name != UNSIGNED}
    return {path for name in names if (path := project.download / name).is_file()}


def require_signatures(project: Project, version: Path) -> str | None:
    """What is to be done about signatures before ``update_versions`` can run, or None.

    Raises InputError if a signature that is there does not fit the project's public key.
    """
    public = project.keys / "code_sign_public"
    unsigned = [one for one in version.rglob("*__*/*") if _needs_signature(one)]
    if public.is_file() and len(list(version.rglob(f"*{SUFFIX}"))):
        wrong = [one.path.name for one in verify_directory(version, load_public(public)) if one.state == "wrong"]
        if wrong:
            raise InputError("wrong-signature", f"the signature of {wrong[0]} does not fit {public}", hint="sign again")
    return _why_not_signed(project, unsigned[0].name) if unsigned else None


def _why_not_signed(project: Project, file: str) -> str | None:
    """Why the server's own key would not do: what it cannot sign is published without, and no host takes that."""
    private, public = (project.keys / f"code_sign_{kind}" for kind in ("private", "public"))
    if not private.is_file():
        return f"sign the files first: the project has no private key, and {file} has no signature"
    if not (project.root / SIGNER).is_file():
        return f"sign the files first: the project has no {SIGNER}, and {file} has no signature"
    try:
        key = load_private(private)
        if public.is_file() and load_public(public).public_numbers() != key.public_key().public_numbers():
            return f"sign the files with the project's key: {private} does not belong to {public.name}"
    except InputError as error:
        return f"sign the files first: {error.message}"
    return None


def _needs_signature(path: Path) -> bool:
    plain = path.name != UNSIGNED and path.suffix != SUFFIX
    return plain and not path.with_name(path.name + SUFFIX).exists()


def _md5(content: Path | bytes) -> str:
    if isinstance(content, bytes):
        return hashlib.md5(content, usedforsecurity=False).hexdigest()
    with content.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
