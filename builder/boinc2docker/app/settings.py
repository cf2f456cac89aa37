"""What an app is like: ``app_template/app.toml``, each of whose values is also an option of ``package-app``.

``FIELDS`` is the one table of names, limits and explanations; ``results_unpack`` is ``unpack`` in the table
``[results]``. ``[results]`` and ``[validator]`` have further lines, which ``boinc2docker.results.settings`` judges.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from boinc2docker.app.vdi import LARGEST_MIB
from boinc2docker.errors import InputError, UsageError
from boinc2docker.formats.toml_settings import Rule, Text, TomlFile, matching

SAFE_PATH = re.compile(r"[A-Za-z0-9_./+@,:=%-]+")
"""Paths that survive BOINC's programs, which build shell commands without quoting."""

TABLES = ("results", "validator")
VIRTUALBOX = 100_000_000
"""Bytes of memory that VirtualBox itself needs for a machine."""
USUAL_FLOPS = 5_000_000_000
FAST_FLOPS = 20_000_000_000
"""Of a processor, by BOINC's benchmark: today's usual one, and one faster than all."""


@dataclass(frozen=True)
class Field:
    """A setting: numbers have ``low`` and ``high``, texts a ``pattern`` that is ``expected`` in words."""

    kind: type
    help: str
    low: int = 0
    high: int = 0
    pattern: str = ""
    expected: str = ""
    table: str = ""

    def key(self, name: str) -> str:
        """The key of the option ``name`` in its table."""
        return name.removeprefix(f"{self.table}_") if self.table else name

    @property
    def rule(self) -> Rule:
        """What a value has to be."""
        if self.kind is int:
            return Rule(f"{self.low} to {self.high}", lambda number: self.low <= number <= self.high)
        return matching(self.pattern, self.expected) if self.kind is str else Rule("true or false", lambda _: True)


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
    "job_hours": Field(int, "hours a job takes on max_cpus processors of 5 GFLOPS, about", 1, 8760),
    "limit_hours": Field(int, "hours after which max_cpus processors of 20 GFLOPS end a job", 1, 8760),
    "deadline_days": Field(int, "days a host has to report", 1, 365),
    "max_errors": Field(int, "failed tries after which a job is given up", 1, 100),
    "results_directory": Field(
        str,
        "where the server keeps results, relative to the project",
        pattern=r"/?[A-Za-z0-9_.+@,:=%-]+(/[A-Za-z0-9_.+@,:=%-]+)*",
        expected="a path of letters, digits and _.+@,:=%-",
        table="results",
    ),
    "results_unpack": Field(bool, "whether results are unpacked on the server: true or false", table="results"),
    "results_batch_pattern": Field(
        str,
        "how to find the batch in a job's name (default: as submit makes names)",
        pattern=r"[^\x00-\x1f\x7f]{0,200}",
        expected="a regular expression with a group (?P<batch>…)",
        table="results",
    ),
    "results_rules": Field(
        str,
        "a Python file with the project's own rules about results",
        pattern=r"[^\x00-\x1f\x7f]{0,4000}",
        expected="the path of a file",
        table="results",
    ),
    "validator_method": Field(
        str,
        "how results are compared: bitwise, numeric or trivial",
        pattern="bitwise|numeric|trivial",
        expected="bitwise, numeric or trivial",
        table="validator",
    ),
    "validator_file_mb": Field(int, "largest table or array compared by number", 1, 1 << 20, table="validator"),
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
    job_hours: int
    limit_hours: int
    deadline_days: int
    max_errors: int
    results_directory: str
    results_unpack: bool
    results_batch_pattern: str
    results_rules: str
    validator_method: str
    validator_file_mb: int
    wrapper: Mapping[str, str]
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def about_results(self) -> dict[str, Any]:
        """The tables ``results`` and ``validator`` with every value as it is to be."""
        found: dict[str, Any] = {"name": self.name}
        for table in TABLES:
            own = {one.key(name): getattr(self, name) for name, one in FIELDS.items() if one.table == table}
            found[table] = {**self.tables.get(table, {}), **own}
        return found

    def values(self) -> dict[str, str]:
        """What templates may name; sizes in bytes and times in seconds where BOINC wants them."""
        megabyte = 1_000_000
        room = self.disk_mb + self.memory_mb + self.results_mb + self.log_mb + 1000
        plain = {name: getattr(self, name) for name in FIELDS}
        plain |= {
            "network": int(self.network),
            # memory_size_mb is in MiB; VirtualBox takes some itself. A host's RAM is checked against this.
            "memory_bound": self.memory_mb * (1 << 20) + VIRTUALBOX,
            # A client ends a job after bound / (processors used x its speed): so all processors count, and fast ones.
            "fpops_est": self.job_hours * 3600 * self.max_cpus * USUAL_FLOPS,
            "fpops_bound": self.limit_hours * 3600 * self.max_cpus * FAST_FLOPS,
            # The slot holds the data disk with what a job has and makes, the saved memory, the outputs once more in
            # the share, and 1000 MB of ISO, logs and inputs in the share.
            "disk_bound": room * (1 << 20),
            "delay_bound": self.deadline_days * 86400,
            "max_total": 2 * self.max_errors,
            "results_bytes": self.results_mb * megabyte,
            "log_bytes": self.log_mb * megabyte,
        }
        return {name: str(value) for name, value in plain.items()}


