"""A project's database, read only: which work units there are and what became of them.

Values are always bound, never pasted. Tables: BOINC ``db/schema.sql``; the address is read as BOINC's programs do it.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pymysql
from pymysql.constants import CR, ER

from boinc2docker.errors import BuilderError, HostError, InputError
from boinc2docker.project.project import DatabaseSettings

SOCKETS = ("/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/var/run/mysqld/mysqld.sock", "/tmp/mysql.sock")  # noqa: S108
"""Where MariaDB and MySQL put their sockets, by distribution."""
TOGETHER = 1000
"""Names asked for in one statement."""
_LOST = (CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST)
_SECONDS = 600


@dataclass(frozen=True)
class KnownUnit:
    """A work unit that is there: ``xml`` is its description, which names its files."""

    id: int
    name: str
    xml: bytes
    app_id: int


@dataclass(frozen=True)
class AppVersion:
    """A version of an app: 102 for 1.02, platform, plan class."""

    number: int
    platform: str
    plan_class: str
    deprecated: bool


class Database:
    """An open connection. Lost ones are opened again, since all that is done here can be done twice."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self.settings = settings
        self._connection = _connect(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(pymysql.Error):
            self._connection.close()

    def rows(self, statement: str, *values: Any) -> Sequence[tuple[Any, ...]]:
        """All rows of a ``select``. Raises HostError for whatever the database refuses."""
        for last in (False, True):
            try:
                with self._connection.cursor() as cursor:
                    cursor.execute(statement, values)
                    return tuple(cursor.fetchall())
            except pymysql.Error as error:
                if last or error.args[0] not in _LOST:
                    raise _explained(error, self.settings) from error
            except (OSError, AttributeError):  # PyMySQL's, when the connection was closed under it
                if last:
                    raise
            self._connection = _connect(self.settings)
        raise AssertionError

    def app_id(self, app: str) -> int:
        """Raises InputError if the project has no such app."""
        found = self.rows("select id, name from app where name = %s", app)
        if not found or found[0][1] != app:
            raise InputError(
                "no-app",
                f"the project has no app {app!r}",
                hint="install one with `package-app --project DIR --run`, or name another with --appname",
            )
        return int(found[0][0])

    def versions(self, app: str) -> list[AppVersion]:
        """The app's versions. Raises InputError if there is no such app."""
        found = self.rows(
            "select v.version_num, p.name, v.plan_class, v.deprecated from app_version v, platform p "
            "where v.appid = %s and p.id = v.platformid order by v.version_num, p.name",
            self.app_id(app),
        )
        return [AppVersion(int(row[0]), row[1], row[2], bool(row[3])) for row in found]

    def units(self, names: Iterable[str]) -> dict[str, KnownUnit]:
        """The work units of these names that are there, by folded name: names differ by more than case."""
        found: dict[str, KnownUnit] = {}
        for row in self._by_name("id, name, xml_doc, appid", names):
            found[fold(row[1])] = KnownUnit(int(row[0]), row[1], _bytes(row[2]), int(row[3]))
        return found

    def _by_name(self, columns: str, names: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        todo = iter(names)
        while some := tuple(itertools.islice(todo, TOGETHER)):
            yield from self.rows(f"select {columns} from workunit where name in %s", some)  # noqa: S608

    @contextlib.contextmanager
    def alone(self, purpose: str, *, seconds: int = 3600) -> Iterator[None]:
        """Only one process at a time is inside for the same ``purpose``, on whatever machine.

        The lock dies with the connection, so with the process; also where ``rows`` had to open a lost one again: it
        saves work, correctness rests on names being unique. Raises HostError after ``seconds``.
        """
        name = "b2d_" + hashlib.sha256(f"{self.settings.name}/{purpose}".encode()).hexdigest()[:40]
        until = time.monotonic() + seconds
        while self.rows("select get_lock(%s, %s)", name, 10)[0][0] != 1:
            if time.monotonic() > until:
                raise HostError("busy", f"another process has been at {purpose} for {seconds} s", hint="try again")
        try:
            yield
        finally:
            with contextlib.suppress(BuilderError):
                self.rows("select release_lock(%s)", name)


def fold(name: str) -> str:
    """How the database compares names: ``Job_1`` and ``job_1`` cannot both be there."""
    return name.lower()


def address(
    settings: DatabaseSettings, environment: Mapping[str, str] = os.environ, sockets: Sequence[str] = SOCKETS
) -> dict[str, Any]:
    """What PyMySQL needs to find the server. ``localhost``, or this host's name, is a socket, as for libmariadb:
    the settings' own, ``$MYSQL_UNIX_PORT``, or where distributions put it; where none is, port 3306."""
    if settings.host not in ("", "localhost", socket.gethostname()):
        return {"host": settings.host, "port": settings.port}
    given = settings.socket or environment.get("MYSQL_UNIX_PORT", "")
    found = given or next((path for path in sockets if Path(path).exists()), "")
    return {"unix_socket": found} if found else {"host": "127.0.0.1", "port": settings.port}


def _connect(settings: DatabaseSettings) -> pymysql.Connection[Any]:
    try:
        return pymysql.connect(
            **address(settings),
            user=settings.user,
            password=settings.password,
            database=settings.name,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=20,
            read_timeout=_SECONDS,
            write_timeout=_SECONDS,
        )
    except (pymysql.Error, OSError, RuntimeError) as error:
        raise _explained(error, settings) from error


def _explained(error: Exception, settings: DatabaseSettings) -> HostError:
    where = f"the project's database {settings.name!r}"
    number, text = (*error.args, "", "")[:2]
    if number in (ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR):
        hint = "run this as the project's own user; config.xml has the database's user and password"
        return HostError("database-denied", f"{where} does not let {settings.user!r} in: {text}", hint=hint)
    if number == ER.BAD_DB_ERROR:
        return HostError("no-database", f"{where} is not there: {text}", hint="db_name in config.xml says which it is")
    if number in (ER.NO_SUCH_TABLE, ER.BAD_FIELD_ERROR):
        return HostError("other-database", f"{where} is not one of BOINC's: {text}", hint="is db_name right?")
    if number in (CR.CR_CONN_HOST_ERROR, CR.CR_CONNECTION_ERROR, CR.CR_UNKNOWN_HOST):
        hint = "is the database server running? db_host in config.xml says where"
        return HostError("database-unreachable", f"{where} cannot be reached: {text}", hint=hint)
    return HostError("database-failed", f"{where} does not answer as it should: {text or error}")


def text_of(value: str | bytes | None) -> str:
    """A blob as text: bytes that are no UTF-8 are escapes."""
    return value if isinstance(value, str) else (value or b"").decode(errors="backslashreplace")


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
