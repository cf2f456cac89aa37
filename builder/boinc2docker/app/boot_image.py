"""The ISO of an app: checked, with the app's store budget in it, under a name that follows from its content."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from boinc2docker import atomic, console, iso, leftovers
from boinc2docker.app.tree import File
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError

BUDGET = "STORE_BUDGET_MB"
GUEST_BUDGET_MB = 10000
"""What the guest takes if its site area says nothing (guest/overlay, budget.sh)."""


@contextlib.contextmanager
def prepared(path: Path, budget_mb: int) -> Iterator[File]:
    """The ISO to publish; it may lie in a temporary directory that ends with the ``with`` block.

    Warns about an ISO that is not ours. Raises InputError for what is no ISO, or is ours and damaged.
    """
    report = iso.inspect(path)
    if report.problems and report.ours:
        raise InputError("damaged-iso", f"{path} is damaged: {report.problems[0]}", hint="make it again with build-iso")
    if not report.ours:
        console.warn(f"{path} was not made by build-iso: whether it runs jobs, nobody has checked")
        yield File(f"iso_{report.digest.hex[:16]}.iso", path, report.digest)
        return
    version = report.identity.version if report.identity else "unknown"
    own = report.site.settings.get(BUDGET) if report.site else None
    if own is not None and int(own) != budget_mb:
        console.warn(f"{path} has a store budget of {own} MB of its own, which stays; the settings say {budget_mb}")
    if own is not None or budget_mb == GUEST_BUDGET_MB:
        yield File(_name(version, report.digest), path, report.digest)
        return
    with _copy(path) as copy:
        done = iso.customize(copy, settings={BUDGET: str(budget_mb)})
        yield File(_name(version, done.digest), copy, done.digest)


def _name(version: str, digest: Digest) -> str:
    return f"boinc2docker_{version}_{digest.hex[:16]}.iso"


@contextlib.contextmanager
def _copy(path: Path) -> Iterator[Path]:
    with contextlib.ExitStack() as stack:
        try:
            copy = stack.enter_context(leftovers.scratch()) / "copy.iso"
            shutil.copyfile(path, copy)
        except OSError as error:
            raise atomic.explain(error, f"copy {path}") from error
        yield copy
