"""What an app's daemons run on the server: three scripts, the settings they read, and the project's own rules.

The scripts are a few lines of shell that call ``boinc2docker.results`` in the project's own environment. BOINC
registers them without tokens: servers since 1.6.1 recognise none.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from boinc2docker.app.settings import Settings
from boinc2docker.errors import InputError
from boinc2docker.formats import toml_settings

SCRIPTS = {"assimilator": ("assimilator",), "validator": ("validator_init", "validator_compare")}
"""The scripts of each part that ``--dont-install`` may leave out, by their names in ``app_template/bin``."""


SUBMITTER = "boinc2docker_create_work.py"
"""What submits jobs on the server; one for all apps, so its name does not depend on the app's."""


@dataclass(frozen=True)
class ServerFile:
    """A file of the project, below its root; installed if one of ``parts`` is."""

    parts: tuple[str, ...]
    name: str
    data: bytes
    mode: int


def settings_file(app: str) -> str:
    """The name of an app's settings in the project's directory."""
    return f"{app}.toml"


def needs_python(without: Collection[str]) -> bool:
    """Whether an installation ``without`` these parts writes a script."""
    return bool({*SCRIPTS, "create_work"} - set(without))


def files(project: Path, settings: Settings, templates: Path, python: Path) -> Iterator[ServerFile]:
    """All of them; the scripts run ``python``. Raises InputError for a template or rules that cannot be read."""
    app = settings.name
    both = tuple(SCRIPTS)
    about = settings.about_results()
    rules = settings.results_rules
    if rules:
        about["results"]["rules"] = f"bin/{app}_rules.py"  # counts from the settings file
        yield ServerFile(both, f"bin/{app}_rules.py", _read(Path(rules)), 0o644)
    head = f"# What the server does with {app}'s results. Made by package-app from app.toml, which explains it.\n"
    yield ServerFile(both, settings_file(app), toml_settings.render(about, head).encode(), 0o644)
    submitter = script(_read(templates / "bin" / "create_work").decode(), python, project)
    yield ServerFile(("create_work",), f"bin/{SUBMITTER}", submitter.encode(), 0o755)
    for part, names in SCRIPTS.items():
        for name in names:
            text = _read(templates / "bin" / name).decode()
            made = script(text, python, project / settings_file(app))
            yield ServerFile((part,), f"bin/{app}_{name}", made.encode(), 0o755)


def script(text: str, python: Path, settings: Path) -> str:
    """A script of ``app_template/bin`` with its places filled in, each as one word of the shell."""
    for name, value in {"PYTHON": python, "SETTINGS": settings}.items():
        text = text.replace(f"'@{name}@'", shlex.quote(str(value)))
    return text


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError("no-such-file", f"cannot read {path}: {error.strerror}") from error
