"""Fixtures of a BOINC server: the database once a worker, a fresh project a test."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.equipment.archives import Sample, old_docker, tar
from tests.equipment.boinc_project import BoincProject
from tests.equipment.needs import needs
from tests.equipment.real_database import NEEDED, RealDatabase, running_database


@pytest.fixture(scope="session")
def database() -> Iterator[RealDatabase]:
    """A real MariaDB for this worker's tests. The directory's path is short, as a socket's has to be."""
    needs(*NEEDED)
    with tempfile.TemporaryDirectory(prefix="b2d-db-") as directory, running_database(Path(directory)) as running:
        yield running


@pytest.fixture
def boinc_project(tmp_path: Path, database: RealDatabase, monkeypatch: pytest.MonkeyPatch) -> BoincProject:
    """An empty project with the app ``boinc2docker``; ``localhost`` is the test's database here."""
    for variable in ("PROJHOME", "BOINC_PROJECT_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("MYSQL_UNIX_PORT", str(database.socket))
    return BoincProject(tmp_path / "project", database)


@pytest.fixture
def image(tmp_path: Path) -> str:
    """The path of an archive of ``docker save``."""
    path = tmp_path / "image.tar"
    path.write_bytes(tar(old_docker(Sample())))
    return str(path)
