"""The agent's scripts fit together: names tell the file, files form floors, and each entry sources what it needs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.guest.scripts import HOME, called, defined, graph, in_order, library, needs, owners, program, with_needs

ENTRIES = {"agent": HOME / "agent", "early": HOME / "early", "job": HOME / "lib" / "job.sh"}
PUBLIC = {
    "job_image",
    "job_layer",
    "job_option",
    "job_postrun",
    "job_prerun",
    "job_progress",
    "job_registry",
    "job_run",
    "job_unpack",
}
"""What a job file calls."""
BY_NAME = {"mount_vboxsf", "mount_9p", "mount_virtiofs"}
"""Called as "mount_$mount_type"."""


@pytest.mark.parametrize("name", sorted(library()))
def test_a_functions_name_begins_with_its_files(name: str) -> None:
    assert [each for each in defined(library()[name]) if each != name and not each.startswith(f"{name}_")] == []


def test_no_two_files_define_the_same_function() -> None:
    assert len(owners()) == sum(len(defined(path)) for path in library().values())


def test_no_file_needs_itself_by_way_of_others() -> None:
    """Raises CycleError, which names the circle."""
    order = in_order()
    for name, others in graph().items():
        assert all(order.index(other) < order.index(name) for other in others)


def test_every_call_is_seen() -> None:
    """Else the graph would lack an edge: each function is called somewhere, or is one that others call."""
    everything = [*library().values(), HOME / "agent", HOME / "early"]
    seen = set().union(*(called(path) for path in everything))
    assert set(owners()) - seen == PUBLIC | BY_NAME


def test_some_edges_are_there() -> None:
    assert {"bytes", "limit", "paths"} <= graph()["share"]
    assert "whole" in graph()["fetch"]
    assert graph()["uptime"] == {"paths"}


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_sources_what_it_needs_and_no_more(entry: str) -> None:
    path = ENTRIES[entry]
    sourced = _sourced(entry, path)
    if "runner" in sourced:  # sources what only it needs
        sourced |= _sourced("runner", library()["runner"])
    assert sourced == set(with_needs(needs(path)))


def _sourced(name: str, path: Path) -> set[str]:
    match = re.search(rf"for {name}_part in ([a-z ]+); do", program(path))
    assert match
    assert len(set(match[1].split())) == len(match[1].split())
    return set(match[1].split())


@pytest.mark.parametrize("shell", ["busybox sh", "dash", "bash"])
def test_a_file_works_with_what_it_needs(tmp_path: Path, shell: str) -> None:
    """Sourcing it and its needs in the graph's order, even twice, neither fails nor says anything."""
    environment = {"PATH": os.environ["PATH"], "B2D_RUN": str(tmp_path), "B2D_HOME": str(HOME)}
    for name in library():
        sources = "".join(f'. "$B2D_HOME/lib/{each}.sh"\n' for each in with_needs([name]))
        done = subprocess.run(
            [*shell.split(), "-euc", sources * 2], env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), name


# --- exit statuses that say more than yes or no ---

STATUSES = re.findall(r"\breadonly ([A-Z]+_[A-Z_]+)=(\d+)", program(library()["status"]))


def test_statuses_of_a_kind_differ_and_are_used() -> None:
    kinds = [(name.split("_")[0], number) for name, number in STATUSES]
    assert len(STATUSES) > 10
    assert len(set(kinds)) == len(kinds)
    everything = "".join(program(path) for name, path in library().items() if name != "status")
    everything += program(HOME / "agent")
    assert [name for name, _ in STATUSES if f"${name}" not in everything] == []


@pytest.mark.parametrize("name", sorted(library()))
def test_a_status_above_1_has_a_name(name: str) -> None:
    """No number above 1 is returned, and what returns names returns nothing else."""
    for function in re.split(r"^}\n", program(library()[name]), flags=re.MULTILINE):
        numbers = re.findall(r"\breturn (\d+)", function)
        assert set(numbers) <= {"0", "1"}, function
        if re.search(r'\breturn "\$(FETCH|LOCK)_', function):
            assert not numbers, function
        assert not re.search(r"\bcase \$\w*(status|done|curl)\b[^\n]*\n\s*[\d\s|]+\)", function), function
        assert not re.search(r"\$\w*(?:status|curl)\"? -(?:eq|ne) [1-9]", function), function
