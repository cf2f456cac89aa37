"""Fragments become the changelog's section."""

from __future__ import annotations

from pathlib import Path

import pytest

from boinc2docker.release import notes
from ci import changelog

OLD = """# Changelog

Words.

## Unreleased

### Added

* One.
* Two
  lines.

## 2.0.0

* The first.
"""


def test_fragments_go_under_their_headings() -> None:
    new = changelog.collected(OLD, [("fixed", "A fault.\n"), ("added", "Three."), ("breaking", "A  word\nless.")])
    section = new.partition("## Unreleased\n")[2].partition("\n## 2.0.0")[0]
    assert section == (
        "\n### Breaking changes\n\n* A word less.\n"
        "\n### Added\n\n* One.\n* Two\n  lines.\n* Three.\n"
        "\n### Fixed\n\n* A fault.\n"
    )
    assert new.endswith("\n## 2.0.0\n\n* The first.\n")


def test_nothing_new_changes_nothing() -> None:
    assert changelog.collected(OLD, []) == OLD


def test_a_release_names_the_section_and_the_next_begins_anew() -> None:
    released = changelog.collected(OLD, [], "2.1.0")
    assert notes.versions(released) == ["2.1.0", "2.0.0"]
    assert "Two\n  lines." in notes.section(released, "2.1.0")
    later = changelog.collected(released, [("fixed", "Another.")])
    assert later.index("## Unreleased\n\n### Fixed\n\n* Another.\n\n## 2.1.0\n") > 0


def test_long_texts_are_wrapped() -> None:
    new = changelog.collected(OLD, [("changed", "word " * 60)])
    assert max(map(len, new.splitlines())) <= 120


@pytest.mark.parametrize("name", ["x.md", "x.nice.md", "X Y.added.md"])
def test_a_file_that_is_no_fragment_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("Text.")
    with pytest.raises(ValueError, match=r"expected NAME\.KIND\.md"):
        changelog.fragments(tmp_path)


def test_the_fragments_of_this_checkout() -> None:
    for path in changelog.fragments(changelog.FOLDER):
        text = path.read_text(encoding="utf-8").strip()
        assert text.endswith("."), path
        assert len(text) <= 400, path
    current = changelog.CHANGELOG.read_text(encoding="utf-8")
    assert changelog.collected(current, []) == current, (
        "the changelog's section keeps the form that ci.changelog writes"
    )


def test_the_command_rewrites_and_removes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, file = tmp_path / "fragments", tmp_path / "CHANGELOG.md"
    folder.mkdir()
    (folder / "a.added.md").write_text("Three.")
    (folder / "README.md").write_text("stays")
    file.write_text(OLD)
    monkeypatch.setattr(changelog, "FOLDER", folder)
    monkeypatch.setattr(changelog, "CHANGELOG", file)
    changelog.main([])
    assert "* Three.\n" in file.read_text()
    assert [path.name for path in folder.iterdir()] == ["README.md"]
