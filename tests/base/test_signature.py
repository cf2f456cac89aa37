"""Signatures: Debian's own, the tests' own, and everything that is none."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pysequoia import SignatureMode, Tsk, sign

from boinc2docker.base.signature import load_keys, signed_text
from boinc2docker.errors import HostError, VerificationError
from tests.base.debian_archive import clear_signed, key
from tests.equipment.checkout import PROJECT_ROOT

KEYS = PROJECT_ROOT / "guest" / "debian" / "keys"
SIGNER = key()
TRUSTED = [SIGNER.extract_certificate()]
TEXT = "Origin: Test\nSuite: stable\n"


def test_shipped_keys_are_the_documented_ones() -> None:
    documented = (KEYS / "README.md").read_text().replace(" ", "").lower()
    found = load_keys(KEYS)
    assert len(found) == 6
    assert all(certificate.fingerprint in documented for certificate in found)
    assert not any(certificate.is_revoked for certificate in found)
    assert not any("PRIVATE KEY" in path.read_text() for path in KEYS.iterdir())


def test_signed_text_comes_back() -> None:
    assert signed_text(clear_signed(TEXT, SIGNER), TRUSTED, "x") == TEXT


def test_text_outside_the_signature_is_dropped() -> None:
    message = clear_signed(TEXT, SIGNER) + b"\nOrigin: Somebody else\n"
    assert "Somebody" not in signed_text(message, TRUSTED, "x")


@pytest.mark.parametrize("before", [b"Origin: Somebody else\n", b"\n", b"\xef\xbb\xbf"])
def test_text_before_the_signature_is_refused(before: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        signed_text(before + clear_signed(TEXT, SIGNER), TRUSTED, "x")
    assert caught.value.code == "unsigned"


@pytest.mark.parametrize(
    "message",
    [b"", TEXT.encode(), b"<html>Please log in</html>", sign(SIGNER.signer(), TEXT.encode())],
    ids=["empty", "plain", "portal", "inline"],
)
def test_unsigned_is_refused(message: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        signed_text(message, TRUSTED, "trixie InRelease")
    assert caught.value.code == "unsigned"
    assert "trixie InRelease" in caught.value.message


def test_every_changed_line_is_noticed() -> None:
    message = clear_signed(TEXT, SIGNER)
    for old, new in ((b"Test", b"Tesu"), (b"stable", b"stabld"), (b"Suite", b"Suitf")):
        with pytest.raises(VerificationError) as caught:
            signed_text(message.replace(old, new), TRUSTED, "x")
        assert caught.value.code == "bad-signature"
        assert "\n" not in caught.value.message, "Sequoia's backtrace must not reach a user"


def test_no_prefix_of_a_message_counts() -> None:
    message = clear_signed(TEXT, SIGNER)
    for length in range(0, len(message) - 40, 7):
        with pytest.raises(VerificationError):
            signed_text(message[:length], TRUSTED, "x")


def test_strangers_signature_is_refused() -> None:
    with pytest.raises(VerificationError) as caught:
        signed_text(clear_signed(TEXT, key()), TRUSTED, "x")
    assert caught.value.code == "bad-signature"


def test_stranger_with_the_same_name_is_a_stranger() -> None:
    with pytest.raises(VerificationError):
        signed_text(clear_signed(TEXT, key("Test Archive <archive@example.org>")), TRUSTED, "x")


def test_signature_of_an_expired_key_is_refused() -> None:
    short = Tsk.generate("Test Archive <archive@example.org>", validity_seconds=62)  # backdated by a minute
    message = clear_signed(TEXT, short)
    trusted = [short.extract_certificate()]
    assert signed_text(message, trusted, "x") == TEXT
    time.sleep(3)
    with pytest.raises(VerificationError):
        signed_text(message, trusted, "x")


def test_signature_of_another_text_is_refused() -> None:
    detached = sign(SIGNER.signer(), b"other", mode=SignatureMode.DETACHED)
    message = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n" + TEXT.encode() + detached
    with pytest.raises(VerificationError):
        signed_text(message, TRUSTED, "x")


def test_directory_without_keys(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        load_keys(tmp_path)
    assert caught.value.code == "no-keys"
    (tmp_path / "a.asc").write_text("no key")
    with pytest.raises(HostError) as caught:
        load_keys(tmp_path)
    assert caught.value.code in ("bad-key", "no-keys")
