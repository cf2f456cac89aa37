"""``sign-app`` and ``verify-app``: BOINC's code signatures of a version's files."""

from __future__ import annotations

from boinc2docker import console
from boinc2docker.app import signing
from boinc2docker.cli.command import Command, Example, Given
from boinc2docker.cli.option import Option, values
from boinc2docker.cli.readers import existing

_DIRECTORY = Option(
    "directory",
    "Directory of a version, which package-app made.",
    "argument",
    read=existing,
    noun="DIR",
    required=True,
    group="Arguments",
)
SIGN = (_DIRECTORY, Option("key", "BOINC's code_sign_private.", read=existing, noun="FILE", required=True))
VERIFY = (_DIRECTORY, Option("key", "BOINC's code_sign_public.", read=existing, noun="FILE", required=True))


def sign(given: Given) -> None:
    """Signs every file of a version and says how many. Raises InputError."""
    typed = values(SIGN, given)
    directory = typed["directory"]
    written = signing.sign_directory(directory, signing.load_private(typed["key"]))
    console.report(
        {"directory": str(directory), "signatures": [str(one) for one in written]},
        f"{directory}: {len(written)} files signed; check with verify-app and the public key",
    )


def verify(given: Given) -> int:
    """Checks every file's signature; 1 if one is missing or wrong. Raises InputError."""
    typed = values(VERIFY, given)
    directory = typed["directory"]
    found = signing.verify_directory(directory, signing.load_public(typed["key"]))
    console.report(
        {"directory": str(directory), "files": {str(one.path): one.state for one in found}},
        "\n".join(f"{one.state:8} {one.path}" for one in found),
    )
    return 0 if found and all(one.state == "ok" for one in found) else 1


COMMAND_SIGN = Command(
    "sign-app",
    sign,
    SIGN,
    (Example("sign-app --key code_sign_private build/apps/boinc2docker/1.02", "Sign where the private key is."),),
    "Works on a machine without BOINC, so that the key can stay off the server.",
)
COMMAND_VERIFY = Command(
    "verify-app",
    verify,
    VERIFY,
    (Example("verify-app --key code_sign_public build/apps/boinc2docker/1.02", "Check them anywhere."),),
    "Ends with 1 if a signature is missing or wrong.",
)
