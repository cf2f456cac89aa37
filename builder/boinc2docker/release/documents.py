"""Shared by the documents of a release: names, time stamps, UUIDs and the JSON form.

All of it follows from the release's bytes: the same release gives the same documents on any machine.
"""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Mapping
from typing import Any

from boinc2docker.errors import HostError

NAME = "boinc2docker"
LICENCE = "MIT"
"""Of this project's own files."""
_SPACE = uuid.uuid5(uuid.NAMESPACE_OID, "boinc2docker release")


def moment(epoch: int) -> datetime.datetime:
    """Seconds since 1970 as a time in UTC."""
    return datetime.datetime.fromtimestamp(epoch, datetime.UTC)


def identifier(*words: str) -> uuid.UUID:
    """A UUID derived from ``words`` (RFC 9562, version 5)."""
    return uuid.uuid5(_SPACE, "\n".join(words))


def canonical(value: Mapping[str, Any]) -> str:
    """JSON with sorted keys, an indent of two and a final newline: equal values are equal bytes."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def missing(error: ModuleNotFoundError) -> HostError:
    """The error for a missing library that only releases need."""
    return HostError(
        "library-missing",
        f"a release needs the Python package of {error.name}, which is not installed",
        hint="ci/environment release adds it to the project's own environment",
    )
