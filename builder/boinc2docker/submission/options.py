"""The options of BOINC's ``create_work``, one table: command line, help, input template and words come from it.

Names, units and defaults: BOINC ``tools/create_work.cpp``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from boinc2docker.errors import UsageError
from boinc2docker.option import Option
from boinc2docker.sizes import parse_bytes, parse_seconds

MOST = 2**31 - 1
TITLE = 255 - len("   <sub_appname></sub_appname>")
_GARBLED = re.compile(r"['\"\\&<>]")
_DECIMAL = re.compile(r"\d{1,30}(\.\d{1,30})?([eE]\+?\d{1,2})?")


def whole(least: int = 0) -> Callable[[str, str], int]:
    """Reads a whole number from ``least`` to 2147483647."""

    def read(text: str, what: str) -> int:
        if not re.fullmatch(r"-?\d{1,10}", text.strip(), re.ASCII) or not least <= int(text) <= MOST:
            raise UsageError("bad-number", f"{what}: expected a whole number, at least {least}, found {text[:80]!r}")
        return int(text)

    return read


def number(text: str, what: str) -> float:
    """Reads a number like ``3600e9``, not negative."""
    if not _DECIMAL.fullmatch(text.strip()):
        raise UsageError("bad-number", f"{what}: expected a number like 3600e9, found {text[:80]!r}")
    return float(text)


def size(text: str, what: str) -> int:
    """Reads bytes: ``2GB``, ``500MB``, ``5e8``."""
    return int(float(text)) if _DECIMAL.fullmatch(text.strip()) else parse_bytes(text, what)


def seconds(text: str, what: str) -> int:
    """Reads a time: ``3d``, ``12h``, ``604800``."""
    found = int(parse_seconds(text, what))
    if not 0 < found <= MOST:
        raise UsageError("bad-time", f"{what}: expected 1 second to 68 years, found {text[:80]!r}")
    return found


def line(most: int) -> Callable[[str, str], str]:
    """Reads a text of at most ``most`` bytes that goes unharmed through create_work, which quotes without escapes."""

    def read(text: str, what: str) -> str:
        if not text.isprintable() or len(text.encode()) > most or _GARBLED.search(text):
            raise UsageError(
                "bad-text",
                f"{what}: expected at most {most} printable characters, without quotes, \\, &, < and >, "
                f"found {text[:80]!a}",
                hint="BOINC puts it into XML and SQL as it is",
            )
        return text

    return read


def title(text: str, what: str) -> str:
    """Reads a text that create_work itself makes XML of: it escapes & and <, and writes bytes beyond ASCII as numbers.

    With its tags it has to fit into 255 bytes: create_work cuts it there.
    """
    size = sum({"<": 4, ">": 4, "&": 5}.get(sign, 1 if sign.isascii() else 6 * len(sign.encode())) for sign in text)
    if not text.isprintable() or re.search(r"['\"\\]", text) or size > TITLE:
        raise UsageError(
            "bad-text",
            f"{what}: expected at most {TITLE} printable characters, without quotes and \\, found {text[:80]!a}",
            hint="< and > count as 4, & as 5, others beyond ASCII as 6 for each of their bytes",
        )
    return text


CREATE_WORK: tuple[Option, ...] = (
    Option("app_version_num", "use only this version of the app, such as 102 (default 0: any)", read=whole(), noun="N"),
    Option("broadcast", "send the job to every host", kind="flag"),
    Option("broadcast_user", "send the job to all hosts of this user's ID", read=whole(1), noun="ID"),
    Option("broadcast_team", "send the job to all hosts of this team's ID", read=whole(1), noun="ID"),
    Option("command_line", "options for vboxwrapper on the host (it refuses others)", read=line(4000), noun="TEXT"),
    Option("config_dir", "directory with the config.xml that create_work reads (default: the project)", noun="DIR"),
    Option("credit", "fixed credit for the job", read=number, noun="X"),
    Option("d", "debug level of create_work, 1 to 4", read=whole(1), noun="N"),
    Option("delay_bound", "deadline of a host, such as 3d (default: the app's, else 7d)", read=seconds, noun="TIME"),
    Option("hr_class", "homogeneous redundancy class", read=whole(), noun="N"),
    Option("keywords", "ids of keywords, with blanks between", read=line(254), noun="TEXT"),
    Option(
        "max_error_results",
        "give the job up after more failed tries (default: the app's, else 3)",
        read=whole(1),
        noun="N",
    ),
    Option("max_total_results", "tries at most (default: twice max_error_results)", read=whole(1), noun="N"),
    Option("max_success_results", "successful results at most (default: target_nresults)", read=whole(1), noun="N"),
    Option("min_quorum", "results that must agree (default 1)", read=whole(1), noun="N"),
    Option("target_nresults", "copies sent out at first (default: min_quorum)", read=whole(1), noun="N"),
    Option("priority", "jobs of higher priority are sent first (default 0)", read=whole(-MOST), noun="N"),
    Option("result_template", "output template, below the project (default: templates/APP_out)", noun="FILE"),
    Option("rsc_disk_bound", "disk on the host, such as 20GB (default: computed)", read=size, noun="SIZE"),
    Option("rsc_memory_bound", "memory on the host, such as 2GB (default: computed)", read=size, noun="SIZE"),
    Option("rsc_fpops_est", "floating-point operations the job takes (default: from --time)", read=number, noun="X"),
    Option("rsc_fpops_bound", "operations after which it is ended (default: computed)", read=number, noun="X"),
    Option("size_class", "size class, for apps that have them (default -1: none)", read=whole(-1), noun="N"),
    Option("sub_appname", "what volunteers see as the app's name", read=title, noun="TEXT"),
    Option("target_host", "send the job to this host's ID only", read=whole(1), noun="ID"),
    Option("target_user", "send the job to hosts of this user's ID only", read=whole(1), noun="ID"),
    Option("target_team", "send the job to hosts of this team's ID only", read=whole(1), noun="ID"),
    Option("wu_id", "fill this work unit record instead of making a new one", read=whole(1), noun="ID"),
    Option("verbose", "let create_work say more", kind="flag"),
)
IN_TEMPLATE = (
    "rsc_fpops_est",
    "rsc_fpops_bound",
    "rsc_memory_bound",
    "rsc_disk_bound",
    "delay_bound",
    "min_quorum",
    "target_nresults",
    "max_error_results",
    "max_total_results",
    "max_success_results",
    "size_class",
)
"""What is written into the input template, which wins over create_work's options."""


