"""From a tree to boinc.img: what the build machine adds must not show."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from boinc2docker.errors import InputError
from boinc2docker.formats import newc
from boinc2docker.formats.newc import Entry, directory
from boinc2docker.iso.overlay import IDENTITY_NAME, assemble_hex, content_digest, overlay_image, read_overlay
from tests.iso.sample_iso import sample_overlay

BASE = {"opt": directory("opt")}


def names(entries: list[Entry]) -> dict[str, int]:
    return {entry.name: entry.mode for entry in entries}


def test_a_tree_becomes_entries(tmp_path: Path) -> None:
    root = sample_overlay(tmp_path / "overlay")
    (root / "opt/link").symlink_to("boinc2docker/lib")
    (root / "opt/.gitkeep").touch()
    (root / "opt/boinc2docker/__pycache__").mkdir()
    (root / "opt/boinc2docker/__pycache__/x.pyc").touch()
    (root / "opt/boinc2docker/lib/log.sh~").touch()
    entries = read_overlay(root)
    assert names(entries) == {
        "opt": 0o40755,
        "opt/bootlocal.sh": 0o100755,
        "opt/boinc2docker": 0o40755,
        "opt/boinc2docker/guestlog": 0o100755,
        "opt/boinc2docker/lib": 0o40755,
        "opt/boinc2docker/lib/log.sh": 0o100644,
        "opt/link": 0o120777,
    }
    by_name = {entry.name: entry for entry in entries}
    assert by_name["opt/boinc2docker/guestlog"].data == b"\x7fELF"
    assert by_name["opt/link"].data == b"boinc2docker/lib"


def test_modes_order_times_and_umask_do_not_show(tmp_path: Path) -> None:
    images = []
    for attempt, mask in enumerate((0o022, 0o077, 0o000)):
        root = tmp_path / str(attempt)
        files = [f"opt/boinc2docker/file{number}" for number in range(40)]
        random.Random(attempt).shuffle(files)
        before = os.umask(mask)
        try:
            for name in files:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(name)
                if name.endswith("7"):
                    (root / name).chmod(0o700 | attempt)
                os.utime(root / name, (random.random() * 1e9, random.random() * 1e9))
        finally:
            os.umask(before)
        entries = read_overlay(root)
        images.append((content_digest(entries), overlay_image(entries, "{}\n", BASE, epoch=5)))
    assert images[0] == images[1] == images[2]


def test_the_image_has_the_identity_and_no_record_of_the_bases_directories(tmp_path: Path) -> None:
    entries = read_overlay(sample_overlay(tmp_path / "overlay"))
    image = overlay_image(entries, "who\n", BASE, epoch=7)
    read, used = newc.parse(image)
    assert used == len(image)
    assert "opt" not in names(read)
    assert next(entry.data for entry in read if entry.name == IDENTITY_NAME) == b"who\n"
    with_opt = names(newc.parse(overlay_image(entries, "who\n", {}, epoch=7))[0])
    assert with_opt["opt"] == 0o40755


def test_a_base_with_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    entries = read_overlay(sample_overlay(tmp_path / "overlay"))
    with pytest.raises(InputError, match=r"/opt/bootlocal\.sh, a directory of the base"):
        overlay_image(entries, "", {**BASE, "opt/bootlocal.sh": directory("opt/bootlocal.sh")}, epoch=0)


@pytest.mark.parametrize("name", ["x.orig", "x.rej", "x.bak"])
def test_leftovers_are_refused(tmp_path: Path, name: str) -> None:
    root = sample_overlay(tmp_path / "overlay")
    (root / "opt" / name).touch()
    with pytest.raises(InputError, match="leftover"):
        read_overlay(root)


def test_no_tree_no_files_and_special_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a directory"):
        read_overlay(tmp_path / "nothing")
    (tmp_path / "empty/opt").mkdir(parents=True)
    with pytest.raises(InputError, match="no files"):
        read_overlay(tmp_path / "empty")
    os.mkfifo(tmp_path / "empty/opt/pipe")
    with pytest.raises(InputError, match="neither"):
        read_overlay(tmp_path / "empty")


def test_hex_is_read_with_its_comments() -> None:
    assert assemble_hex("7f45 4C46 # a magic 00\n\n; 11\n 01", "x") == b"\x7fELF\x01"
    with pytest.raises(InputError, match=r"x\.hex0, line 2"):
        assemble_hex("00\n0g", "x.hex0")
    with pytest.raises(InputError, match="line 1"):
        assemble_hex("0", "x.hex0")
