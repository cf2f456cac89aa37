"""A real registry and a real Docker engine for a test; where one cannot run, the test skips and says why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from boinc2docker.errors import HostError
from tests.equipment import real_engine, real_registry
from tests.equipment.real_registry import RealRegistry


@contextmanager
def running_registry(
    directory: Path, *, extra: str = "", login: tuple[str, str] | None = None
) -> Iterator[RealRegistry]:
    """See ``tests.equipment.real_registry``."""
    with ExitStack() as stack:
        try:
            made = stack.enter_context(real_registry.running_registry(directory, extra=extra, login=login))
        except HostError as error:
            pytest.skip(f"{error.message} ({error.hint})")
        yield made


@contextmanager
def running_engine(root: Path) -> Iterator[str]:
    """See ``tests.equipment.real_engine``."""
    with ExitStack() as stack:
        try:
            address = stack.enter_context(real_engine.running_engine(root))
        except HostError as error:
            pytest.skip(f"{error.message} ({error.hint})")
        yield address
