"""A BOINC project on its server: its directories, programs and database, as its ``config.xml`` names them.

Layout: BOINC ``py/Boinc/setup_project.py``; settings: ``sched/sched_config.cpp``. Nothing else reads
config.xml; ``app/merge.py`` edits its text.
"""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from boinc2docker.errors import InputError
from boinc2docker.project import xml_document
from boinc2docker.project.hierarchy import relative_path

VARIABLES = ("PROJHOME", "BOINC_PROJECT_DIR")


@dataclass(frozen=True)
class DatabaseSettings:
    """Where the project's database is. ``host`` "localhost" or empty means a local socket: ``socket`` if given."""

    name: str
    user: str
    password: str = field(repr=False)
    host: str = "localhost"
    port: int = 3306
    socket: str = ""

    @classmethod
    def of_config(cls, config: ET.Element) -> DatabaseSettings:
        """From ``db_name``, ``db_user``, ``db_passwd``; ``db_host`` is ``HOST[:PORT]`` or ``localhost:/SOCKET``."""
        host, _, rest = (xml_document.text(config, "db_host") or "localhost").partition(":")
        port = xml_document.text(config, "db_port") or (rest if rest.isdecimal() else "")
        return cls(
            name=xml_document.text(config, "db_name"),
            user=xml_document.text(config, "db_user"),
            password=xml_document.text(config, "db_passwd"),
            host=host or "localhost",
            port=int(port) if port.isdecimal() else 3306,
            socket=xml_document.text(config, "db_socket") or (rest if rest.startswith("/") else ""),
        )


@dataclass(frozen=True)
class Project:
    """A project's root and what its config.xml says of the other directories and the database.

    ``keys`` has the code-signing keys. Submitting does not need it: it is a directory of the root if config.xml names
    none.
    """

    root: Path
    download: Path
    fanout: int
    download_url: str
    database: DatabaseSettings
    upload: Path = Path("upload")
    keys: Path = Path("keys")

    @property
    def apps(self) -> Path:
        """The directory of app versions, from which ``update_versions`` publishes."""
        return self.root / "apps"

    @classmethod
    def open(cls, root: Path | None, environment: Mapping[str, str] = os.environ) -> Project:
        """The project in ``root``; None is ``$PROJHOME``, else ``$BOINC_PROJECT_DIR``, else the current directory.

        Raises InputError for what is no project.
        """
        found = find(root, environment)
        if found is None:
            raise InputError(
                "no-project",
                "there is no BOINC project: no --project, no $PROJHOME or $BOINC_PROJECT_DIR, "
                "and no config.xml in this directory",
                hint="name its directory: --project DIR; or use --dry-run, which needs none",
            )
        if not found.is_dir():
            raise InputError(
                "no-project", f"{found} is not a directory", hint="--project takes a BOINC project's directory"
            )
        path = found.resolve()
        if not (path / "config.xml").is_file():
            raise InputError("no-project", f"{path} is not a BOINC project: it has no config.xml")
        return parse_config(xml_document.read(path / "config.xml", "the project's settings"), path)

    def program(self, name: str) -> Path:
        """``bin/NAME``. Raises InputError if it is missing or cannot be executed."""
        path = self.root / "bin" / name
        if not os.access(path, os.X_OK) or not path.is_file():
            raise InputError(
                "program-missing",
                f"{path} is not there, or not executable by this user",
                hint="is --project right? Its programs come with BOINC's server",
            )
        return path

    def download_path(self, name: str) -> Path:
        """Where a staged file of this name lies."""
        return self.download / relative_path(name, self.fanout)

    def upload_path(self, name: str) -> Path:
        """Where BOINC's upload handler puts a file of this name."""
        return self.upload / relative_path(name, self.fanout)

    def download_address(self, name: str) -> str:
        """The URL under which clients fetch it."""
        return f"{self.download_url}/{relative_path(name, self.fanout)}"


def from_environment(environment: Mapping[str, str] = os.environ) -> Path | None:
    """``$PROJHOME``, else ``$BOINC_PROJECT_DIR``, else None."""
    return next((Path(environment[name]) for name in VARIABLES if environment.get(name)), None)


def find(root: Path | None, environment: Mapping[str, str] = os.environ) -> Path | None:
    """The directory that ``Project.open`` would take, or None if nothing names one."""
    return root or from_environment(environment) or (Path() if Path("config.xml").is_file() else None)


def parse_config(document: ET.Element, root: Path) -> Project:
    """Raises InputError for a config.xml that lacks what a project has."""
    config = document.find("config")
    if document.tag != "boinc" or config is None:
        raise InputError("no-project", f"{root / 'config.xml'} is not a BOINC project's: it lacks <boinc><config>")
    needed = ("download_dir", "download_url", "db_name")
    if lacking := [name for name in needed if not xml_document.text(config, name)]:
        raise InputError("no-project", f"{root / 'config.xml'} is not a BOINC project's: it lacks {', '.join(lacking)}")
    fanout = xml_document.text(config, "uldl_dir_fanout") or "0"
    if not re.fullmatch(r"[0-9]{1,6}", fanout):
        raise InputError("bad-config", f"{root / 'config.xml'}: uldl_dir_fanout: expected a number, found {fanout!r}")
    return Project(
        root=root,
        download=root / xml_document.text(config, "download_dir"),
        fanout=int(fanout),
        download_url=xml_document.text(config, "download_url").rstrip("/"),
        database=DatabaseSettings.of_config(config),
        upload=root / (xml_document.text(config, "upload_dir") or "upload"),
        keys=root / (xml_document.text(config, "key_dir") or "keys"),
    )


def read_file(path: Path) -> bytes | None:
    """A project's file, or None if there is none. Raises InputError for one that cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError("bad-project-file", f"cannot read {path}: {error.strerror}") from error
