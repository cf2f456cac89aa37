"""Which Docker an ISO has."""

from __future__ import annotations

from pathlib import Path

import pytest

from boinc2docker import iso
from boinc2docker.digest import Digest
from tests.iso import sample_iso


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_iso.build(sample_iso.new_layout(), tmp_path_factory.mktemp("base") / "base.iso")


@pytest.mark.parametrize(
    ("facts", "reads"),
    [
        ({"docker": "26.1.5+dfsg1-9+deb13u1"}, True),
        ({"docker": "23.0.0"}, True),
        ({"docker": "22.06"}, False),
        ({"docker": "19.03.12"}, False),
        ({}, False),  # nobody knows: gzip is read by all
    ],
)
def test_which_docker_reads_zstd(base: Path, tmp_path: Path, facts: dict[str, object], reads: bool) -> None:
    made = tmp_path / "made.iso"
    identity = iso.BaseIdentity("sample", Digest.of_file(base), facts)
    iso.remaster(base, made, base=identity, version="2.0.0", epoch=0)
    assert iso.reads_zstd(made) is reads


def test_an_iso_of_others_is_not_believed_to_read_zstd(base: Path) -> None:
    assert iso.reads_zstd(base) is False


def test_what_is_no_iso_is_not_believed_to_read_zstd(tmp_path: Path) -> None:
    (tmp_path / "x.iso").write_bytes(b"x" * 5000)
    assert iso.reads_zstd(tmp_path / "x.iso") is False
