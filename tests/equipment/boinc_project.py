"""A BOINC project for tests: the documented directories, stand-ins for its programs, a database of its own."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pymysql

from tests.equipment.checkout import PROJECT_ROOT
from tests.equipment.real_database import PASSWORD, USER, RealDatabase

PROGRAMS = {
    "create_work": "create_work:main",
    "cancel_jobs": "cancel_jobs:main",
    "stage_file": "staging:stage_file",
    "dir_hier_path": "staging:dir_hier_path",
}
CONFIG = """\
<?xml version="1.0" ?>
<boinc>
  <config>
    <master_url>http://127.0.0.1/sample/</master_url>
    <db_name>{name}</db_name>
    <db_user>{user}</db_user>
    <db_passwd>{password}</db_passwd>
    <db_host>localhost</db_host>
    <download_dir>{root}/download</download_dir>
    <download_url>http://127.0.0.1/sample/download</download_url>
    <upload_dir>{root}/upload</upload_dir>
    <key_dir>{root}/keys</key_dir>
    <uldl_dir_fanout>1024</uldl_dir_fanout>
    <cache_md5_info>1</cache_md5_info>
  </config>
</boinc>
"""
OUTPUT_TEMPLATE = """\
<output_template>
<file_info>
    <name><OUTFILE_0/></name>
    <max_nbytes>100000000</max_nbytes>
    <url><UPLOAD_URL/></url>
</file_info>
<result>
    <file_ref>
        <file_name><OUTFILE_0/></file_name>
        <open_name>shared/results.tgz</open_name>
        <copy_file/>
    </file_ref>
</result>
</output_template>
"""
VBOX_JOB = """\
<vbox_job>
    <os_name>Linux26_64</os_name>
    <memory_size_mb>1024</memory_size_mb>
    <enable_network>1</enable_network>
</vbox_job>
"""
_PROGRAM = """\
#!{python}
import os, sys
sys.path.insert(0, {root!r})
os.environ.setdefault("MYSQL_UNIX_PORT", {socket!r})
from tests.equipment.stand_ins.{module} import {function}
{function}()
"""


@dataclass
class BoincProject:
    """A project in ``root`` with the app ``app``; ``name`` is its database's."""

    root: Path
    database: RealDatabase
    app: str = "boinc2docker"
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.database.create()
        for name in ("apps", "bin", "download", "html/inc", "keys", "templates", "upload"):
            (self.root / name).mkdir(parents=True)
        values = {"name": self.name, "user": USER, "password": escape(PASSWORD), "root": self.root}
        (self.root / "config.xml").write_text(CONFIG.format(**values))
        for name, where in PROGRAMS.items():
            module, function = where.split(":")
            program = self.root / "bin" / name
            program.write_text(
                _PROGRAM.format(
                    python=sys.executable,
                    root=str(PROJECT_ROOT),
                    socket=str(self.database.socket),
                    module=module,
                    function=function,
                )
            )
            program.chmod(0o755)
        self.add_app(self.app)

    def add_app(self, app: str, *, plan_class: str = "vbox64_mt", platform: str = "x86_64-pc-linux-gnu") -> int:
        """An app with one version and the templates that ``package-app`` installs; returns its ID."""
        (self.root / "templates" / f"{app}_out").write_text(OUTPUT_TEMPLATE)
        (self.root / "templates" / f"{app}_vbox_job.xml").write_text(VBOX_JOB)
        self.execute(
            "insert ignore into platform (id, create_time, name, user_friendly_name) values (1, 1, %s, 'x')", platform
        )
        identifier = self.execute("insert into app (create_time, name, user_friendly_name) values (1, %s, 'x')", app)
        self.execute(
            "insert into app_version (create_time, appid, version_num, platformid, plan_class, xml_doc) "
            "values (1, %s, 102, 1, %s, '')",
            identifier,
            plan_class,
        )
        return identifier

    def execute(self, statement: str, *values: Any) -> int:
        """Changes the database; returns the last ID."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return int(cursor.lastrowid)

    def rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        with self.connect() as connection, connection.cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())

    def connect(self) -> pymysql.Connection[Any]:
        return self.database.connect(self.name)

    def watch(self, program: str, log: Path) -> None:
        """Appends a line to ``log`` each time the program is called: its words, quoted for a shell."""
        path = self.root / "bin" / program
        real = path.with_name(f"{program}.watched")
        path.rename(real)
        path.write_text(
            f"#!/bin/sh\nfor word; do printf '%s ' \"$word\"; done >>{shlex.quote(str(log))}\n"
            f'echo >>{shlex.quote(str(log))}\nexec {shlex.quote(str(real))} "$@"\n'
        )
        path.chmod(0o755)
