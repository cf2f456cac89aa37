"""Packages that only some commands need, brought into the private environment when one of them runs.

``.venv``, which ``ci/environment`` makes, begins with what every command needs (``ci/requirements.lock``); each other
group of packages has a lock of its own, ``ci/requirements-GROUP.lock``.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from boinc2docker import PROJECT_ROOT
from boinc2docker.errors import HostError

PRIVATE = PROJECT_ROOT / ".venv"


def is_private() -> bool:
    """Whether this process runs in the project's own environment, which the project may add to."""
    return Path(sys.prefix).resolve() == PRIVATE.resolve()


def bring(group: str) -> None:
    """Adds a group of locked packages, if it is not in; somebody else's environment is left as it is.

    Raises HostError if they cannot be had.
    """
    if not is_private():
        return
    # What it says belongs to stderr: stdout may be for one JSON object.
    done = subprocess.run([str(PROJECT_ROOT / "ci" / "environment"), group], stdout=sys.__stderr__, check=False)
    if done.returncode != 0:
        raise HostError(
            "no-packages", f"the packages of ci/requirements-{group}.lock could not be installed; see above"
        )
    importlib.invalidate_caches()


def need(module: str, group: str, *, install: bool = True) -> None:
    """Makes ``module`` importable, if need be by bringing its group; daemons say ``install=False``: it has to be there.

    Raises HostError that says how to get it.
    """
    if install and importlib.util.find_spec(module) is None:
        bring(group)
    if importlib.util.find_spec(module) is None:
        hint = f"ci/environment {group} adds it to the project's own environment; elsewhere: pip install {module}"
        raise HostError("library-missing", f"{module} is not installed", hint=hint)
