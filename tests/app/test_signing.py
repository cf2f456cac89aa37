"""BOINC's keys and signatures, against openssl's raw RSA as the oracle."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.app import code_key, signing
from boinc2docker.errors import InputError
from tests.conftest import needs


@dataclass(frozen=True)
class Keys:
    pem: Path
    private: Path
    public: Path


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    needs("openssl")
    folder = tmp_path_factory.mktemp("keys")
    found = Keys(folder / "key.pem", folder / "private", folder / "public")
    subprocess.run(["openssl", "genrsa", "-out", str(found.pem), "1024"], check=True, capture_output=True)
    key = load_pem_private_key(found.pem.read_bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    found.private.write_text(code_key.render_private(key))
    found.private.chmod(0o600)
    found.public.write_text(code_key.render_public(key.public_key()))
    return found


def raw_rsa(pem: Path, block: bytes, folder: Path) -> bytes:
    """openssl's private-key operation on exactly this block, without any padding of its own."""
    (folder / "block").write_bytes(block)
    command = ["openssl", "pkeyutl", "-decrypt", "-inkey", str(pem), "-pkeyopt", "rsa_padding_mode:none"]
    return subprocess.run([*command, "-in", str(folder / "block")], check=True, capture_output=True).stdout


def version(folder: Path) -> Path:
    directory = folder / "1.02" / "x86_64-pc-linux-gnu__vbox64_mt"
    directory.mkdir(parents=True)
    (directory / "version.xml").write_text("<version/>")
    (directory / "a.iso").write_bytes(b"iso")
    (directory / "wrapper").write_bytes(b"")
    return folder / "1.02"


def test_a_signature_is_what_openssl_makes_of_the_padded_md5(keys: Keys, tmp_path: Path) -> None:
    tree = version(tmp_path)
    signing.sign_directory(tree, signing.load_private(keys.private))
    for name, data in (("a.iso", b"iso"), ("wrapper", b"")):
        digits = hashlib.md5(data).hexdigest().encode()
        block = b"\x00\x01" + b"\xff" * (128 - 3 - 32) + b"\x00" + digits
        expected = raw_rsa(keys.pem, block, tmp_path).hex()
        lines = (tree / "x86_64-pc-linux-gnu__vbox64_mt" / f"{name}.sig").read_text().split("\n")
        assert lines == [expected[at : at + 64] for at in range(0, 256, 64)] + [".", ""]


def test_version_xml_and_signatures_are_not_signed(keys: Keys, tmp_path: Path) -> None:
    tree = version(tmp_path)
    key = signing.load_private(keys.private)
    first = signing.sign_directory(tree, key)
    assert sorted(path.name for path in first) == ["a.iso.sig", "wrapper.sig"]
    assert signing.sign_directory(tree, key) == first


def test_verify_tells_ok_missing_and_wrong(keys: Keys, tmp_path: Path) -> None:
    tree = version(tmp_path)
    public = signing.load_public(keys.public)
    assert {one.state for one in signing.verify_directory(tree, public)} == {"missing"}
    signing.sign_directory(tree, signing.load_private(keys.private))
    assert {one.state for one in signing.verify_directory(tree, public)} == {"ok"}
    folder = tree / "x86_64-pc-linux-gnu__vbox64_mt"
    (folder / "a.iso").write_bytes(b"isp")
    (folder / "wrapper.sig").write_text("no hex")
    assert {one.state for one in signing.verify_directory(tree, public)} == {"wrong"}


def test_a_key_reads_back(keys: Keys) -> None:
    text = keys.private.read_text()
    assert code_key.render_private(code_key.parse_private(text, "k")) == text
    assert text.splitlines()[0] == "1024"
    assert {len(line) for line in text.splitlines()[1:-1]} == {64}
    assert text.endswith("\n.\n")
    public = keys.public.read_text()
    assert code_key.render_public(code_key.parse_public(public, "k")) == public


def test_a_key_that_others_may_read_is_warned_of(keys: Keys, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "key"
    copy.write_text(keys.private.read_text())
    copy.chmod(0o644)
    signing.load_private(copy)
    assert "chmod 600" in capfd.readouterr().err


def test_wrong_keys_are_named(keys: Keys, tmp_path: Path) -> None:
    text = keys.private.read_text()
    cases = {
        keys.pem.read_text(): "PEM",
        keys.public.read_text(): "found a public key",
        "": "number of bits",
        "1024\nzz\n.\n": "hex digits",
        text.replace(text.splitlines()[1], "0" * 64): "do not fit|does not have",
    }
    for wrong, expected in cases.items():
        with pytest.raises(InputError, match=expected):
            code_key.parse_private(wrong, "key")
    with pytest.raises(InputError, match="found a private key"):
        code_key.parse_public(text, "key")
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="expected a text file"):
        signing.load_private(tmp_path / "binary")


@given(st.text(max_size=400))
def test_no_text_breaks_the_key_reader(text: str) -> None:
    with pytest.raises(InputError):
        code_key.parse_private(text, "key")


@given(st.binary(min_size=1, max_size=300))
def test_hex_reads_back(data: bytes) -> None:
    assert code_key.parse_hex(code_key.render_hex(data), "sig") == data


def test_only_a_version_is_signed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no version"):
        signing.signable(tmp_path)
    with pytest.raises(InputError, match="not a directory"):
        signing.signable(tmp_path / "none")
