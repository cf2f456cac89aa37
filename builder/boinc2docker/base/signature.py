"""OpenPGP signatures of Debian's indexes, checked with Sequoia against the keys in ``guest/debian/keys``.

There is no way around this check: no option, no environment variable, no keyring of the machine.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from pysequoia import Cert, verify

from boinc2docker.errors import HostError, VerificationError

_BEGIN = b"-----BEGIN PGP SIGNED MESSAGE-----"


def load_keys(folder: Path) -> list[Cert]:
    """The certificates in ``folder``'s ``*.asc`` files. Raises HostError if there are none or one is unreadable."""
    certificates: list[Cert] = []
    for path in sorted(folder.glob("*.asc")):
        try:
            certificates += Cert.split_bytes(path.read_bytes())
        except (RuntimeError, OSError) as error:
            raise HostError("bad-key", f"cannot read the key {path.name}: {_first_line(error)}") from error
    if not certificates:
        raise HostError("no-keys", f"there are no OpenPGP keys (*.asc) in {folder}")
    return certificates


def signed_text(message: bytes, keys: Sequence[Cert], what: str) -> str:
    """The text inside a clear-signed ``message`` that at least one of ``keys`` has signed.

    Only what the signature covers is returned: text before, between and after the armour is dropped.
    Expired and revoked keys do not count, as with apt; Sequoia alone would accept what a key signed before it expired.
    Raises VerificationError.
    """
    if not message.startswith(_BEGIN):
        raise VerificationError(
            "unsigned",
            f"{what} is not signed: expected {_BEGIN.decode()}, found {message[:40]!r}",
            hint="a captive portal or a broken proxy may have answered instead of the mirror",
        )
    now = datetime.datetime.now(datetime.UTC)
    valid = [key for key in keys if not key.is_revoked and (key.expiration is None or key.expiration > now)]
    try:
        verified = verify(bytes=message, store=lambda _ids: valid)
    except RuntimeError as error:
        raise VerificationError(
            "bad-signature",
            f"{what} carries no valid signature of Debian: {_first_line(error)}",
            hint="try another mirror; if Debian has new keys, update boinc2docker",
        ) from error
    if not verified.valid_sigs or verified.bytes is None:
        raise VerificationError("bad-signature", f"{what} carries no valid signature of Debian")
    try:
        return verified.bytes.decode("utf-8")
    except UnicodeDecodeError as error:
        raise VerificationError("bad-index", f"{what} is not UTF-8") from error


def _first_line(error: BaseException) -> str:
    """The first line; Sequoia adds a backtrace."""
    return (str(error).splitlines() or [type(error).__name__])[0]
