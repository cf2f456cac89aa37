"""The manual page and the reference in Markdown: complete, and what their readers take them for."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from boinc2docker.cli import man
from boinc2docker.cli.commands import COMMANDS
from boinc2docker.cli.reference import markdown
from boinc2docker.errors import ExitCode


def test_the_manual_page_is_right(tmp_path: Path) -> None:
    page = tmp_path / "boinc2docker.1"
    page.write_text(man.page(COMMANDS) + "\n")
    requests = {".TH", ".SH", ".SS", ".PP", ".TP", ".B", ".br", ".nf", ".fi"}
    for line in page.read_text().splitlines():
        assert not line.startswith("'")
        assert not line.startswith(".") or line.split(" ")[0] in requests, line
        assert not re.search(r"(?<!\\)-", line) or line.startswith(".TH"), line
    ran = 0
    for checker in (["mandoc", "-Tlint", "-Werror"], ["groff", "-ww", "-man", "-Tutf8", "-z"]):
        if shutil.which(checker[0]):
            done = subprocess.run([*checker, str(page)], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, ""), done.stdout
            ran += 1
    if shutil.which("man") and shutil.which("groff"):
        shown = subprocess.run(
            ["man", "--warnings", "-l", str(page)], capture_output=True, text=True, check=True, env={"MANWIDTH": "200"}
        )
        assert shown.stderr == ""
        plain = re.sub(r".\x08", "", shown.stdout)
        assert "submit --sweep n=1..1000 --name sweep python:3-slim python -c 'print({n})'" in plain
        ran += 1
    if not ran:
        pytest.skip("needs man, groff or mandoc")


def test_the_reference_has_everything() -> None:
    text = markdown()
    for entry in COMMANDS:
        command = entry.load()
        part = text[text.index(f"\n## {entry.name}\n") :]
        for option in command.options:
            assert option.hidden or option.shown_value.replace("|", "\\|") in part or option.kind == "flag"
            assert option.hidden or option.kind == "argument" or f"{option.spelling}" in part
        assert all(f"boinc2docker {example.line}\n" in part for example in command.examples)
    assert all(f"| {int(code)} | " in text for code in ExitCode)
    for row in re.findall(r"^\|.*$", text, re.MULTILINE):
        assert len(re.findall(r"(?<!\\)\|", row)) == 3, row
