"""``import boinc2docker``: what it names is what it says it is, typed, and costs nothing until it is used."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import boinc2docker
from boinc2docker import places


def typed_names() -> dict[str, str]:
    """Name → module of the imports that type checkers see."""
    tree = ast.parse(Path(boinc2docker.__file__).read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def test_what_is_imported_is_what_type_checkers_see() -> None:
    typed = typed_names()
    assert {"__version__", *typed} == set(boinc2docker.__all__) <= set(dir(boinc2docker))
    for name, module in typed.items():
        assert getattr(boinc2docker, name) is getattr(importlib.import_module(module), name), name
    with pytest.raises(AttributeError, match="no attribute 'Jobs'"):
        _ = boinc2docker.Jobs


def imported_by(program: str) -> set[str]:
    """The modules that a new Python has loaded after ``program``."""
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys\nprint(*sys.modules)"],
        env={"PYTHONPATH": str(places.SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_else() -> None:
    loaded = imported_by("import boinc2docker")
    assert {name for name in loaded if name.startswith("boinc2docker.")} == set()
    assert "requests" not in loaded


def test_a_job_can_be_described_without_loading_what_submits_it() -> None:
    loaded = imported_by("from boinc2docker import Job\nJob(command=('true',))")
    assert not {"pymysql", "requests", "docker", "rich"} & loaded
