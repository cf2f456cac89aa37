from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from boinc2docker.base.debian import package
from boinc2docker.base.debian.tree import Kind, Node, Spool, file, link
from boinc2docker.errors import InputError
from tests.base.debian import deb_writer
from tests.base.debian.deb_writer import Entry, entry, folder


def everything(path: str) -> bool:
    return True


def read(tmp_path: Path, spool: Spool, *entries: Entry) -> dict[str, Node]:
    deb = deb_writer.write(tmp_path / "x.deb", "x", entries)
    return dict(package.nodes(deb, "x", everything, spool))


def test_files_links_and_directories_arrive(tmp_path: Path, spool: Spool) -> None:
    found = read(
        tmp_path,
        spool,
        folder("./"),
        folder("./usr/"),
        entry("./usr/bin/tool", b"content", mode=0o755),
        entry("./usr/bin/t", kind=tarfile.SYMTYPE, target="tool"),
        entry("./bin/hard", kind=tarfile.LNKTYPE, target="./usr/bin/tool"),
    )
    assert sorted(found) == ["usr", "usr/bin/hard", "usr/bin/t", "usr/bin/tool"]
    assert spool.read(found["usr/bin/tool"].content) == b"content"
    assert found["usr/bin/tool"].mode == 0o755
    assert found["usr/bin/hard"] == found["usr/bin/tool"]
    assert found["usr/bin/t"] == link("tool", package="x")


def test_rights_of_others_and_set_user_id_are_dropped(tmp_path: Path, spool: Spool) -> None:
    found = read(tmp_path, spool, entry("su", mode=0o4755), entry("wall", mode=0o2755), entry("open", mode=0o666))
    assert [oct(found[name].mode) for name in ("su", "wall", "open")] == ["0o755", "0o755", "0o644"]


def test_only_what_is_wanted_is_stored(tmp_path: Path, spool: Spool) -> None:
    deb = deb_writer.write(tmp_path / "x.deb", "x", [entry("a", b"1"), entry("b", b"2")])
    found = dict(package.nodes(deb, "x", lambda path: path == "b", spool))
    assert list(found) == ["b"]
    assert found["b"].content == file(found["b"].content).content
    assert found["b"].kind is Kind.FILE


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (entry("../../etc/passwd", b"x"), "leaves its tree"),
        (entry("usr/../../x", b"x"), "leaves its tree"),
        (entry("dev/null", kind=tarfile.CHRTYPE), "neither a directory nor a file nor a link"),
        (entry("pipe", kind=tarfile.FIFOTYPE), "neither a directory nor a file nor a link"),
        (entry("hard", kind=tarfile.LNKTYPE, target="./gone"), "hard link to ./gone"),
    ],
)
def test_what_no_package_should_hold_is_refused(tmp_path: Path, spool: Spool, bad: Entry, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, spool, bad)


@pytest.mark.parametrize("cut", [0, 8, 100, 300])
def test_a_damaged_package_is_named(tmp_path: Path, spool: Spool, cut: int) -> None:
    deb = deb_writer.write(tmp_path / "x.deb", "x", [entry("a", bytes(range(256)) * 40)])
    deb.write_bytes(deb.read_bytes()[:cut])
    with pytest.raises(InputError, match="cannot read the package broken"):
        list(package.nodes(deb, "broken", everything, spool))
    with pytest.raises(InputError, match="cannot read the package broken"):
        package.control(deb, "broken")


def test_the_control_paragraph_is_read(tmp_path: Path) -> None:
    deb = deb_writer.write(tmp_path / "x.deb", "x", [], Source="y (2)")
    assert package.control(deb, "x")["Source"] == "y (2)"
