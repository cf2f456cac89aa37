"""A BOINC project's directory on its server: is it one, and can BOINC's programs work with it.

Layout: BOINC ``py/Boinc/setup_project.py``; the rules are those of ``tools/update_versions``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from boinc2docker import typed
from boinc2docker.app import merge
from boinc2docker.app.code_key import render_hex
from boinc2docker.app.settings import SAFE_PATH
from boinc2docker.app.signing import SUFFIX, UNSIGNED, load_private, load_public, sign_bytes, verify_directory
from boinc2docker.app.tree import Directory, File
from boinc2docker.errors import InputError

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


def signed(project: Project, version: Path, directories: Sequence[Directory]) -> tuple[Directory, ...]:
    """``directories`` with a signature for every file; those that lack are made with the server's own key.

    ``update_versions`` would have them made by a program whose failure it takes for a signature, and no host would ever
    accept that version. Raises InputError: "unsigned" if the server's key will not do, "wrong-signature" if a signature
    below ``version`` does not fit the project's public key.
    """
    public = project.keys / "code_sign_public"
    if public.is_file() and any(file.name.endswith(SUFFIX) for one in directories for file in one.files):
        wrong = [one.path.name for one in verify_directory(version, load_public(public)) if one.state == "wrong"]
        if wrong:
            raise InputError("wrong-signature", f"the signature of {wrong[0]} does not fit {public}", hint="sign again")
    lacking = [file.name for one in directories for file in _unsigned(one)]
    if not lacking:
        return tuple(directories)
    try:
        key = _own_key(project, lacking[0])
    except InputError as error:
        hint = error.hint or typed.command("sign-app", version, "--key", "FILE")
        raise InputError("unsigned", error.message, hint=hint) from error
    return tuple(_with_signatures(one, key) for one in directories)


def _own_key(project: Project, file: str) -> RSAPrivateKey:
    """The server's key. Raises InputError that says why it would not do."""
    private, public = (project.keys / f"code_sign_{kind}" for kind in ("private", "public"))
    signer = project.root / SIGNER
    if not private.is_file():
        raise InputError(
            "unsigned", f"sign the files first: the project has no private key, and {file} has no signature"
        )
    if not (signer.is_file() and os.access(signer, os.X_OK)):
        # It is not needed for ours; but update_versions adds what other apps have, and that without a signature then.
        message = f"{signer} is missing or not executable, and update_versions would add versions unsigned"
        raise InputError("unsigned", message, hint=f"chmod +x {signer}, or take it from the server's sources")
    try:
        key = load_private(private)
        fits = not public.is_file() or load_public(public).public_numbers() == key.public_key().public_numbers()
    except InputError as error:
        raise InputError("unsigned", f"sign the files first: {error.message}", hint=error.hint) from error
    if not fits:
        raise InputError(
            "unsigned", f"sign the files with the project's key: {private} does not belong to {public.name}"
        )
    return key


def _unsigned(directory: Directory) -> list[File]:
    names = {file.name for file in directory.files}
    plain = [file for file in directory.files if file.name != UNSIGNED and not file.name.endswith(SUFFIX)]
    return [file for file in plain if file.name + SUFFIX not in names]


def _with_signatures(directory: Directory, key: RSAPrivateKey) -> Directory:
    made = [
        File.of_bytes(file.name + SUFFIX, render_hex(sign_bytes(_md5(file.content), key)).encode())
        for file in _unsigned(directory)
    ]
    return Directory(directory.name, tuple(sorted([*directory.files, *made], key=lambda file: file.name)))


def _md5(content: Path | bytes) -> str:
    if isinstance(content, bytes):
        return hashlib.md5(content, usedforsecurity=False).hexdigest()
    with content.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
