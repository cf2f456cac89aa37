"""The documents: what they name is there, and what they print can be typed."""

from __future__ import annotations

import ast
import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml

from boinc2docker import __version__
from boinc2docker.cli.command_line import parse
from boinc2docker.cli.program import find
from boinc2docker.errors import ExitCode
from boinc2docker.release import notes
from ci.pictures import HOUSE, floors, pictures
from tasks import ENTRIES
from tests.equipment import documents
from tests.equipment.checkout import PROJECT_ROOT
from tests.test_linters import FLOORS

PAGES = documents.pages()
DOCS = PROJECT_ROOT / "docs"
NAMED_TESTS = sorted(
    {named for page in PAGES for named in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text(encoding="utf-8"))}
)
EXCEPTIONS = sorted(
    {named for text in documents.ELSEWHERE.values() for named in re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", text)}
)


def named_page(page: Path) -> str:
    return str(page.relative_to(PROJECT_ROOT))


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


@pytest.mark.parametrize(("file", "name"), EXCEPTIONS, ids=[f"{file}-{name}" for file, name in EXCEPTIONS])
def test_a_test_that_runs_a_documents_command_exists(file: str, name: str) -> None:
    assert not name or name in defined(PROJECT_ROOT / file)
    assert (PROJECT_ROOT / file).is_file()


@pytest.mark.parametrize("page", PAGES, ids=named_page)
def test_links_lead_to_files_of_the_checkout(page: Path) -> None:
    """Anchors too; the site's own build checks those of docs/ as well."""
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        other = (page.parent / file).resolve() if file else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other.read_text(encoding="utf-8")), target


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them of plain words."""
    return {
        re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, re.M)
    }


@pytest.mark.parametrize("line", documents.commands())
def test_a_command_in_a_block_can_be_typed(line: str) -> None:
    """All are parsed; those that no other test is said to run are also run."""
    parsed(shlex.split(line)[1:])


@pytest.mark.parametrize("page", PAGES, ids=named_page)
def test_commands_in_sentences_are_commands_that_there_are(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for line in re.findall(r"`((?:ci/invoke|boinc2docker) [^`\n]+)`", text):
        words = shlex.split(line)[1:]
        if words[0].islower() and any(word.startswith("--") for word in words):
            parsed(words)
        elif words[0].islower():
            known(words[0])


def parsed(words: list[str]) -> None:
    """Raises UsageError for words that the program would not understand."""
    if words[0] == "help":
        known(*words[1:2])
    elif not words[0].startswith("-"):
        parse(find(words[0], ENTRIES).load(), words[1:])


def known(*names: str) -> None:
    for name in names:
        assert name == "help" or find(name, ENTRIES)


@pytest.mark.parametrize("page", PAGES, ids=named_page)
def test_every_other_command_line_has_a_reason_not_to_be_run(page: Path) -> None:
    for line in documents.shell_lines(page):
        if not documents.in_checkout(line).startswith("ci/invoke "):
            assert line in documents.OTHER_PROGRAMS


def test_every_reason_is_for_a_command_that_is_printed() -> None:
    printed = {line for page in PAGES for line in documents.shell_lines(page)}
    assert documents.OTHER_PROGRAMS.keys() <= printed
    assert documents.ELSEWHERE.keys() <= set(documents.commands())


def test_the_readme_is_short_and_names_every_kind_of_page() -> None:
    text = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    assert "docs/index.md" in text


def menu(item: Any) -> set[str]:
    """The pages that an item of mkdocs.yml's menu names."""
    if isinstance(item, str):
        return {item}
    children = item.values() if isinstance(item, dict) else item
    return set().union(*(menu(child) for child in children))


