"""A project's database is asked as BOINC's programs would ask it; what goes wrong is one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from boinc2docker.errors import BuilderError, InputError
from boinc2docker.project.database import AppVersion, Database, address
from boinc2docker.project.project import DatabaseSettings, Project
from tests.equipment.boinc_project import BoincProject

SETTINGS = DatabaseSettings("name", "user", "password")


@pytest.fixture
def settings(boinc_project: BoincProject) -> DatabaseSettings:
    return Project.open(boinc_project.root).database


def test_where_the_server_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "socket"
    there.touch()
    sockets = ("/nowhere/s", str(there))
    assert address(SETTINGS, {}, sockets) == {"unix_socket": str(there)}
    assert address(SETTINGS, {"MYSQL_UNIX_PORT": "/a"}, sockets) == {"unix_socket": "/a"}
    assert address(replace(SETTINGS, socket="/b"), {"MYSQL_UNIX_PORT": "/a"}) == {"unix_socket": "/b"}
    assert address(SETTINGS, {}, sockets[:1]) == {"host": "127.0.0.1", "port": 3306}
    assert address(replace(SETTINGS, host="db.example", port=3307), {}) == {"host": "db.example", "port": 3307}
    monkeypatch.setattr("socket.gethostname", lambda: "server")
    assert address(replace(SETTINGS, host="server"), {}, sockets) == {"unix_socket": str(there)}


def test_the_password_is_not_shown(settings: DatabaseSettings) -> None:
    assert settings.password not in repr(settings)
    assert settings.password == "it's <secret> & \\more"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"password": "wrong"}, "database-denied"),
        ({"name": "project0"}, "database-denied"),
        ({"socket": "/nowhere/socket"}, "database-unreachable"),
        ({"host": "127.0.0.1", "port": 1}, "database-unreachable"),
    ],
)
def test_a_database_that_cannot_be_asked(settings: DatabaseSettings, change: dict[str, object], code: str) -> None:
    with pytest.raises(BuilderError) as raised:
        Database(replace(settings, **change))  # type: ignore[arg-type]
    assert raised.value.code == code
    assert settings.password not in raised.value.message


def test_a_database_of_something_else(settings: DatabaseSettings, boinc_project: BoincProject) -> None:
    boinc_project.execute("drop table app")
    with Database(settings) as database, pytest.raises(BuilderError) as raised:
        database.app_id("boinc2docker")
    assert raised.value.code == "other-database"


def test_apps_and_versions(settings: DatabaseSettings) -> None:
    with Database(settings) as database:
        assert database.versions("boinc2docker") == [AppVersion(102, "x86_64-pc-linux-gnu", "vbox64_mt", False)]
        for name in ("other", "BOINC2docker", "x' or '1'='1"):
            with pytest.raises(InputError, match="has no app"):
                database.versions(name)


def test_a_lost_connection_is_opened_again(settings: DatabaseSettings, boinc_project: BoincProject) -> None:
    with Database(settings) as database:
        ((connection,),) = database.rows("select connection_id()")
        boinc_project.execute("kill %s", connection)
        assert database.app_id("boinc2docker") == 1


def test_one_at_a_time_until_its_process_ends(settings: DatabaseSettings) -> None:
    first = Database(settings)
    with Database(settings) as second:
        inside = first.alone("this")
        inside.__enter__()
        with second.alone("that"):
            pass
        assert second.rows("select is_free_lock('x')") == ((1,),)
        first._connection.close()  # as the kernel does for a killed process
        with second.alone("this", seconds=0):
            assert second.rows("select 1") == ((1,),)
