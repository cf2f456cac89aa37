"""A changed byte anywhere in a release is found, and the file it is in is named, without and with a key."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boinc2docker.digest import Digest
from boinc2docker.errors import InputError
from boinc2docker.release import contents, integrity, minisign
from boinc2docker.release.contents import MEASUREMENTS, PUBLIC_KEY, SIGNATURES, SUMS
from tests.conftest import needs
from tests.release import sample_release
from tests.release.sample_release import NAMES


@pytest.fixture(scope="module")
def unsigned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_release.write(tmp_path_factory.mktemp("unsigned") / "release")


@pytest.fixture(scope="module")
def signed(unsigned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("minisign")
    work = tmp_path_factory.mktemp("signed")
    place = shutil.copytree(unsigned, work / "release")
    return sample_release.sign(place, sample_release.new_key(work / "key"))


def blamed(place: Path, key: minisign.PublicKey | None = None) -> set[str]:
    return {problem.file for problem in integrity.judge(place, key).problems}


def changes(path: Path) -> Iterator[bytes]:
    """The file with one bit flipped, here and there over its whole length; and cut, and grown."""
    data = path.read_bytes()
    for at in range(0, len(data), max(1, len(data) // 100)):
        yield data[:at] + bytes([data[at] ^ (1 << at % 7)]) + data[at + 1 :]
    yield data[:-1]
    yield data + b"\n"
    yield b""


def assert_every_change_is_found(place: Path, key: minisign.PublicKey | None = None) -> None:
    assert blamed(place, key) == set()
    for path in sorted(place.iterdir()):
        before = path.read_bytes()
        for changed in changes(path):
            path.write_bytes(changed)
            assert blamed(place, key) == {path.name}, f"{changed!r:.300}"
        path.write_bytes(before)


def test_a_changed_byte_is_found_and_its_file_named(unsigned: Path, tmp_path: Path) -> None:
    assert_every_change_is_found(shutil.copytree(unsigned, tmp_path / "release"))


def test_a_changed_byte_of_a_signed_release_is_found_and_its_file_named(signed: Path, tmp_path: Path) -> None:
    """Also in the signatures, and in the comment that minisign itself does not protect."""
    assert_every_change_is_found(shutil.copytree(signed, tmp_path / "release"))


def test_with_the_key_at_hand_too(signed: Path, tmp_path: Path) -> None:
    key = minisign.read_key(str(signed / PUBLIC_KEY))
    place = shutil.copytree(signed, tmp_path / "release")
    assert integrity.judge(place, key).signer == key.number
    assert_every_change_is_found(place, key)


@pytest.mark.parametrize("name", sorted(NAMES.required - {NAMES.iso}))
def test_a_missing_file_is_named(unsigned: Path, tmp_path: Path, name: str) -> None:
    place = shutil.copytree(unsigned, tmp_path / "release")
    (place / name).unlink()
    assert name in blamed(place)


def test_what_does_not_belong_is_named(unsigned: Path, tmp_path: Path) -> None:
    place = shutil.copytree(unsigned, tmp_path / "release")
    (place / "evil.sh").write_text("")
    (place / NAMES.sizes).rename(place / "elsewhere")
    (place / NAMES.sizes).symlink_to("elsewhere")
    assert blamed(place) == {"evil.sh", "elsewhere", NAMES.sizes}


def test_an_ordinary_directory_is_no_release(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no release"):
        integrity.judge(tmp_path)


def forged(place: Path) -> None:
    """Somebody changes the ISO and everything that speaks of it."""
    (place / NAMES.iso).write_bytes(b"another one")
    old = contents.parse_sums((place / SUMS).read_text())[NAMES.iso].hex
    new = Digest.of_file(place / NAMES.iso).hex
    for name in (NAMES.provenance, SUMS):
        (place / name).write_text((place / name).read_text().replace(old, new))
    sums = contents.parse_sums((place / SUMS).read_text())
    text = contents.sums_text({**sums, NAMES.provenance: Digest.of_file(place / NAMES.provenance)})
    (place / SUMS).write_text(text)
    (place / MEASUREMENTS).write_text(contents.measurements_text({}, text))


def test_only_a_signature_finds_a_forgery_of_everything(signed: Path, unsigned: Path, tmp_path: Path) -> None:
    plain = shutil.copytree(unsigned, tmp_path / "unsigned")
    forged(plain)
    assert blamed(plain) == set()
    key = minisign.read_key(str(signed / PUBLIC_KEY))
    assert blamed(plain, key) == {SIGNATURES[SUMS]}, "a release without signature is not what the key has signed"
    place = shutil.copytree(signed, tmp_path / "signed")
    forged(place)
    assert blamed(place, key) == set(SIGNATURES.values())


def test_a_forger_who_signs_is_found_by_who_knows_the_key(signed: Path, tmp_path: Path) -> None:
    key = minisign.read_key(str(signed / PUBLIC_KEY))
    place = shutil.copytree(signed, tmp_path / "release")
    forged(place)
    sample_release.sign(place, sample_release.new_key(tmp_path / "other"))
    assert blamed(place) == set()
    assert PUBLIC_KEY in blamed(place, key)


@pytest.mark.parametrize(
    "harm",
    [
        lambda text: text + text.splitlines()[0] + "\n",
        lambda text: "\n".join(reversed(text.splitlines())) + "\n",
        lambda text: text.replace("  ", " *"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
    ],
)
def test_digests_have_one_form(unsigned: Path, harm: Callable[[str], str]) -> None:
    with pytest.raises(InputError):
        contents.parse_sums(harm((unsigned / SUMS).read_text()))


def test_the_system_tools_agree(signed: Path) -> None:
    """sha256sum and minisign say the same of an untouched release."""
    import subprocess

    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=signed, check=True, capture_output=True)
    for name in SIGNATURES:
        subprocess.run(["minisign", "-V", "-p", PUBLIC_KEY, "-m", name], cwd=signed, check=True, capture_output=True)
