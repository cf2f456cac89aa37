"""Version numbers as BOINC reads them, and which version may be made next to others."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.app import tree
from boinc2docker.app.tree import Directory, File
from boinc2docker.app.version import Version, directory_number
from boinc2docker.errors import InputError, UsageError


def boinc_reads(name: str) -> int:
    """``parse_version`` of update_versions, written from its documentation: MINOR + 100 * MAJOR."""
    major, minor = name.split(".")
    return int(minor) + 100 * int(major)


@given(st.integers(1, 9_999_999))
def test_a_version_reads_back_and_is_boincs_number(number: int) -> None:
    text = str(Version(number))
    assert Version.parse(text).number == number == boinc_reads(text) == directory_number(text)


@pytest.mark.parametrize(
    "text", ["1", "1.2", "1.2.3", "abc", "-1.0", "1.020", "01.02", "0.00", "1.02 ", "", "1,02", "１.02"]
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Version.parse(text)
    assert caught.value.code == "bad-version"


def test_the_hint_tells_how_boinc_reads_it() -> None:
    with pytest.raises(UsageError) as caught:
        Version.parse("1.2")
    assert caught.value.hint == "BOINC reads 1.2 as number 102, which is 1.02"


CONTENT = Directory("x86_64-pc-linux-gnu__vbox64_mt", (File.of_bytes("a", b"one"),))
OTHER = Directory("x86_64-pc-linux-gnu__vbox64_mt", (File.of_bytes("a", b"two"),))
MORE = Directory("windows_x86_64__vbox64_mt", (File.of_bytes("b", b"three"),))


def test_the_same_version_with_other_content_is_refused_with_the_next_free_one(tmp_path: Path) -> None:
    tree.write(tmp_path, "app", Version(102), [CONTENT])
    tree.write(tmp_path, "app", Version(109), [CONTENT])
    (tmp_path / "app" / "1.02" / CONTENT.name / ".DS_Store").write_bytes(b"BOINC passes over it")
    tree.require_free(tmp_path, "app", Version(102), [CONTENT, MORE])
    with pytest.raises(InputError, match=rf"other content \({OTHER.name}/a\)") as caught:
        tree.require_free(tmp_path, "app", Version(102), [OTHER])
    assert "1.10" in str(caught.value.hint)


def test_a_version_that_would_sort_below_the_newest_is_refused(tmp_path: Path) -> None:
    tree.write(tmp_path, "app", Version(105), [CONTENT])
    with pytest.raises(InputError, match=r"older than 1\.05") as caught:
        tree.require_free(tmp_path, "app", Version(103), [OTHER])
    assert "1.06" in str(caught.value.hint)
    tree.require_free(tmp_path, "other_app", Version(103), [OTHER])


def test_a_directory_with_the_same_number_counts(tmp_path: Path) -> None:
    (tmp_path / "app" / "1.2").mkdir(parents=True)
    with pytest.raises(InputError, match=r"number of 1\.02 already"):
        tree.require_free(tmp_path, "app", Version(102), [CONTENT])


def test_directories_that_boinc_skips_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "app" / "notes").mkdir(parents=True)
    tree.require_free(tmp_path, "app", Version(1), [CONTENT])