def test_every_page_is_in_the_menu() -> None:
    site = yaml.safe_load((PROJECT_ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if page.parent != DOCS / "changelog"}
    assert menu(site["nav"]) == pages
    assert site["strict"] is True
    assert site["theme"]["font"] is False, "fonts from another server"


FORMS = sorted((PROJECT_ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


@pytest.mark.parametrize("path", [path for path in FORMS if path.stem != "config"], ids=lambda path: path.stem)
def test_issue_forms_have_what_github_wants(path: Path) -> None:
    """https://docs.github.com/en/communities/using-templates-to-encourage-useful-issues-and-pull-requests"""
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form["name"] and form["description"]  # noqa: PT018 - both are texts
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert all(field["type"] in ("input", "textarea", "dropdown") and field["attributes"]["label"] for field in fields)
    assert len({field["id"] for field in fields}) == len(fields) > 1


def test_the_house_is_the_one_that_imports_obey() -> None:
    assert [" ".join(rooms) for rooms, _ in floors(HOUSE)] == [floor for floor in FLOORS if floor != "__main__"]


def test_environment_variables_are_in_their_page() -> None:
    page = (DOCS / "reference" / "environment.md").read_text(encoding="utf-8")
    sources = [*(PROJECT_ROOT / "builder").rglob("*.py"), PROJECT_ROOT / "tasks.py"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    used = set(re.findall(r'"((?:BOINC2DOCKER|B2D)_[A-Z_]+|PROJHOME|BOINC_PROJECT_DIR)"', text)) - INTERNAL
    assert len(used) > 5
    assert used <= set(re.findall(r"`([A-Z0-9_]+)`", page))


INTERNAL = {"BOINC2DOCKER_TYPED"}
"""What our own programs tell each other."""


def test_exit_codes_are_in_their_page() -> None:
    page = (DOCS / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", page, re.M)] == sorted(ExitCode)


def test_the_fields_of_job_json_are_in_their_page() -> None:
    report = (PROJECT_ROOT / "guest/overlay/opt/boinc2docker/lib/record.sh").read_text()
    function = report.partition("\nrecord_json() {")[2].partition("\n}")[0]
    written = set(re.findall(r'"(\w+)":', function))
    page = (DOCS / "reference" / "job-report.md").read_text(encoding="utf-8")
    assert len(written) > 12
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.M)) == written


def test_the_functions_of_a_job_are_in_their_page() -> None:
    """Each that is documented is there; each that submit writes is documented."""
    page = (DOCS / "reference" / "boinc-app.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(job_\w+)", page, re.M))
    script = (PROJECT_ROOT / "builder/boinc2docker/job/script.py").read_text()
    agent = (PROJECT_ROOT / "guest/overlay/opt/boinc2docker/lib/job.sh").read_text()
    assert set(re.findall(r"\b(job_[a-z]+) ", script)) - {"job_directory"} <= told
    assert told <= set(re.findall(r"^(job_\w+)\(\)", agent, re.M))


def test_pictures_are_made_of_their_texts() -> None:
    for path, text in pictures().items():
        assert path.read_text(encoding="utf-8") == text, "`python -m ci.pictures` draws it again"
        ET.fromstring(text)


def test_the_changelog_has_this_version() -> None:
    assert notes.versions((PROJECT_ROOT / "CHANGELOG.md").read_text())[0] == __version__
    assert notes.section((PROJECT_ROOT / "CHANGELOG.md").read_text(), __version__)


def test_the_notes_of_the_first_release_name_every_command() -> None:
    text = (PROJECT_ROOT / "CHANGELOG.md").read_text()
    first = notes.versions(text)[-1]
    later = {"completion", "man"}
    names = {entry.name for entry in ENTRIES} - later
    assert names <= set(re.findall(r"`invoke ([a-z-]+)`", notes.section(text, first)))


def test_the_licence_is_the_one_that_the_documents_name() -> None:
    from boinc2docker.release.documents import LICENCE

    assert (PROJECT_ROOT / "LICENSE").read_text().startswith(f"{LICENCE} License\n")


def test_every_dependency_says_why() -> None:
    """One line each, in pyproject.toml; tools of the tests are their own reason."""
    text = (PROJECT_ROOT / "pyproject.toml").read_text()
    listed = text[text.index("dependencies = [") : text.index("]\n", text.index("dependencies = ["))].splitlines()[1:]
    assert len(listed) > 10
    assert all(re.search(r'", # \S', line) for line in listed), listed