def read(path: Path, options: Mapping[str, str | None], own: Path | None = None) -> Settings:
    """The settings file, an app's own file over it that may say less, and a command line's ``options`` over both.

    Raises InputError (files) or UsageError (options) that names everything that is wrong.
    """
    document = _document(path)
    name = path.name
    if own is not None:
        name = str(own)
        for key, value in _document(own).items():
            both = isinstance(value, dict) and isinstance(document.get(key), dict)
            document[key] = {**document[key], **value} if both else value
    chosen = apply(parse(document, name), options)
    if chosen.limit_hours < chosen.job_hours:
        hint = "a job has to have the time that it takes"
        raise InputError(
            "bad-settings", f"limit_hours {chosen.limit_hours} is less than job_hours {chosen.job_hours}", hint=hint
        )
    return chosen


def _document(path: Path) -> dict[str, Any]:
    """The tables of a settings file; the rules file that it names counts from its directory."""
    document = _FILE.document(path)
    results = document.get("results")
    if isinstance(results, dict) and isinstance(results.get("rules"), str) and results["rules"]:
        results["rules"] = str(path.parent.resolve() / results["rules"])
    return document


def _table(name: str, *others: tuple[str, Any] | tuple[str, Any, Any]) -> type:
    """The dataclass of a table of the file: its fields in ``FIELDS``, and ``others`` that are no options."""
    own = [(one.key(option), Annotated[one.kind, one.rule]) for option, one in FIELDS.items() if one.table == name]
    return dataclasses.make_dataclass(name or "app", [*own, *others], frozen=True)


Wrapper = Annotated[Mapping[str, Text], Rule('lines such as windows_x86_64 = "26210"', bool)]
_FURTHER = {"results": ("outputs", "tokens", "limits"), "validator": ("ignore", "tolerance")}
"""Lines that ``boinc2docker.results.settings`` judges."""
_TABLES = [(name, _table(name, *((key, Any, None) for key in keys))) for name, keys in _FURTHER.items()]
_FILE: TomlFile[Any] = TomlFile(_table("", ("wrapper", Wrapper), *_TABLES), "bad-settings")


def parse(document: Mapping[str, Any], file: str) -> Settings:
    """Raises InputError that names everything that is wrong."""
    found = _FILE.structure(document, file)
    values = {
        name: getattr(getattr(found, one.table) if one.table else found, one.key(name)) for name, one in FIELDS.items()
    }
    return Settings(**values, wrapper=found.wrapper, tables={name: document[name] for name in TABLES})


def apply(settings: Settings, options: Mapping[str, str | None]) -> Settings:
    """``settings`` with options' texts over them. Raises UsageError that names all that are wrong."""
    given: dict[str, Any] = {key: _value(FIELDS[key], text) for key, text in options.items() if text is not None}
    problems = [f"--{key.replace('_', '-')}: {what}" for key, value in given.items() if (what := _problem(key, value))]
    if problems:
        raise UsageError("bad-option", "; ".join(problems))
    if given.get("results_rules"):
        given["results_rules"] = str(Path(given["results_rules"]).resolve())
    return replace(settings, **given)


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
    return None if field.rule.holds(value) else f"expected {field.rule.expected}, found {value!r}"
