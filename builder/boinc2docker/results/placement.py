"""Where results lie, and how they get there: whole, or not at all.

<results>/<app>/<batch>/<work unit>/      in its place: output files, result.json, results/ if unpacked
<results>/failed/<app>/<work unit>/       could not be assimilated: output files, failure.json; or ended
                                          without a result: the logs of its tries, error.json
<results>/.staging/<hash>/                being made; swept by the next attempt at the same work unit
<results>/index.sqlite                    written after the rename
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boinc2docker.atomic import explain, flush, make_directory
from boinc2docker.digest import Digest
from boinc2docker.results.work_unit_names import directory_name

RECORD = "result.json"
FAILURE = "failure.json"
ERROR = "error.json"
UNPACKED = "results"


class Placement:
    """The directories of one work unit. Every method raises HostError for a fault of the server."""

    def __init__(self, root: Path, app: str, batch: str, name: str) -> None:
        self.root = root
        self.home = root / app / directory_name(batch) / directory_name(name)
        self.failed = root / "failed" / app / directory_name(name)
        key = hashlib.sha256(f"{app}/{name}".encode(errors="surrogateescape")).hexdigest()[:32]
        self.staging = root / ".staging" / key
        self._trash = root / ".staging" / f"{key}.old"

    def begin(self) -> None:
        """An empty staging directory; what an attempt that was killed left is removed."""
        self.sweep()
        try:
            self.staging.mkdir(parents=True)
        except OSError as error:
            raise explain(error, f"make {self.staging}") from error

    def sweep(self) -> None:
        for left in (self.staging, self._trash):
            try:
                if left.exists():
                    shutil.rmtree(left)
            except OSError as error:
                raise explain(error, f"clear {left}") from error

    def take(self, name: str, source: Path) -> dict[str, Any]:
        """Copies one output file into staging and onto the disk. Returns {bytes, sha256} of the copy.

        No hard link: a host may upload its file again, and BOINC's file_upload_handler writes into the one that is
        there.
        """
        target = self.staging / name
        try:
            shutil.copyfile(source, target, follow_symlinks=False)
            flush(target)
            return {"bytes": target.stat().st_size, "sha256": Digest.of_file(target).hex}
        except OSError as error:
            raise explain(error, f"take {source}") from error

    def place(self, record: Mapping[str, Any]) -> None:
        """Staging becomes the work unit's home, with whatever a project's rule has put there."""
        try:
            for parent, directories, files in os.walk(self.staging):
                if UNPACKED in directories and Path(parent) == self.staging:
                    directories.remove(UNPACKED)  # on the disk already
                for path in (Path(parent) / name for name in files):
                    if stat.S_ISREG(path.lstat().st_mode):  # a link may lead nowhere, a pipe would wait
                        flush(path)
                flush(Path(parent))  # a file's name is on the disk only with its directory
        except OSError as error:
            raise explain(error, f"bring {self.staging} to the disk") from error
        self._write(self.staging / RECORD, record)
        self._move(self.home)

    def fail(self, failure: Mapping[str, Any], record: str = FAILURE) -> None:
        """Staging becomes the work unit's place under failed/, instead of an earlier failure."""
        self.drop_unpacked()
        try:
            if self.failed.exists():
                self.failed.rename(self._trash)
        except OSError as error:
            raise explain(error, f"move {self.failed}") from error
        self._write(self.staging / record, failure)
        self._move(self.failed)
        shutil.rmtree(self._trash, ignore_errors=True)

    def drop_unpacked(self) -> None:
        """Takes the unpacked files out of staging again."""
        try:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self.staging / UNPACKED)
        except OSError as error:
            raise explain(error, f"clear {self.staging}") from error

    def fail_again(self, failure: Mapping[str, Any]) -> None:
        """A retry failed: the files stay where they are, with the new reason."""
        self._write(self.failed / (FAILURE + ".new"), failure)
        try:
            (self.failed / (FAILURE + ".new")).replace(self.failed / FAILURE)
        except OSError as error:
            raise explain(error, f"write {self.failed / FAILURE}") from error

    def clear_failure(self) -> None:
        """The work unit is in its place now."""
        shutil.rmtree(self.failed, ignore_errors=True)

    def occupied(self) -> bool:
        """Whether the work unit's home cannot be moved to its place, because something is there."""
        try:
            return any(self.home.iterdir())
        except FileNotFoundError:
            return False
        except NotADirectoryError:
            return True
        except OSError as error:
            raise explain(error, f"read {self.home}") from error

    def read_record(self, path: Path) -> dict[str, Any] | None:
        """A record this module wrote; None if there is none."""
        try:
            value = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise explain(error, f"read {path}") from error
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    def _write(self, path: Path, value: Mapping[str, Any]) -> None:
        try:
            with path.open("w") as output:
                json.dump(value, output, indent=2, sort_keys=True)
                output.write("\n")
                output.flush()
                os.fsync(output.fileno())
        except OSError as error:
            raise explain(error, f"write {path}") from error

    def _move(self, target: Path) -> None:
        try:
            make_directory(target.parent)
            flush(self.staging)
            self.staging.rename(target)
            flush(target.parent)
        except OSError as error:
            raise explain(error, f"move a result to {target}") from error
