"""The outcome of each job of a batch, as JSON lines: ``{"name", "id", "outcome", "job"[, "reason"]}``."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from boinc2docker import console
from boinc2docker.atomic import explain
from boinc2docker.errors import InputError
from boinc2docker.project.create_work import Outcome

_PART = ".report-part"
"""The suffix of an unfinished report. Its writer holds its lock."""


class Report:
    """Written as jobs are confirmed and renamed to ``path`` at the end, also after an error.

    After an exception an earlier report is not replaced: the new one becomes ``NAME.part`` beside it. What a killed
    process left is removed by the next report for ``path``. With ``path`` None nothing is written. Raises HostError.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stream: TextIO | None = None
        self._part = Path()

    def __enter__(self) -> Self:
        if self._path is not None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                if self._path.is_dir():
                    raise IsADirectoryError(None, "it is a directory")
                _remove_dead(self._path)
                descriptor, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
                self._stream, self._part = os.fdopen(descriptor, "w", encoding="utf-8"), Path(name)
                with contextlib.suppress(OSError):  # a file system without locks: nothing is removed there
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                self._part = self._part.rename(f"{name}{_PART}")  # only now: nobody sees it unlocked
            except OSError as error:
                raise explain(error, f"write the report {self._path}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if self._stream is None or self._path is None:
            return
        try:
            with self._stream as stream:  # closed, and so unlocked, last
                stream.flush()
                self._part.chmod(0o644)
                cut = kind is not None and self._path.exists()
                target = self._path.with_name(f"{self._path.name}.part") if cut else self._path
                self._part.replace(target)
            if cut:
                console.warn(f"{self._path} is still the earlier report; this run's is {target}")
        except OSError as error:
            with contextlib.suppress(OSError):
                self._part.unlink(missing_ok=True)
            if kind is None:
                raise explain(error, f"write the report {self._path}") from error

    def add(self, outcome: Outcome, where: str) -> None:
        """Adds a job's outcome; ``where`` is the job's place in the batch."""
        if self._stream is None:
            return
        record: dict[str, Any] = {"name": outcome.name, "id": outcome.id, "outcome": outcome.outcome, "job": where}
        if outcome.reason:
            record["reason"] = outcome.reason
        try:
            self._stream.write(json.dumps(record, ensure_ascii=False) + "\n")
        except OSError as error:
            raise explain(error, f"write the report {self._path}") from error


def _remove_dead(path: Path) -> None:
    """Removes what killed processes left of the report ``path``."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*{_PART}"):
        with contextlib.suppress(OSError), part.open("r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


def names(path: Path) -> Iterator[str]:
    """The names of a report's jobs that were not refused. Raises InputError, HostError."""
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                try:
                    record = json.loads(line)
                    name, outcome = record["name"], record["outcome"]
                except (ValueError, KeyError, TypeError):
                    name = None
                if not isinstance(name, str):
                    raise InputError("bad-report", f"{path}, line {number}: expected a line of a batch's report")
                if outcome != "failed":
                    yield name
    except UnicodeDecodeError as error:
        raise InputError("bad-report", f"{path} is not a batch's report: it is not UTF-8 text") from error
    except OSError as error:
        raise explain(error, f"read the report {path}") from error
