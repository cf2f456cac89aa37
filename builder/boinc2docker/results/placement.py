"""The directories of results. A result appears in its place completely or not at all.

<results>/<app>/<batch>/<work unit>/      stored: output files, result.json, results/ if unpacked
<results>/failed/<app>/<work unit>/       could not be assimilated: output files, failure.json; or ended
                                          without a result: the logs of its tries, error.json
<results>/.staging/<hash>/                in progress; removed by the next attempt at the same work unit
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
        """Makes an empty staging directory, and removes what a killed attempt left."""
        self.sweep()
        try:
            self.staging.mkdir(parents=True)
        except OSError as error:
            raise explain(error, f"make {self.staging}") from error

    def sweep(self) -> None:
        for leftover in (self.staging, self._trash):
            try:
                if leftover.exists():
                    shutil.rmtree(leftover)
            except OSError as error:
                raise explain(error, f"clear {leftover}") from error

    def take(self, name: str, source: Path) -> dict[str, Any]:
        """Copies one output file into staging and flushes it. Returns {bytes, sha256} of the copy.

        Not a hard link: a host may upload its file again, and BOINC's file_upload_handler overwrites the file in place.
        """
        target = self.staging / name
        try:
            shutil.copyfile(source, target, follow_symlinks=False)
            flush(target)
            return {"bytes": target.stat().st_size, "sha256": Digest.of_file(target).hex}
        except OSError as error:
            raise explain(error, f"copy {source}") from error

    def place(self, record: Mapping[str, Any]) -> None:
        """Moves staging, with whatever the project's rule put there, to the work unit's home."""
        try:
            for parent, directories, files in os.walk(self.staging):
                if UNPACKED in directories and Path(parent) == self.staging:
                    directories.remove(UNPACKED)  # flushed already
                for path in (Path(parent) / name for name in files):
                    if stat.S_ISREG(path.lstat().st_mode):  # a link may be broken, and opening a pipe would block
                        flush(path)
                flush(Path(parent))  # flushing a directory makes the names in it durable
        except OSError as error:
            raise explain(error, f"flush {self.staging}") from error
        self._write(self.staging / RECORD, record)
        self._move(self.home)

    def fail(self, failure: Mapping[str, Any], record: str = FAILURE) -> None:
        """Moves staging to the work unit's place under failed/, replacing an earlier failure."""
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
        """Removes the unpacked files from staging."""
        try:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self.staging / UNPACKED)
        except OSError as error:
            raise explain(error, f"clear {self.staging}") from error

    def fail_again(self, failure: Mapping[str, Any]) -> None:
        """Records the new reason after a failed retry. The files stay where they are."""
        self._write(self.failed / (FAILURE + ".new"), failure)
        try:
            (self.failed / (FAILURE + ".new")).replace(self.failed / FAILURE)
        except OSError as error:
            raise explain(error, f"write {self.failed / FAILURE}") from error

    def clear_failure(self) -> None:
        """Removes the failure of a work unit that has been stored."""
        shutil.rmtree(self.failed, ignore_errors=True)

    def occupied(self) -> bool:
        """Whether something else is at the work unit's home, so that staging cannot be moved there."""
        try:
            return any(self.home.iterdir())
        except FileNotFoundError:
            return False
        except NotADirectoryError:
            return True
        except OSError as error:
            raise explain(error, f"read {self.home}") from error

    def read_record(self, path: Path) -> dict[str, Any] | None:
        """A record that this module wrote; None if missing or unreadable as JSON."""
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
