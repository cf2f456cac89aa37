"""Sizes on the command line of package-app, which app.toml has in MB."""

from __future__ import annotations

import pytest

from boinc2docker.cli.command_line import parse
from boinc2docker.cli.option import values
from boinc2docker.cli.package_app import COMMAND
from boinc2docker.errors import UsageError


@pytest.mark.parametrize("text", ["2GB", "2048", "2048MB", "2g"])
@pytest.mark.parametrize("spelling", ["--memory", "--memory-mb", "--memory_mb"])
def test_memory_takes_a_size_under_both_names(spelling: str, text: str) -> None:
    given = parse(COMMAND, ["--version", "1.02", spelling, text])
    assert values(COMMAND.options, given)["memory"] == "2048"


@pytest.mark.parametrize("text", ["100MB", "9TB", "much", "1GB512", "600000000"])
def test_what_is_no_memory_of_a_machine(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--memory: expected "):
        values(COMMAND.options, parse(COMMAND, ["--version", "1.02", "--memory", text]))
