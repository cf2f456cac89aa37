"""The linters and the house rules are tests: what they find is a failure."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.equipment.checkout import PROJECT_ROOT

BIN = Path(sys.executable).parent
FLOORS = (
    "__main__",
    "cli",
    "release",
    "submission",
    "container",
    "vm app",
    "job",
    "base image results iso",
    "fetch store project",
    "formats locks",
    "atomic programs extras",
    "console leftovers digest sizes typed",
    "plain_text places",
    "errors",
)
"""The package from the top: whatever is named here imports only what stands below it."""
LEVELS = {part: number for number, parts in enumerate(FLOORS) for part in parts.split()}


def tracked(*patterns: str) -> list[Path]:
    """The project's own files, as git lists them (uncommitted ones too)."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=PROJECT_ROOT,
        capture_output=True,
        check=True,
    ).stdout
    paths = [PROJECT_ROOT / name for name in listed.decode().split("\0") if name]
    return sorted(path for path in paths if path.is_file())


def shell_scripts() -> list[Path]:
    """Files with a shell's first line, and ``*.sh`` files."""
    found = []
    for path in tracked():
        with path.open("rb") as stream:
            first = stream.readline(80)
        if path.suffix == ".sh" or re.match(rb"#!\s*/\S*\b(ba|da|a)?sh\b", first):
            found.append(path)
    return found


def passes(*argv: str | Path) -> None:
    done = subprocess.run([str(word) for word in argv], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing() -> None:
    passes(BIN / "ruff", "check", "--no-cache", ".")


def test_code_is_formatted() -> None:
    passes(BIN / "ruff", "format", "--no-cache", "--check", ".")


@pytest.mark.timeout(300)
def test_types_hold() -> None:
    passes(BIN / "mypy", "--no-error-summary")


def test_shellcheck_finds_nothing() -> None:
    scripts = shell_scripts()
    assert len(scripts) > 5, "the search for shell scripts is broken"
    passes(BIN / "shellcheck", "--shell=sh", "--severity=style", "--external-sources", *scripts)


def test_shell_is_formatted() -> None:
    passes(BIN / "shfmt", "-d", "-ln", "posix", *shell_scripts())


@pytest.mark.parametrize(
    "path", tracked("builder/**/*.py", "ci/*.py", "ci/**/*.py", "tests/guest/*.py", "tasks.py"), ids=lambda p: p.name
)
def test_modules_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
    assert path.stem not in {"utils", "util", "helpers", "common", "misc", "manager"}


def imported_modules(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_imports_point_downwards() -> None:
    package = PROJECT_ROOT / "builder" / "boinc2docker"
    for path in tracked("builder/**/*.py"):
        part = path.relative_to(package).parts[0].removesuffix(".py")
        for name in imported_modules(path):
            assert name.split(".")[0] not in {"ci", "tests"}, f"{path} imports {name}"
            match = re.match(r"boinc2docker\.(\w+)", name)
            other = match.group(1) if match else part
            if part in LEVELS and other in LEVELS and other != part:
                assert LEVELS[other] > LEVELS[part], f"{path} imports {name}"


def test_every_part_has_a_floor() -> None:
    package = PROJECT_ROOT / "builder" / "boinc2docker"
    parts = {path.name.removesuffix(".py") for path in package.iterdir() if path.suffix in ("", ".py")}
    assert parts - {"__init__", "__pycache__"} == set(LEVELS)


def test_only_the_console_prints() -> None:
    for path in tracked("builder/**/*.py"):
        if path.name == "console.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"print", "sys.stdout.write", "sys.stderr.write"}, f"{path}:{node.lineno}"


def test_no_shell_between_us_and_a_program() -> None:
    for path in tracked("*.py"):
        assert "shell=" + "True" not in path.read_text(), path
