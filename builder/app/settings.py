"""What an app is like: ``app_template/app.toml``, each of whose lines is also an option of ``package-app``.

``FIELDS`` is the one table of names, limits and explanations.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from builder.app.vdi import LARGEST_MIB
from builder.errors import InputError, UsageError

SAFE_PATH = re.compile(r"[A-Za-z0-9_./+@,:=%-]+")
"""Paths that survive BOINC's programs, which build shell commands without quoting."""


@dataclass(frozen=True)
class Field:
    """A setting: numbers have ``low`` and ``high``, texts a ``pattern`` that is ``expected`` in words."""

    kind: type
    help: str
    low: int = 0
    high: int = 0
    pattern: str = ""
    expected: str = ""


FIELDS: Mapping[str, Field] = {
    "name": Field(
        str,
        "the app's name in BOINC",
        pattern=r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}",
        expected="at most 50 letters, digits, _ and -, beginning with a letter or digit",
    ),
    "title": Field(
        str,
        "what volunteers see",
        pattern=r"[^'\"\\\x00-\x1f\x7f]{1,200}",
        expected="up to 200 characters without quotes and backslashes (BOINC puts them unquoted into SQL)",
    ),
    "plan_class": Field(
        str,
        "BOINC's class of hosts; its name must contain vbox and not docker",
        pattern=r"(?=.*vbox)(?!.*docker)(?!.*__)[A-Za-z0-9][A-Za-z0-9_]{0,49}(?<!_)",
        expected="a name with vbox and without docker and __, of letters, digits and _",
    ),
    "memory_mb": Field(int, "memory of a machine in MB", 512, 1 << 20),
    "disk_mb": Field(int, "largest size of a machine's data disk in MB", 2048, LARGEST_MIB),
    "max_cpus": Field(int, "processors of a machine at most", 1, 32),
    "network": Field(bool, "whether jobs may use the network: true or false"),
    "store_budget_mb": Field(int, "room for the image store on a host in MB", 0, 999_999_999),
    "min_vbox_version": Field(int, "oldest VirtualBox, 60100 is 6.1.0", 40000, 999999),
    "heartbeat_seconds": Field(int, "a machine silent for this long has failed", 180, 86400),
    "results_mb": Field(int, "largest results.tgz in MB", 1, 1 << 20),
    "log_mb": Field(int, "largest boinc_log.tgz in MB", 1, 1 << 10),
    "deadline_days": Field(int, "days a host has to report", 1, 365),
    "max_errors": Field(int, "failed tries after which a job is given up", 1, 100),
    "results_directory": Field(
        str,
        "where the server keeps results (default /results/NAME)",
        pattern=r"(/[A-Za-z0-9_.+@,:=%-]+)*",
        expected="an absolute path of letters, digits and _.+@,:=%-",
    ),
}


@dataclass(frozen=True)
class Settings:
    """Checked values of every field, and the wrapper's release of every platform to package."""

    name: str
    title: str
    plan_class: str
    memory_mb: int
    disk_mb: int
    max_cpus: int
    network: bool
    store_budget_mb: int
    min_vbox_version: int
    heartbeat_seconds: int
    results_mb: int
    log_mb: int
    deadline_days: int
    max_errors: int
    results_directory: str
    wrapper: Mapping[str, str]

    def values(self) -> dict[str, str]:
        """What templates may name; sizes in bytes and times in seconds where BOINC wants them."""
        megabyte = 1_000_000
        room = self.disk_mb + self.memory_mb + self.results_mb + self.log_mb + 1000
        plain = {name: getattr(self, name) for name in FIELDS}
        plain |= {
            "network": int(self.network),
            "memory_bound": self.memory_mb * megabyte,
            # The slot holds the data disk, the saved memory, a copy of the ISO and the outputs.
            "disk_bound": room * (1 << 20),
            "delay_bound": self.deadline_days * 86400,
            "max_total": 2 * self.max_errors,
            "results_bytes": self.results_mb * megabyte,
            "log_bytes": self.log_mb * megabyte,
        }
        return {name: str(value) for name, value in plain.items()}


def read(path: Path, options: Mapping[str, str | None]) -> Settings:
    """The settings file with a command line's ``options`` over it.

    Raises InputError (file) or UsageError (options) that names everything that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("bad-settings", f"cannot read {path}: {error}") from error
    return apply(parse(text, path.name), options)


def parse(text: str, file: str) -> Settings:
    """Raises InputError."""
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError("bad-settings", f"{file} is not TOML: {error}") from error
    wrapper = document.pop("wrapper", None)
    problems = [f"unknown setting {key}" for key in document.keys() - FIELDS.keys()]
    problems += [f"{key} is missing" for key in FIELDS.keys() - document.keys()]
    problems += [f"{key}: {what}" for key in FIELDS if key in document and (what := _problem(key, document[key]))]
    if not isinstance(wrapper, dict) or not wrapper or not all(isinstance(one, str) for one in wrapper.values()):
        problems.append('expected a table [wrapper] with lines such as windows_x86_64 = "26210"')
    if problems:
        raise InputError("bad-settings", f"{file}: {'; '.join(sorted(problems))}")
    return _complete(Settings(**document, wrapper=wrapper))


def apply(settings: Settings, options: Mapping[str, str | None]) -> Settings:
    """``settings`` with options' texts over them. Raises UsageError that names all that are wrong."""
    given: dict[str, Any] = {key: _value(FIELDS[key], text) for key, text in options.items() if text is not None}
    problems = [f"--{key.replace('_', '-')}: {what}" for key, value in given.items() if (what := _problem(key, value))]
    if problems:
        raise UsageError("bad-option", "; ".join(problems))
    if "name" in given and settings.results_directory == f"/results/{settings.name}":
        given.setdefault("results_directory", "")
    return _complete(replace(settings, **given))


def _complete(settings: Settings) -> Settings:
    return replace(settings, results_directory=settings.results_directory or f"/results/{settings.name}")


def _value(field: Field, text: str) -> object:
    if field.kind is int and re.fullmatch(r"-?[0-9]{1,12}", text):
        return int(text)
    if field.kind is bool and text.lower() in ("true", "false", "yes", "no"):
        return text.lower() in ("true", "yes")
    return text


def _problem(key: str, value: object) -> str | None:
    field = FIELDS[key]
    if type(value) is not field.kind:
        kinds = {int: "a whole number", bool: "true or false", str: "a text"}
        return f"expected {kinds[field.kind]}, found {value!r}"
    if isinstance(value, int) and field.kind is int and not field.low <= value <= field.high:
        return f"expected {field.low} to {field.high}, found {value}"
    if isinstance(value, str) and not re.fullmatch(field.pattern, value):
        return f"expected {field.expected}, found {value!r}"
    return None
