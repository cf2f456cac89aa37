"""A Python environment for tests: as package-app copies one into a project, but with links in place of most copies."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

import boinc2docker
from boinc2docker.app import template
from boinc2docker.app.distributions import SITE, Contents, own_files

_OUTER = sysconfig.get_path("purelib")
_BUILDER = Path(boinc2docker.__file__).parents[1]


def light_contents(**files: bytes) -> Contents:
    """In place of ``distributions.contents``: a link to this checkout and to this environment's packages."""
    return {**files, str(SITE / "outer.pth"): f"{_BUILDER}\n{_OUTER}\n".encode()}


def own_contents() -> Contents:
    """The same with this package copied."""
    own: dict[str, Path | bytes] = dict(own_files(Path(boinc2docker.__file__).parent, template.DIRECTORY))
    return {**own, str(SITE / "outer.pth"): f"{_OUTER}\n".encode()}


def light_python(directory: Path) -> Path:
    """An interpreter that imports this checkout's package even where it ignores its surroundings (``-I``)."""
    interpreter = Path(os.path.realpath(sys.executable))
    python = directory / "bin" / "python3"
    if not python.exists():
        (directory / SITE).mkdir(parents=True)
        python.parent.mkdir()
        (directory / "pyvenv.cfg").write_text(f"home = {interpreter.parent}\n")
        (directory / SITE / "outer.pth").write_text(f"{_BUILDER}\n{_OUTER}\n")
        python.symlink_to(interpreter)
    return python
