"""What `verify-release` says: by whose key a release is signed, and which of its documents cannot be read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from boinc2docker import iso
from boinc2docker.cli import release_verdict as verify_command
from boinc2docker.cli.verify_release import verify_release
from boinc2docker.digest import Digest
from boinc2docker.errors import UsageError
from boinc2docker.release import cyclonedx_sbom, integrity, inventory, minisign, sizes, spdx_sbom
from boinc2docker.release.contents import NOTES, PUBLIC_KEY, SIGNATURES
from boinc2docker.release.documents import canonical
from boinc2docker.release.inventory import Inventory, Part
from boinc2docker.release.licences import Licence
from tests.conftest import needs
from tests.release import sample_release
from tests.release.sample_release import NAMES, PACKAGE


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
        verify_release({"directory": str(signed), "key": str(own), "unsigned": True})


@pytest.fixture
def readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release whose documents follow from its ISO."""
    identity = SimpleNamespace(version="2.0.0", epoch=1_700_000_000, text=lambda: "identity\n")
    agent = SimpleNamespace(path=inventory.AGENT, digest=PARTS.agent)
    image = SimpleNamespace(identity=identity, problems=(), digest=PARTS.iso, files=(agent,))
    monkeypatch.setattr(iso, "inspect", lambda _: image)
    monkeypatch.setattr(sizes, "of", lambda _: {})
    monkeypatch.setattr(sizes, "document", lambda _: {})
    monkeypatch.setattr(inventory, "named", lambda _: {PACKAGE.name: PACKAGE.version})
    return sample_release.with_documents(tmp_path / "release", TEXTS)


PARTS = Inventory(
    version="2.0.0",
    epoch=1_700_000_000,
    iso_name=NAMES.iso,
    iso=Digest.of(b"iso\n"),
    base="debian",
    base_iso=Digest.of(b"base"),
    agent=Digest.of(b"agent"),
    suite="trixie",
    parts=(Part(PACKAGE, "trixie", Licence("GPL-2.0-only"), Digest.of(b"copyright")),),
)
TEXTS = {
    NAMES.iso: "iso\n",
    NAMES.identity: "identity\n",
    NAMES.sizes: "{}\n",
    NAMES.cyclonedx: cyclonedx_sbom.render(PARTS),
    NAMES.spdx: spdx_sbom.render(PARTS),
    NOTES: "# Notes\n",
}
VALID = {"bomFormat": "CycloneDX", "specVersion": "1.6"}


def twice(text: str, name: str) -> str:
    """The document with its entry of this name once more, under a reference of its own."""
    document = json.loads(text)
    entries = document["components" if "components" in document else "packages"]
    again = dict(next(one for one in entries if one["name"] == name))
    key = "bom-ref" if "bom-ref" in again else "SPDXID"
    again[key] += "-again"
    entries.append(again)
    return canonical(document)


def a_stranger(text: str) -> str:
    """The document with one more entry, which is no Debian package."""
    changed = json.loads(twice(text, PACKAGE.name))
    entry = changed["components" if "components" in changed else "packages"][-1]
    entry["name"] = "stranger"
    for reference in entry.get("externalRefs", ()):
        reference["referenceLocator"] = "pkg:generic/stranger@1"
    return canonical(changed).replace('"purl": "pkg:deb/debian/stranger', '"purl": "pkg:generic/stranger')


HARM: dict[str, Callable[[str], str]] = {
    "a package twice": lambda text: twice(text, PACKAGE.name),
    "the agent twice": lambda text: twice(text, "boinc2docker-agent"),
    "one that is no package": a_stranger,
    "another digest of a package": lambda text: text.replace(PACKAGE.digest.hex, "0" * 64),
    "another digest of the ISO": lambda text: text.replace(PARTS.iso.hex, "0" * 64),
    "another digest of the agent": lambda text: text.replace(PARTS.agent.hex, "0" * 64),
    "another version of the ISO": lambda text: text.replace('"2.0.0"', '"2.0.1"', 1),
    "another package by its URL": lambda text: text.replace("pkg:deb/debian/busybox@", "pkg:deb/debian/toybox@"),
}


@pytest.mark.parametrize("name", [NAMES.cyclonedx, NAMES.spdx])
@pytest.mark.parametrize("harm", HARM)
def test_a_list_that_says_something_else_of_the_iso_is_found(
    readable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, harm: str
) -> None:
    """Also if all digests are made right again, by whom the list was changed, and the document is valid."""
    assert verify_command.verify(readable, key=None, unsigned=True, rebuild=False) == 0
    changed = HARM[harm](TEXTS[name])
    assert changed != TEXTS[name]
    place = sample_release.with_documents(tmp_path / "changed", TEXTS | {name: changed})
    assert integrity.judge(place).problems == ()
    capsys.readouterr()
    assert verify_command.verify(place, key=None, unsigned=True, rebuild=False) == 1
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2
    assert told[1].startswith(f"  {name}: does not list exactly the parts of the ISO; listed wrongly or too often: ")


def test_a_package_that_the_provenance_does_not_name_is_found(readable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "named", lambda _: {PACKAGE.name: PACKAGE.version, "other": "1"})
    found = {problem.file: problem.text for problem in verify_command.documents(readable, NAMES)}
    assert found == {NAMES.provenance: "does not name other 1, which is in the ISO"}


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
        {"components": [], "metadata": {"component": {"type": "library", "name": "x", "version": "1"}}},
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
    assert found.keys() == {name}
    assert found[name].startswith("cannot be read: ")
