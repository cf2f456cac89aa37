"""vboxwrapper's binaries: both roots, zip or bare, pinned, and never for the wrong machine."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer

from boinc2docker.app import binary_format, wrapper_catalogue
from boinc2docker.app.template import DIRECTORY
from boinc2docker.app.wrapper import Source, binary_of
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError, NetworkError, UsageError, VerificationError
from boinc2docker.fetch import Cache, Downloader, Patience
from tests.app.conftest import WRAPPERS, binary

LINUX = "x86_64-pc-linux-gnu"
FILE = "vboxwrapper_26210_x86_64-pc-linux-gnu"
CATALOGUE = wrapper_catalogue.read(DIRECTORY / "wrappers.toml")


def zipped(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return made.getvalue()


def source(tmp_path: Path, server: HTTPServer | None = None, **pins: Digest) -> Source:
    roots = (server.url_for("/dl/{file}"), server.url_for("/releases/{version}/{file}")) if server else ()
    catalogue = wrapper_catalogue.Catalogue(roots, CATALOGUE.platforms)
    downloader = Downloader(Cache(tmp_path / "cache"), offline=server is None, patience=Patience(attempts=1))
    return Source(catalogue, dict(pins), downloader, tmp_path / "by-hand")


@pytest.mark.parametrize(
    ("path", "data"),
    [
        (f"/dl/{FILE}", binary("elf")),
        (f"/dl/{FILE}.zip", zipped(**{f"folder/{FILE}": binary("elf"), f"{FILE}.pdb": b"debug"})),
        (f"/releases/26210/{FILE}", binary("elf")),
        (f"/releases/26210/{FILE}.zip", zipped(**{FILE: binary("elf")})),
    ],
)
def test_bare_or_zipped_from_either_root(tmp_path: Path, httpserver: HTTPServer, path: str, data: bytes) -> None:
    httpserver.expect_request(path).respond_with_data(data)
    first = source(tmp_path, httpserver)
    (found,) = first.releases({LINUX: "26210"})
    assert (found.name, found.path.read_bytes()) == (FILE, binary("elf"))
    assert first.pins == {FILE: Digest.of(binary("elf"))}
    (again,) = source(tmp_path, None, **first.pins).releases({LINUX: "26210"})
    assert again == found, "what is pinned and cached needs no network"


def test_a_page_that_says_not_found_with_status_200_is_no_wrapper(tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request(f"/dl/{FILE}").respond_with_data(b"<!DOCTYPE html>sorry")
    httpserver.expect_request(f"/releases/26210/{FILE}").respond_with_data(binary("elf"))
    made = source(tmp_path, httpserver)
    assert made.releases({LINUX: "26210"})[0].digest == Digest.of(binary("elf"))


def test_another_content_than_pinned_is_refused(tmp_path: Path, httpserver: HTTPServer) -> None:
    httpserver.expect_request(f"/dl/{FILE}").respond_with_data(binary("elf", b"changed"))
    with pytest.raises(VerificationError, match="expected sha256"):
        source(tmp_path, httpserver, **{FILE: Digest.of(binary("elf"))}).releases({LINUX: "26210"})


def test_offline_lists_every_file_its_addresses_and_where_to_put_it(tmp_path: Path) -> None:
    made = source(tmp_path)
    made.catalogue = CATALOGUE
    with pytest.raises(NetworkError) as caught:
        made.releases({LINUX: "26210", "windows_x86_64": "26210"})
    for expected in (FILE, "vboxwrapper_26210_windows_x86_64.exe", f"/dl/{FILE}.zip", "vboxwrapper%2F26210"):
        assert expected in caught.value.message
    assert str(tmp_path / "by-hand") in str(caught.value.hint)


def test_files_put_there_by_hand_are_taken_and_pinned(tmp_path: Path) -> None:
    (tmp_path / "by-hand").mkdir()
    (tmp_path / "by-hand" / f"{FILE}.zip").write_bytes(zipped(**{FILE: binary("elf")}))
    made = source(tmp_path)
    assert made.releases({LINUX: "26210"})[0].digest == made.pins[FILE]


def test_a_directory_gives_the_newest_of_each_platform(tmp_path: Path, wrappers: Path) -> None:
    (wrappers / "vboxwrapper_26300_x86_64-pc-linux-gnu").write_bytes(binary("elf", b"own"))
    made = source(tmp_path)
    found = made.local([LINUX, "windows_x86_64"], wrappers)
    assert [one.name for one in found] == [
        "vboxwrapper_26300_x86_64-pc-linux-gnu",
        "vboxwrapper_26210_windows_x86_64.exe",
    ]
    assert not made.pins, "a build of one's own binds nobody"


def test_a_directory_without_a_platform_says_what_it_lacks(tmp_path: Path, wrappers: Path) -> None:
    (wrappers / "vboxwrapper_26210_windows_x86_64.exe").unlink()
    with pytest.raises(InputError, match=r"vboxwrapper_NNNNN_windows_x86_64\.exe"):
        source(tmp_path).local([LINUX, "windows_x86_64"], wrappers)
    with pytest.raises(InputError, match="neither a release nor a directory"):
        source(tmp_path).local([LINUX], tmp_path / "none")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (binary("pe"), "found a Windows program"),
        (binary("elf").replace(b"\x3e", b"\xb7"), "a Linux program not for x86-64"),
        (b"", "no program"),
        (zipped(README=b"hello"), f"expected {FILE} in it, found README"),
        (zipped(**{FILE: binary("macho")}), "found a macOS program"),
        (b"PK\x03\x04 cut short", "a zip archive"),
        (
            zipped(**{FILE: b"x" * 99}).replace(zlib.compress(b"x" * 99)[2:-4], b"\xff" * 6),
            "no zip archive that can be read",
        ),
    ],
)
def test_the_wrong_file_is_named(tmp_path: Path, data: bytes, expected: str) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    (folder / FILE).write_bytes(data)
    with pytest.raises(InputError, match=expected):
        source(tmp_path).local([LINUX], folder)


def test_an_unknown_platform_is_told_what_there_is() -> None:
    with pytest.raises(UsageError, match="x86_64-apple-darwin"):
        CATALOGUE.platform("arm64-apple-darwin")


def test_names_belong_to_one_platform_only() -> None:
    for name in WRAPPERS:
        owners = [one.name for one in CATALOGUE.platforms.values() if one.version_of(name)]
        assert len(owners) == 1


def test_pins_read_back(tmp_path: Path) -> None:
    pins = {FILE: Digest.of(b"x"), "another.exe": Digest.of(b"y")}
    wrapper_catalogue.write_pins(tmp_path / "pins.toml", pins)
    assert wrapper_catalogue.read_pins(tmp_path / "pins.toml") == pins
    assert wrapper_catalogue.read_pins(tmp_path / "none.toml") == {}


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x7fELF", b"MZ", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe"]))
def test_no_bytes_break_the_classifier(data: bytes, head: bytes) -> None:
    assert binary_format.describe(head + data)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        binary_of(tmp_path / "none", FILE)
