"""The pages beside the README: what they name is there."""

from __future__ import annotations

import ast
import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from boinc2docker import __version__
from boinc2docker.cli.command_line import parse
from boinc2docker.cli.program import find
from boinc2docker.release import notes
from ci.pictures import pictures
from tasks import ENTRIES
from tests.equipment.checkout import PROJECT_ROOT

PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
NAMED_TESTS = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (PROJECT_ROOT / "SECURITY.md").read_text())


def defined(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_the_threats_are_all_there() -> None:
    text = (PROJECT_ROOT / "SECURITY.md").read_text()
    for threat in ("hostile image", "hostile result", "hostile mirror", "hostile volunteer", "leaked key"):
        assert f"## A {threat}\n" in text
    rows = [
        line
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith(("| attack", "| key", "| fault"))
    ]
    assert len(rows) > 20
    assert all("`tests/" in row.rpartition(" | ")[2] for row in rows), "every defence is shown by a test"


@pytest.mark.parametrize(("file", "name"), NAMED_TESTS, ids=[name for _, name in NAMED_TESTS])
def test_a_test_that_the_threat_model_names_exists(file: str, name: str) -> None:
    path = PROJECT_ROOT / file
    if not path.parent.is_dir():
        pytest.skip(f"{path.parent.name}/ is not in this checkout")
    assert name in defined(path)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_of_the_checkout(page: str) -> None:
    text = (PROJECT_ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#\s]+)\)", text) + re.findall(r'src="([^"]+)"', text):
        assert target.startswith("https://") or (PROJECT_ROOT / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_texts_are_commands_that_there_are(page: str) -> None:
    """Those of code blocks and between backticks, parsed as the program parses them; the README's are also run."""
    text = (PROJECT_ROOT / page).read_text()
    whole = [line.strip() for line in re.findall(r"^ *ci/invoke .+$", text, re.MULTILINE)]
    for line in whole + re.findall(r"`(ci/invoke [^`]+)`", text):
        words = shlex.split(line)
        if words[1].startswith("--") or words[1] == "help":
            continue
        command = find(words[1], ENTRIES).load()
        if line in whole or any(word.startswith("--") for word in words[2:]):
            parse(command, words[2:])


def test_pictures_are_made_of_their_texts() -> None:
    for path, text in pictures().items():
        assert path.read_text(encoding="utf-8") == text, "python -m ci.pictures writes it anew"
        ET.fromstring(text)


def test_the_changelog_has_this_version() -> None:
    assert notes.versions((PROJECT_ROOT / "CHANGELOG.md").read_text())[0] == __version__
    assert notes.section((PROJECT_ROOT / "CHANGELOG.md").read_text(), __version__)


def test_the_notes_of_the_first_release_name_every_command() -> None:
    text = (PROJECT_ROOT / "CHANGELOG.md").read_text()
    first = notes.versions(text)[-1]
    known = {entry.name for entry in ENTRIES} - {"completion", "man"}  # they came later
    assert known <= set(re.findall(r"`invoke ([a-z-]+)`", notes.section(text, first)))


def test_the_licence_is_the_one_that_the_documents_name() -> None:
    from boinc2docker.release.documents import LICENCE

    assert (PROJECT_ROOT / "LICENSE").read_text().startswith(f"{LICENCE} License\n")


def test_every_dependency_says_why() -> None:
    """One line each, in pyproject.toml; tools of the tests are their own reason."""
    text = (PROJECT_ROOT / "pyproject.toml").read_text()
    listed = text[text.index("dependencies = [") : text.index("]\n", text.index("dependencies = ["))].splitlines()[1:]
    assert len(listed) > 10
    assert all(re.search(r'", # \S', line) for line in listed), listed
