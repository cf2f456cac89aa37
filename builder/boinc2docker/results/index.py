"""The index: one SQLite file per results directory, one row per work unit, safe for several daemons at once.

WAL mode needs a local disk, because SQLite's locks do not work over NFS (https://www.sqlite.org/wal.html, "Overview").
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boinc2docker.errors import HostError
from boinc2docker.locks import exclusively, lock_of
from boinc2docker.plain_text import storable

FILE = "index.sqlite"
WAIT_SECONDS = 60
VERSION = 1
MOST_REASON = 2000
STATES = ("done", "failed", "error")
"""done: stored; failed: could not be assimilated, kept under failed/; error: ended without a result."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS work_units (
    app TEXT NOT NULL, name TEXT NOT NULL, id INTEGER, batch TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('done', 'failed', 'error')),
    error_mask INTEGER, reason TEXT, exit_code INTEGER, seconds REAL, runtime REAL,
    directory TEXT, outputs TEXT NOT NULL, metrics TEXT NOT NULL, recorded TEXT NOT NULL, recorded_at TEXT NOT NULL,
    PRIMARY KEY (app, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_batch ON work_units (app, batch, name);
CREATE INDEX IF NOT EXISTS by_state ON work_units (state) WHERE state <> 'done';
"""
_COLUMNS = (
    "app", "name", "id", "batch", "state", "error_mask", "reason", "exit_code", "seconds", "runtime",
    "directory", "outputs", "metrics", "recorded", "recorded_at",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One work unit. ``directory`` is relative to the results; ``outputs`` maps names to {bytes, sha256}."""

    app: str
    name: str
    batch: str
    state: str
    id: int | None = None
    error_mask: int | None = None
    reason: str | None = None
    exit_code: int | None = None
    seconds: float | None = None
    runtime: float | None = None
    directory: str | None = None
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    recorded: Mapping[str, Any] = field(default_factory=dict)
    recorded_at: str = ""

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _COLUMNS}


class Index:
    """An open index. Every ``put`` is a transaction and is on the disk when it returns."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def find(self, app: str, name: str) -> Row | None:
        stored = self._connection.execute(
            "SELECT * FROM work_units WHERE app = ? AND name = ?", (storable(app), storable(name))
        ).fetchone()
        return _row(stored) if stored else None

    def put(self, row: Row) -> None:
        """Writes ``row``, replacing an earlier one of the same work unit. A later error replaces neither a row that is
        done nor one that is failed, which can still be retried."""
        values = [_stored(getattr(row, name)) for name in _COLUMNS]
        marks = ", ".join("?" * len(_COLUMNS))
        updates = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[2:])
        with self.together():
            self._connection.execute(
                f"INSERT INTO work_units ({', '.join(_COLUMNS)}) VALUES ({marks}) "  # noqa: S608 - our own column names
                f"ON CONFLICT (app, name) DO UPDATE SET {updates} "
                "WHERE excluded.state = 'done' OR work_units.state = 'error' "
                "OR (work_units.state = 'failed' AND excluded.state = 'failed')",
                values,
            )

    @contextmanager
    def together(self) -> Iterator[None]:
        """One transaction around several ``put``. May be nested."""
        if self._connection.in_transaction:
            yield
            return
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield

    def select(
        self, *, app: str | None = None, batch: str | None = None, name: str | None = None, state: str | None = None
    ) -> Iterator[Row]:
        """Rows by app, batch, state and a name pattern with ``*`` and ``?``, in order of app, batch and name."""
        filters = {"app = ?": app, "batch = ?": batch, "name GLOB ?": name, "state = ?": state}
        chosen = {condition: value for condition, value in filters.items() if value is not None}
        where = f"WHERE {' AND '.join(chosen)} " if chosen else ""
        query = f"SELECT * FROM work_units {where}ORDER BY app, batch, name"  # noqa: S608 - conditions are ours
        for stored in self._connection.execute(query, [storable(value) for value in chosen.values()]):
            yield _row(stored)


@contextmanager
def opened(directory: Path, *, create: bool = True) -> Iterator[Index]:
    """The index of a results directory. Raises HostError for whatever SQLite cannot do."""
    path = directory / FILE
    connection: sqlite3.Connection | None = None
    try:
        if not path.is_file() and not create:
            raise HostError("no-index", f"there is no index in {directory}", hint="has anything been assimilated yet?")
        connection = sqlite3.connect(path, timeout=WAIT_SECONDS)
        connection.row_factory = sqlite3.Row
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            _prepare(connection, directory)
        connection.execute("PRAGMA synchronous = FULL")
        yield Index(connection)
    except sqlite3.Error as error:
        raise HostError(
            "index-failed", f"{path}: {error}", hint="is the disk full, or does the file belong to another user?"
        ) from error
    finally:
        if connection is not None:
            connection.close()


def _prepare(connection: sqlite3.Connection, directory: Path) -> None:
    """Creates the tables, one process at a time, because switching to WAL mode does not wait for locks."""
    with exclusively(lock_of(directory, "index")):
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == VERSION:
            return
        if version != 0:
            raise HostError("index-version", f"expected an index of format {VERSION}, found {version}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _stored(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    return json.dumps(value, sort_keys=True) if isinstance(value, Mapping) else value


def _row(stored: sqlite3.Row) -> Row:
    values = dict(stored)
    for name in ("outputs", "metrics", "recorded"):
        values[name] = json.loads(values[name])
    return Row(**values)
