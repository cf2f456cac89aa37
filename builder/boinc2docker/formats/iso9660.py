"""pycdlib, made reproducible and made to speak in this project's errors."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from pycdlib.pycdlibexception import PyCdlibException

from boinc2docker.errors import BuilderError, InputError

_clock = threading.Lock()


@contextlib.contextmanager
def frozen_clock(epoch: int) -> Iterator[None]:
    """Inside, pycdlib stamps ``epoch`` (seconds, UTC) and no other time.

    pycdlib knows no SOURCE_DATE_EPOCH: it asks ``time.time`` and ``time.localtime`` at every write.
    """
    with _clock:
        zone = os.environ.get("TZ")
        real = time.time
        os.environ["TZ"] = "UTC"
        time.tzset()
        time.time = lambda: float(epoch)
        try:
            yield
        finally:
            time.time = real
            if zone is None:
                del os.environ["TZ"]
            else:
                os.environ["TZ"] = zone
            time.tzset()


@contextlib.contextmanager
def errors_named(path: Path, doing: str) -> Iterator[None]:
    """Turns pycdlib's errors, which name no file, into an InputError that says what could not be done to ``path``."""
    try:
        yield
    except BuilderError:
        raise
    except PyCdlibException as error:
        raise InputError("bad-iso", f"cannot {doing} {path}: {error}") from error
