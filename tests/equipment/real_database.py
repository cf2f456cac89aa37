"""A MariaDB of our own: Debian's server, started by hand on a socket in a directory of ours, with no port open."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from tests.equipment.stand_ins.server import SCHEMA

NEEDED = ("mariadbd", "mariadb-install-db", "my_print_defaults")
USER, PASSWORD = "boincadm", "it's <secret> & \\more"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class RealDatabase:
    """A running server, reached through ``socket`` as its administrator."""

    socket: Path

    def connect(self, name: str | None = None) -> pymysql.Connection[Any]:
        return pymysql.connect(unix_socket=str(self.socket), user="root", database=name, autocommit=True)

    def create(self) -> str:
        """Makes an empty project's database that USER may use, and returns its name."""
        name = f"project{next(_numbers)}"
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"create database {name}")
            cursor.execute(f"grant all on {name}.* to {USER}@localhost identified by %s", (PASSWORD,))
            cursor.execute(f"use {name}")
            for statement in SCHEMA.split(";"):
                if statement.strip():
                    cursor.execute(statement)
        return name


@contextmanager
def running_database(directory: Path) -> Iterator[RealDatabase]:
    """Starts one in ``directory``, whose path must be short (sockets' names are), and stops it at the end."""
    data, socket, log = directory / "data", directory / "s", directory / "log"
    base = ["--no-defaults", f"--datadir={data}", "--innodb-log-file-size=4M", "--innodb-buffer-pool-size=16M"]
    base.append(f"--tmpdir={directory}")  # a server that starts removes all temporary tables there, others' too
    own = ["--user=root"] if os.geteuid() == 0 else []
    install = ["--skip-test-db", "--auth-root-authentication-method=normal", "--skip-name-resolve"]
    serve = [f"--socket={socket}", "--skip-networking", "--performance-schema=off", f"--pid-file={directory / 'pid'}"]
    quick = ["--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync"]
    with log.open("wb") as output:
        subprocess.run(["mariadb-install-db", *base, *own, *install], stdout=output, stderr=output, check=True)
        server = subprocess.Popen(["mariadbd", *base, *own, *serve, *quick], stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + 60
            while not socket.exists():
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"no database: {log.read_text()[-2000:]}")
                time.sleep(0.05)
            yield RealDatabase(socket)
        finally:
            server.terminate()
            server.wait(timeout=60)
            shutil.rmtree(data, ignore_errors=True)
