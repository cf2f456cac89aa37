"""What BOINC's server programs have in common: the project, its settings, its database, the download hierarchy."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import pymysql

SCHEMA = """
create table platform (id integer not null auto_increment primary key, create_time integer not null,
    name varchar(191) not null, user_friendly_name varchar(254) not null, deprecated tinyint not null default 0)
    engine=InnoDB;
create table app (id integer not null auto_increment primary key, create_time integer not null,
    name varchar(191) not null, deprecated smallint not null default 0, user_friendly_name varchar(254) not null,
    unique (name)) engine=InnoDB;
create table app_version (id integer not null auto_increment primary key, create_time integer not null,
    appid integer not null, version_num integer not null, platformid integer not null, xml_doc mediumblob,
    deprecated tinyint not null default 0, plan_class varchar(128) not null default '',
    unique (appid, platformid, version_num, plan_class)) engine=InnoDB;
create table workunit (id integer not null auto_increment primary key, create_time integer not null,
    appid integer not null, name varchar(191) not null, xml_doc blob, batch integer not null,
    rsc_fpops_est double not null, rsc_fpops_bound double not null, rsc_memory_bound double not null,
    rsc_disk_bound double not null, need_validate smallint not null default 0,
    canonical_resultid integer not null default 0, canonical_credit double not null, transition_time integer not null,
    delay_bound integer not null, error_mask integer not null default 0, file_delete_state integer not null default 0,
    assimilate_state integer not null default 0, hr_class integer not null, min_quorum integer not null,
    target_nresults integer not null, max_error_results integer not null, max_total_results integer not null,
    max_success_results integer not null, result_template_file varchar(63) not null, priority integer not null,
    transitioner_flags tinyint not null, size_class smallint not null default -1, keywords varchar(254) not null,
    app_version_num integer not null, unique (name), index (file_delete_state), index (batch)) engine=InnoDB;
create table result (id integer not null auto_increment primary key, create_time integer not null,
    workunitid integer not null, server_state integer not null, outcome integer not null, hostid integer not null,
    report_deadline integer not null, sent_time integer not null, received_time integer not null,
    name varchar(191) not null, validate_state integer not null, exit_status integer not null, appid integer not null,
    elapsed_time double not null, xml_doc_in blob, stderr_out blob, unique (name), index (workunitid)) engine=InnoDB;
create table batch (id serial primary key, user_id integer not null, create_time integer not null,
    name varchar(255) not null, app_id integer not null) engine=InnoDB;
create table assignment (id integer not null auto_increment primary key, create_time integer not null,
    target_id integer not null, target_type integer not null, multi tinyint not null, workunitid integer not null)
    engine=InnoDB;
"""
"""The columns that submitting has to do with, as BOINC's ``db/schema.sql`` and ``constraints.sql`` have them."""


def stop(text: str, status: int = 1) -> NoReturn:
    print(text, file=sys.stderr)
    sys.exit(status)


@dataclass(frozen=True)
class Config:
    """What the programs read of config.xml."""

    root: Path
    values: dict[str, str]

    @property
    def fanout(self) -> int:
        return int(self.values.get("uldl_dir_fanout", "0"))

    @property
    def download(self) -> Path:
        return self.root / self.values["download_dir"]

    def path_of(self, name: str) -> Path:
        """Where a file of the hierarchy lies; makes its directory."""
        path = self.download / place(name, self.fanout)
        path.parent.mkdir(exist_ok=True)
        return path

    def url_of(self, name: str) -> str:
        return f"{self.values['download_url']}/{place(name, self.fanout)}"


def place(name: str, fanout: int) -> str:
    """A file's place in the hierarchy: a name is hashed, never a content."""
    if fanout == 0:
        return name
    digits = hashlib.md5(name.encode()).hexdigest()[1:8]
    return f"{int(digits, 16) % fanout:x}/{name}"


def find_root(config_dir: str | None = None) -> Path:
    """$BOINC_PROJECT_DIR, which must be a project if it is set; else here, else one up."""
    if config_dir is not None:
        return Path(config_dir)
    if given := os.environ.get("BOINC_PROJECT_DIR"):
        if not Path(given, "config.xml").is_file():
            stop(f"BOINC_PROJECT_DIR is {given}, and there is no config.xml")
        return Path(given)
    return next((one for one in (Path(), Path("..")) if (one / "config.xml").is_file()), Path())


def read_config(config_dir: str | None = None) -> Config:
    root = find_root(config_dir)
    try:
        config = ET.parse(root / "config.xml").getroot().find("config")
    except (OSError, ET.ParseError):
        config = None
    if config is None:
        stop("Can't parse config file: can't open file")
    return Config(root, {one.tag: (one.text or "").strip() for one in config})


def connect(config: Config) -> pymysql.Connection[Any]:
    """Opens the database as libmariadb would: ``localhost`` is a socket, ``host:port`` is split."""
    import pymysql  # not above: programs without a database start in half the time

    values = config.values
    host, _, port = values.get("db_host", "localhost").partition(":")
    where: dict[str, Any] = {"host": host, "port": int(port or 3306)}
    if host in ("", "localhost"):
        where = {"unix_socket": os.environ.get("MYSQL_UNIX_PORT", "/run/mysqld/mysqld.sock")}
    try:
        return pymysql.connect(
            user=values.get("db_user", ""),
            password=values.get("db_passwd", ""),
            database=values.get("db_name", ""),
            autocommit=True,
            client_flag=pymysql.constants.CLIENT.FOUND_ROWS,
            **where,
        )
    except pymysql.Error as error:
        stop(f"mysql_real_connect(): {error}\ncreate_work: error opening database: can't connect to database")


def md5_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def cached_md5(path: Path) -> tuple[str, float] | None:
    """MD5 and size from ``<path>.md5``: two fields, one line, not older than the file; an older one is deleted."""
    beside = path.with_name(path.name + ".md5")
    if not path.is_file() or not beside.is_file():
        return None
    match = re.fullmatch(r"\s*(\S+)\s+([0-9.eE+-]+)\n", beside.read_text())
    if match is None:
        print(f"bad MD5 cache file {beside}; remove it and stage file again", file=sys.stderr)
        return None
    if int(beside.stat().st_mtime) < int(path.stat().st_mtime):
        beside.unlink()
        return None
    return match[1], float(match[2])
