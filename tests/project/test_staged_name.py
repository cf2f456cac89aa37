"""Names of staged files, and what is beside each: one rule, for whoever writes, finds or checks them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.digest import Digest
from boinc2docker.project.staged_name import Md5, digest_of, kind_of, md5_path, names_in, read_md5, staged_name

DIGEST = Digest.of(b"content")


@given(st.text("abcxyz", min_size=1), st.sampled_from(["", ".xml"]))
def test_a_name_is_read_as_it_was_made(kind: str, suffix: str) -> None:
    name = staged_name(kind, DIGEST, suffix)
    assert (kind_of(name), digest_of(name)) == (kind, DIGEST.hex)
    assert names_in(f"<name>{name}</name> b2d_x b2d_{kind}_{'0' * 63}".encode()) == {name}


@pytest.mark.parametrize(
    "name", ["", "b2d_app_12", f"b2d_{DIGEST.hex}", f"x_app_{DIGEST.hex}", f"b2d_app_{DIGEST.hex}.gz"]
)
def test_other_names_are_not_ours(name: str) -> None:
    assert (kind_of(name), digest_of(name)) == (None, None)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("HEX 7\n", 7),
        ("HEX 7.000000\n", 7),
        ("HEX 1.234500e+04\n", 12345),
        ("HEX 7", None),
        ("HEX  7\n", None),
        ("HEX 7\n\n", None),
        ("HEX e\n", None),
        ("HEX 1.2.3\n", None),
        ("hex 7\n", None),
        ("", None),
    ],
)
def test_what_is_beside_a_file_is_read_as_boinc_reads_it(tmp_path: Path, text: str, size: int | None) -> None:
    path, hexes = tmp_path / "file", "0123456789abcdef" * 2
    md5_path(path).write_text(text.replace("HEX", hexes))
    assert read_md5(path) == (None if size is None else Md5(hexes, size))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    said = Md5("0" * 32, 10**15)
    md5_path(tmp_path / "file").write_bytes(said.render())
    assert read_md5(tmp_path / "file") == said
    assert said.render() == b"0" * 32 + b" 1000000000000000\n"
