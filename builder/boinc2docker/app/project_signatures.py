"""Signatures for an app's version: those that lie beside its files, and the missing ones by the server's own key."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from boinc2docker import typed
from boinc2docker.app.code_key import render_hex
from boinc2docker.app.signing import (
    SUFFIX,
    UNSIGNED,
    load_private,
    load_public,
    md5_of,
    sign_bytes,
    verify_directory,
)
from boinc2docker.app.tree import Directory, File
from boinc2docker.errors import InputError
from boinc2docker.project.project import Project

SIGNER = "bin/sign_executable"


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
        File.of_bytes(file.name + SUFFIX, render_hex(sign_bytes(md5_of(file.content), key)).encode())
        for file in _unsigned(directory)
    ]
    return Directory(directory.name, tuple(sorted([*directory.files, *made], key=lambda file: file.name)))
