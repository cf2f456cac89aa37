"""A real registry and a real Docker engine for a test; where one cannot run, the test skips and says why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from builder.errors import HostError
from ci import real_engine, real_registry
from ci.real_registry import RealRegistry


@contextmanager
def running_registry(
    directory: Path, *, extra: str = "", login: tuple[str, str] | None = None
) -> Iterator[RealRegistry]:
    """See ``ci.real_registry``."""
    with ExitStack() as stack:
        try:
            made = stack.enter_context(real_registry.running_registry(directory, extra=extra, login=login))
        except HostError as error:
            pytest.skip(f"{error.message} ({error.hint})")
        yield made


@contextmanager
def running_engine(root: Path) -> Iterator[str]:
    """See ``ci.real_engine``."""
    with ExitStack() as stack:
        try:
            address = stack.enter_context(real_engine.running_engine(root))
        except HostError as error:
            pytest.skip(f"{error.message} ({error.hint})")
        yield address