@dataclass(frozen=True)
class WorkUnitOptions:
    """Options of ``create_work`` as typed values: bytes, seconds, operations. None is "not given"."""

    app_version_num: int | None = None
    batch: int | None = None
    broadcast: bool = False
    broadcast_user: int | None = None
    broadcast_team: int | None = None
    command_line: str | None = None
    config_dir: str | None = None
    credit: float | None = None
    d: int | None = None
    delay_bound: int | None = None
    hr_class: int | None = None
    keywords: str | None = None
    max_error_results: int | None = None
    max_total_results: int | None = None
    max_success_results: int | None = None
    min_quorum: int | None = None
    target_nresults: int | None = None
    priority: int | None = None
    result_template: str | None = None
    rsc_disk_bound: int | None = None
    rsc_memory_bound: int | None = None
    rsc_fpops_est: float | None = None
    rsc_fpops_bound: float | None = None
    size_class: int | None = None
    sub_appname: str | None = None
    target_host: int | None = None
    target_user: int | None = None
    target_team: int | None = None
    wu_id: int | None = None
    verbose: bool = False

    def __post_init__(self) -> None:
        addressed = [
            name
            for name in (
                "broadcast",
                "broadcast_user",
                "broadcast_team",
                "target_host",
                "target_user",
                "target_team",
            )
            if getattr(self, name)
        ]
        if len(addressed) > 1:
            shown = " and ".join(f"--{name.replace('_', '-')}" for name in addressed)
            raise UsageError("two-targets", f"a job can have one of these only: {shown}")
        quorum, copies = self.min_quorum or 1, self.target_nresults
        if copies is not None and copies < quorum:
            raise UsageError("bad-number", f"--target-nresults {copies} is less than --min-quorum {quorum}")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> WorkUnitOptions:
        """The options that ``given`` has values of; other keys are ignored."""
        return cls(**{field.name: given[field.name] for field in fields(cls) if given.get(field.name) is not None})

    def words(self) -> tuple[str, ...]:
        """The options of one ``create_work`` process, without ``--appname``, templates, names and files."""
        return tuple(self._words())

    def _words(self) -> Iterator[str]:
        for field in fields(self):
            found = getattr(self, field.name)
            if field.name in IN_TEMPLATE or found is None or found is False:
                continue
            yield f"--{field.name}"
            if found is not True:
                yield plain(found)


def plain(value: float | str) -> str:
    """A value as BOINC's programs read it: whole numbers without a point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() and value < 2**63 else str(value)
