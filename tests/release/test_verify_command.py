"""What `verify-release` says: by whose key a release is signed, and which of its documents cannot be read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from builder import iso
from builder.errors import UsageError
from ci.release import inventory, minisign, sizes, verify_command
from ci.release.contents import PUBLIC_KEY, SIGNATURES
from tests.conftest import needs
from tests.release import sample_release
from tests.release.sample_release import NAMES


@pytest.fixture
def unsigned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release, and a checkout without a published key; only the signature is under test."""
    monkeypatch.setattr(verify_command, "documents", lambda *_: [])
    monkeypatch.setattr(verify_command, "PUBLISHED_KEY", tmp_path / "checkout" / PUBLIC_KEY)
    return sample_release.write(tmp_path / "release")


@pytest.fixture
def signed(unsigned: Path, tmp_path: Path) -> Path:
    needs("minisign")
    return sample_release.sign(unsigned, sample_release.new_key(tmp_path / "key"))


def publish(key: Path) -> None:
    verify_command.PUBLISHED_KEY.parent.mkdir(exist_ok=True)
    shutil.copy(key, verify_command.PUBLISHED_KEY)


def test_a_key_that_came_with_the_release_is_said_to_prove_nothing(
    signed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    number = minisign.read_key(str(signed / PUBLIC_KEY)).number
    assert verify_command.verify(signed, key=None, rebuild=False) == 0
    assert f"{number}, a key that came with the release, as a forger's would:" in capsys.readouterr().out
    assert verify_command.verify(signed, key=str(signed / PUBLIC_KEY), rebuild=False) == 0
    assert f"{number}, which --key gives\n" in capsys.readouterr().out
    publish(signed / PUBLIC_KEY)
    assert verify_command.verify(signed, key=None, rebuild=False) == 0
    assert f"{number}, that of this checkout's minisign.pub\n" in capsys.readouterr().out


def test_the_published_key_must_have_signed(signed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = Path(shutil.copy(signed / PUBLIC_KEY, tmp_path))
    publish(own)
    sample_release.sign(signed, sample_release.new_key(tmp_path / "forger"))
    assert verify_command.verify(signed, key=None, rebuild=False) == 1
    assert "minisign.pub: is another key than" in capsys.readouterr().out
    assert verify_command.verify(signed, key=str(signed / PUBLIC_KEY), rebuild=False) == 0
    for name in SIGNATURES.values():
        (signed / name).unlink()
    (signed / PUBLIC_KEY).unlink()
    assert verify_command.verify(signed, key=None, rebuild=False) == 1, "who takes the signatures away gains nothing"
    assert verify_command.verify(signed, key=None, unsigned=True, rebuild=False) == 0
    assert "not signed: nothing tells who made it" in capsys.readouterr().out
    with pytest.raises(UsageError, match="expected --key or --unsigned"):
        verify_command.verify(signed, key=str(own), unsigned=True, rebuild=False)


@pytest.fixture
def readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release whose documents follow from its ISO."""
    identity = SimpleNamespace(version="2.0.0", epoch=1_700_000_000, text=lambda: "identity\n")
    monkeypatch.setattr(iso, "inspect", lambda _: SimpleNamespace(identity=identity, problems=()))
    monkeypatch.setattr(sizes, "of", lambda _: {})
    monkeypatch.setattr(sizes, "document", lambda _: {})
    monkeypatch.setattr(inventory, "named", lambda _: {})
    place = sample_release.write(tmp_path / "release")
    (place / NAMES.identity).write_text("identity\n")
    (place / NAMES.sizes).write_text("{}\n")
    return place


VALID = {"bomFormat": "CycloneDX", "specVersion": "1.6"}


@pytest.mark.parametrize("name", [NAMES.cyclonedx, NAMES.spdx])
@pytest.mark.parametrize(
    "content", [b"", b"no JSON", b"\xff\xfe", b"[]", b"7", b"null", b"{}", b'{"packages": [7]}', b"[" * 100_000]
)
def test_a_document_that_is_none_is_named(readable: Path, name: str, content: bytes) -> None:
    (readable / name).write_bytes(content)
    found = {problem.file: problem.text for problem in verify_command.documents(readable, NAMES)}
    assert name in found
    assert found[name].startswith(("cannot be read: ", "is not valid: "))


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"components": [{"type": "library", "name": "x"}]},
        {"components": [{"type": "library", "purl": "pkg:deb/x"}]},
    ],
)
def test_a_list_that_lacks_a_field_is_named(readable: Path, part: dict[str, object]) -> None:
    """Without version or purl a component is valid CycloneDX, and still none of ours."""
    (readable / NAMES.cyclonedx).write_text(json.dumps(VALID | part))
    found = {problem.file: problem.text for problem in verify_command.documents(readable, NAMES)}
    assert found[NAMES.cyclonedx].startswith(("cannot be read: ", "is not valid: "))


@pytest.mark.parametrize("name", [NAMES.identity, NAMES.sizes, NAMES.provenance])
def test_the_others_are_judged_although_one_is_no_text(readable: Path, name: str) -> None:
    (readable / name).write_bytes(b"\xff")
    found = {problem.file: problem.text for problem in verify_command.documents(readable, NAMES)}
    assert found.keys() == {name, NAMES.cyclonedx, NAMES.spdx}
    assert found[name].startswith("cannot be read: ")
