"""The arguments of a project's rules: one result, and the store for what is kept of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boinc2docker.plain_text import storable

if TYPE_CHECKING:
    import numpy

Scalar = int | float | str | bool | None

MOST_BYTES = 64 << 20
MOST_JSON_BYTES = 16 << 20
"""The largest files that are read for a rule. A byte of JSON may cost 50 bytes of memory."""


class InvalidError(Exception):
    """Raised by a rule to reject a result. Its text is shown as the reason."""


class RetryError(Exception):
    """Raised by a rule that cannot judge a result now. BOINC asks again later."""


@dataclass(frozen=True)
class Result:
    """One result, unpacked. ``directory`` holds what the container left in results/.

    ``exit_code``, ``seconds`` (in the container) and ``metrics`` are the job's own report, None or empty without a log
    archive. ``id``, ``batch`` and ``runtime`` (seconds) are None if the server does not supply them.

    The methods reject files above 64 MB (JSON: 16 MB), so that reading one costs at most about 1 GB of memory. A rule
    that expects larger files opens their ``path`` itself.
    """

    app: str
    name: str
    directory: Path
    id: int | None = None
    batch: str | None = None
    runtime: float | None = None
    exit_code: int | None = None
    seconds: float | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """The path of a result file. Raises InvalidError if it is missing: results come from strangers."""
        path = self.directory / name
        if not path.is_file() or not path.resolve().is_relative_to(self.directory.resolve()):
            raise InvalidError(f"the result has no file {name}")
        return path

    def text(self, name: str) -> str:
        """A file as UTF-8 text. Raises InvalidError."""
        try:
            return self._bounded(name).read_text(encoding="utf-8")
        except ValueError as error:
            raise InvalidError(f"{name} is not UTF-8 text") from error

    def json(self, name: str) -> Any:
        """A file's JSON value. Raises InvalidError."""
        self._bounded(name, MOST_JSON_BYTES)
        try:
            return json.loads(self.text(name))
        except (ValueError, RecursionError) as error:
            raise InvalidError(f"{name} is not JSON: {error}") from error

    def number(self, name: str, key: str) -> int | float:
        """The number ``key`` of the JSON object in a file. Raises InvalidError for anything else, including booleans,
        NaN, infinities and integers beyond 64 bits."""
        document = self.json(name)
        value = document.get(key) if isinstance(document, dict) else None
        if isinstance(value, float) and math.isfinite(value):
            return value
        if isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 63:
            return value
        raise InvalidError(f"{name}: {key} is not a number")

    def table(self, name: str) -> dict[str, list[float | str]]:
        """The columns of a CSV file, of a table separated by blanks, or of a JSON file. Raises InvalidError."""
        from boinc2docker.errors import InputError
        from boinc2docker.results.tables import columns

        try:
            return columns(name, self._bounded(name).read_bytes())
        except InputError as error:
            raise InvalidError(error.message) from error

    def array(self, name: str) -> numpy.ndarray[Any, Any]:
        """The array in a ``.npy`` file, never unpickled. Raises InvalidError, HostError if NumPy is not installed."""
        from boinc2docker import extras
        from boinc2docker.errors import InputError

        extras.need("arrays", f"reading {name}")
        from boinc2docker.results.arrays import read_npy

        try:
            return read_npy(name, self._bounded(name).read_bytes())
        except InputError as error:
            raise InvalidError(error.message) from error

    def _bounded(self, name: str, most: int = MOST_BYTES) -> Path:
        path = self.path(name)
        if (size := path.stat().st_size) > most:
            raise InvalidError(f"{name} has {size} bytes, expected at most {most}")
        return path


@dataclass(frozen=True)
class Store:
    """What a rule keeps of a result. It is stored together with the result, or not at all.

    Files written below ``directory`` become part of the work unit's directory.
    """

    directory: Path
    values: dict[str, Scalar] = field(default_factory=dict)

    def record(self, **values: Any) -> None:
        """Records numbers and texts in the index, as columns for ``results export`` and ``plot``."""
        for name, value in values.items():
            plain = value.item() if hasattr(value, "item") else value
            if not isinstance(plain, int | float | str | bool | None):
                raise TypeError(f"record: {name}: expected a number or a text, found {type(value).__name__}")
            if isinstance(plain, str):
                plain = storable(plain)
            self.values[storable(name)] = plain if not isinstance(plain, float) or math.isfinite(plain) else str(plain)
