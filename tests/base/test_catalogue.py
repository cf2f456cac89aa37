"""bases.toml and the pins beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from boinc2docker.base import catalogue
from boinc2docker.base.catalogue import Assembled, Download
from boinc2docker.base.epoch import chosen, of_descriptor
from boinc2docker.base.lock import ARCHIVES
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError, UsageError
from tests.equipment.checkout import PROJECT_ROOT

GOOD = """
default = "debian"
[bases.debian]
kind = "assembled"
[bases.old]
kind = "download"
urls = ["https://example.org/old.iso"]
sha256 = "00000000000000000000000000000000000000000000000000000000000000aa"
"""


def test_shipped_catalogue() -> None:
    shipped = catalogue.read(PROJECT_ROOT / "guest" / "bases.toml")
    assert isinstance(shipped.entries[shipped.default], Assembled)
    upstream, fork = shipped.entries["boot2docker"], shipped.entries["boot2docker-fork"]
    assert isinstance(upstream, Download)
    assert upstream.digest == Digest("33d2db9b78f8e90d0998a1ab34d957c7cb1f8ad2893aad480f13d063f019d95b")
    assert isinstance(fork, Download)
    assert fork.digest is None
    assert (shipped.snapshot or "").startswith("https://")
    assert all(len(shipped.mirrors[archive]) > 1 for archive in ARCHIVES)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('default = "debian"', 'default = "nosuch"', "nosuch"),
        (
            'kind = "assembled"',
            'kind = "magic"',
            r"bases\.debian\.kind: expected one of assembled, download, found 'magic'",
        ),
        ('kind = "assembled"', 'kind = "assembled"\nurls = ["https://x"]', r"bases\.debian: only a download has urls"),
        (
            'kind = "assembled"',
            'kind = "assembled"\nurl = []',
            r"bases\.debian: unknown key 'url' \(did you mean 'urls'\?\)",
        ),
        ("https://example.org/old.iso", "old.iso", r"bases\.old\.urls\[0\]: expected a URL"),
        ('["https://example.org/old.iso"]', "[]", r"bases\.old\.urls: expected a list, not empty"),
        ('00aa"', '00ag"', r"bases\.old\.sha256: .*64"),
        ("[bases.debian]", 'snapshot = "archive"\n[bases.debian]', "snapshot: expected a URL"),
        ("[bases.old]", "[bases.old", "not TOML"),
        ("[bases.old]", '[mirrors]\nubuntu = ["https://x"]\n[bases.old]', r"mirrors\.ubuntu: expected one of debian, "),
    ],
)
def test_what_is_wrong_is_said(old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(InputError, match=said):
        catalogue.parse(GOOD.replace(old, new))


def test_unknown_base_lists_the_known_ones_and_guesses() -> None:
    with pytest.raises(InputError) as caught:
        catalogue.parse(GOOD).entry("debain")
    assert caught.value.code == "unknown-base"
    assert "debian, old" in caught.value.message
    assert "'debian'" in (caught.value.hint or "")


def test_pins_survive_and_are_sorted(tmp_path: Path) -> None:
    path = tmp_path / "base-pins.toml"
    assert catalogue.read_pins(path) == {}
    pins = {"https://example.org/b.iso": Digest.of(b"b"), "https://example.org/a.iso": Digest.of(b"a")}
    catalogue.write_pins(path, pins)
    assert catalogue.read_pins(path) == pins
    assert path.read_text().index("a.iso") < path.read_text().index("b.iso")
    path.write_text('"https://example.org/a.iso" = "nonsense"\n')
    with pytest.raises(InputError, match=r"base-pins\.toml"):
        catalogue.read_pins(path)


def test_epoch_of_a_volume() -> None:
    descriptor = bytearray(2048)
    descriptor[1:6] = b"CD001"
    descriptor[830:847] = b"2020061720021500" + bytes([8])
    assert of_descriptor(bytes(descriptor)) == 1592424135 - 2 * 3600
    descriptor[846] = 256 - 8
    assert of_descriptor(bytes(descriptor)) == 1592424135 + 2 * 3600
    assert of_descriptor(bytes(2048)) == 0
    assert of_descriptor(b"") == 0
    descriptor[830:847] = b"0" * 16 + b"\0"
    assert of_descriptor(bytes(descriptor)) == 0


def test_source_date_epoch() -> None:
    assert chosen({}) is None
    assert chosen({"SOURCE_DATE_EPOCH": "1592416935"}) == 1592416935
    for text in ("yesterday", "-1", "1.5"):
        with pytest.raises(UsageError):
            chosen({"SOURCE_DATE_EPOCH": text})
