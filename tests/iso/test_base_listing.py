"""The memory of a base's listing: the same answer with it, without it, and with a damaged one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from boinc2docker import places
from boinc2docker.errors import InputError
from boinc2docker.formats import newc
from boinc2docker.iso import base_listing as module
from boinc2docker.iso.base_listing import base_listing
from boinc2docker.iso.image import read_image
from tests.iso import sample_iso
from tests.iso.sample_iso import needs_xorriso, new_layout

pytestmark = needs_xorriso


@pytest.fixture
def large_base(tmp_path: Path) -> Path:
    odd = os.fsdecode(b"odd-\xff")
    entries = [newc.directory("opt", 0o711), newc.regular("big", bytes(9 << 20)), newc.regular(odd, b"")]
    sample = new_layout().with_files({"boot/initrd.img": newc.archive(entries)})
    return sample_iso.build(sample, tmp_path / "base.iso")


def listed(base: Path) -> dict[str, int]:
    with base.open("rb") as stream:
        found = base_listing(stream, read_image(stream, base), ("/boot/initrd.img",))
    return {name: entry.mode for name, entry in found.items()}


def test_a_listing_is_remembered_and_never_trusted_blindly(
    large_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOINC2DOCKER_CACHE", str(tmp_path / "cache"))
    expected = {"opt": 0o40711, "big": 0o100644, os.fsdecode(b"odd-\xff"): 0o100644}
    assert listed(large_base) == expected
    (memory,) = (places.cache() / "initramfs").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(module, "_walk", lambda *_: pytest.fail("walked again"))
        assert listed(large_base) == expected
    for rubbish in ("", "[]", '{"opt": "x"}', '{"opt'):
        memory.write_text(rubbish)
        assert listed(large_base) == expected


def test_a_cache_that_cannot_be_written_costs_only_time(
    large_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BOINC2DOCKER_CACHE", str(tmp_path / "file"))
    assert listed(large_base)["opt"] == 0o40711


def test_the_missing_file_is_named(large_base: Path) -> None:
    with large_base.open("rb") as stream, pytest.raises(InputError, match="/boot/none"):
        base_listing(stream, read_image(stream, large_base), ("/boot/none",))
