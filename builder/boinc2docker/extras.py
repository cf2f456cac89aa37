"""The optional features: which extra of this package brings the library that each needs (``pyproject.toml``).

Nothing is installed on the way. Only commands for maintainers, which work in a checkout, add to the environment that
``ci/environment`` made for it.
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

from boinc2docker import places
from boinc2docker.errors import HostError

LIBRARIES = {"arrays": "numpy", "parquet": "pyarrow", "plot": "matplotlib", "release": "cyclonedx"}
"""The module by which each extra is recognised."""


def need(extra: str, feature: str) -> None:
    """Raises HostError unless the library of ``extra`` is installed; ``feature`` is what needs it."""
    if not has(extra):
        message = f"{feature} needs {LIBRARIES[extra]}, which is not installed"
        raise HostError("library-missing", message, hint=how_to_install(extra))


def has(extra: str) -> bool:
    """Whether the library of ``extra`` is installed."""
    return importlib.util.find_spec(LIBRARIES[extra]) is not None


def how_to_install(extra: str) -> str:
    """The command that adds ``extra`` to the environment of this process."""
    return f"ci/environment {extra}" if _is_private() else f"pip install 'boinc2docker[{extra}]'"


def bring(group: str) -> None:
    """Adds a group of locked packages to the checkout's own environment; another environment is left as it is.

    For maintainers' commands. Raises HostError if the packages could not be installed.
    """
    if places.CHECKOUT is None or not _is_private():
        return
    # Its messages go to stderr: stdout may be for one JSON object.
    argv = [str(places.CHECKOUT / "ci" / "environment"), "--into", sys.prefix, group]
    if subprocess.run(argv, stdout=sys.__stderr__, check=False).returncode != 0:
        raise HostError(
            "no-packages", f"the packages of ci/requirements-{group}.lock could not be installed; see above"
        )
    importlib.invalidate_caches()


def _is_private() -> bool:
    """Whether this process runs in an environment that the checkout's ``ci/environment`` made."""
    return places.CHECKOUT is not None and Path(sys.prefix, ".stamp").is_file()
