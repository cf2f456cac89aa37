"""Finds an app's app.toml: a file that is named, or that of an app installed in a BOINC project."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from boinc2docker.errors import UsageError

APP = "boinc2docker"
"""The app, unless another is named."""
HERE = Path("app.toml")


def settings_path(
    settings: Path | None, project: Path | None, app: str | None, environment: Mapping[str, str] = os.environ
) -> Path:
    """The app.toml to read: ``settings``; else PROJECT/APP.toml, where ``package-app`` installs it; else the one in
    this directory; else that of the project in the environment or in this directory. Raises UsageError."""
    if settings is not None:
        if project is not None or app is not None:
            raise UsageError("two-settings", "--settings names the app: drop --project and --appname")
        if not settings.exists():
            raise UsageError("no-settings", f"--settings: there is no file {settings}")
        return settings
    if app is not None and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", app):
        raise UsageError("bad-name", f"--appname: expected an app's name, found {app[:80]!a}")
    if project is None and app is None and HERE.is_file():
        return HERE
    from boinc2docker.project.project import find

    root = find(project, environment)
    if root is None:
        raise UsageError(
            "no-settings",
            "found no app.toml in this directory, and no BOINC project",
            hint="use --project DIR [--appname NAME] for an installed app, or --settings FILE for its app.toml",
        )
    path = root / f"{app or APP}.toml"
    if not path.is_file():
        installed = ", ".join(sorted(other.stem for other in root.glob("*.toml"))) if root.is_dir() else ""
        raise UsageError(
            "no-settings",
            f"no app {app or APP} is installed in {root}: there is no {path.name}",
            hint=f"--appname chooses another; installed here: {installed}" if installed else "is --project right?",
        )
    return path
