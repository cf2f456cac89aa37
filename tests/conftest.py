"""What all tests share: the ISO built once, what a machine needs, the option for the long fault matrix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from tests.equipment.boinc_fixtures import boinc_project, database, image
from tests.equipment.checkout import PROJECT_ROOT, PYTHON_PATH
from tests.equipment.fixtures import access, docker_engine, one_server, registry, released, scripted, server, tiny_disk
from tests.equipment.needs import needs, needs_vboxsf

__all__ = [
    "access",
    "boinc_project",
    "database",
    "docker_engine",
    "image",
    "needs",
    "needs_vboxsf",
    "one_server",
    "registry",
    "released",
    "scripted",
    "server",
    "tiny_disk",
]

# No deadline for one example: this machine may be booting others meanwhile.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


SERVICES = frozenset(
    {"boinc_project", "built", "database", "debian_iso", "docker_engine", "iso", "locked_packages", "registry"}
)
"""Fixtures that start a real service, download packages or build the ISO: what uses one is marked ``service``."""

SLOW = (
    *(
        f"tests/{room}/"
        for room in ("app", "bench", "cli", "container", "crash", "e2e", "fetch", "guest", "install", "release")
    ),
    *(f"tests/vm/test_{name}.py" for name in ("acceleration", "guest_device", "machine", "run")),  # tiny guests in QEMU
    "tests/results/test_four_daemons.py",
    *(f"tests/test_{name}.py" for name in ("environment", "leftovers", "linters", "prepare", "selection")),
)
"""Tests that take long for other reasons, mostly because they start many processes: these are marked ``slow``."""

QUICK = "not machine and not service and not slow"
"""What ``pytest`` alone runs, so that it takes a minute or two; a path, ``-m`` or ``--all`` says otherwise."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--exhaustive", action="store_true", help="the long fault matrix as well")
    parser.addoption("--all", action="store_true", help="all tests where no path is given, not only the quick ones")


def pytest_configure(config: pytest.Config) -> None:
    # What tests start has to find the package, too, also under plain `pytest`.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (PYTHON_PATH, os.environ.get("PYTHONPATH", ""))))
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    if not (named or config.option.markexpr or config.getoption("--all") or config.getoption("--exhaustive")):
        config.option.markexpr = QUICK


@pytest.hookimpl(tryfirst=True)  # before pytest looks at the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if SERVICES & set(getattr(item, "fixturenames", ())):
            item.add_marker("service")
        if item.nodeid.startswith(SLOW):
            item.add_marker("slow")
    if config.getoption("--exhaustive"):
        return
    skip = pytest.mark.skip(reason="part of the long fault matrix: run with --exhaustive")
    for item in items:
        if item.get_closest_marker("exhaustive"):
            item.add_marker(skip)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what tests measured (``record_property("figure", text)``): figures to read, not conditions."""
    reports = (one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, []))
    for report in reports:
        for name, text in report.user_properties:
            if name == "figure" and report.when == "call":
                terminalreporter.write_line(f"measured: {text}")


Call = Callable[..., subprocess.CompletedProcess[str]]


def call(*words: str | Path, cwd: Path | None = None, timeout: float = 900) -> subprocess.CompletedProcess[str]:
    """A command as a user gives it, through the project's own door."""
    return subprocess.run(
        [sys.executable, "-m", "boinc2docker.cli.program", *(str(word) for word in words)],
        cwd=cwd or PROJECT_ROOT,
        env={**os.environ, "PYTHONPATH": PYTHON_PATH},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout to type commands in: links to the parts of this one, and this environment."""
    root = tmp_path / "checkout"
    root.mkdir()
    for name in ("app_template", "builder", "ci", "guest", "tasks.py"):
        (root / name).symlink_to(PROJECT_ROOT / name)
    (root / ".venv").symlink_to(sys.prefix)
    return root


def typed(words: Sequence[str], checkout: Path) -> subprocess.CompletedProcess[str]:
    """A command as it is printed, its first word included, in a ``checkout`` (see the fixture)."""
    return subprocess.run(
        words,
        cwd=checkout,
        env={**os.environ, "PYTHON": sys.executable},  # or ci/environment makes another one of another Python
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.fixture(scope="session")
def session_directory(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """One directory for all workers of this session."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def built(session_directory: Path) -> dict[str, object]:
    """What ``build-iso --locked --json`` says; run once a session. Skips where no Debian mirror can be reached."""
    report = session_directory / "build-iso.json"
    with FileLock(session_directory / "build-iso.lock"):
        if not report.exists():
            output = session_directory / "boinc2docker.iso"
            done = call("build-iso", "--locked", "--json", "--output", output, timeout=1800)
            if done.returncode != 0 and json.loads(done.stdout)["error"]["code"] in {"download-failed", "no-mirror"}:
                pytest.skip(f"no Debian mirror can be reached: {done.stderr}")
            assert done.returncode == 0, done.stderr
            report.write_text(done.stdout)
    return dict(json.loads(report.read_text()))


@pytest.fixture(scope="session")
def iso(built: dict[str, object]) -> Path:
    """The debian ISO of this checkout."""
    return Path(str(built["iso"]))
