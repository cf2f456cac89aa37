"""The options of BOINC's ``create_work``, which ``submit`` takes by their names.

Names, units and defaults: BOINC ``tools/create_work.cpp``.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from boinc2docker.cli.option import Option, group
from boinc2docker.errors import UsageError
from boinc2docker.job.remote_input import RemoteInput
from boinc2docker.job.remote_input import parse as parse_remote
from boinc2docker.sizes import parse_bytes, parse_seconds
from boinc2docker.submission.options import TITLE

MOST = 2**31 - 1
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


def debug_level(text: str, what: str) -> int | None:
    """Reads create_work's level. Without a level ``-d`` is docker's, which changes nothing here."""
    return whole(1)(text, what) if text else None


def remote_file(words: tuple[str, str, str], _what: str) -> RemoteInput:
    """Reads URL, size and MD5, the words of create_work's ``--remote_file``."""
    url, size, digest = words
    return parse_remote(f"{url}#md5={digest}&size={size}")


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


CREATE_WORK: tuple[Option, ...] = group(
    "BOINC",
    Option(
        "app_version_num", "Use only this version of the app, such as 102 (default 0: any).", read=whole(), noun="N"
    ),
    Option("broadcast", "Send the job to every host.", kind="flag"),
    Option("broadcast_user", "Send the job to all hosts of the user with this ID.", read=whole(1), noun="ID"),
    Option("broadcast_team", "Send the job to all hosts of the team with this ID.", read=whole(1), noun="ID"),
    Option("command_line", "Options for vboxwrapper on the host.", read=line(4000), noun="TEXT"),
    Option(
        "config_dir",
        "Directory of the config.xml that create_work reads (default: the project's directory).",
        noun="DIR",
    ),
    Option("credit", "Fixed credit for the job.", read=number, noun="X"),
    Option("d", "Debug level of create_work, from 1 to 4.", read=debug_level, noun="N", fits="[1-4]"),
    Option(
        "delay_bound",
        "Time within which a host has to return the job, such as 3d (default: the app's, else 7d).",
        read=seconds,
        noun="TIME",
    ),
    Option("hr_class", "Homogeneous redundancy class.", read=whole(), noun="N"),
    Option("keywords", "IDs of keywords, separated by blanks.", read=line(254), noun="TEXT"),
    Option(
        "max_error_results",
        "Failed tries after which the job is given up (default: the app's, else 3).",
        read=whole(1),
        noun="N",
    ),
    Option("max_total_results", "Most tries of the job (default: twice --max-error-results).", read=whole(1), noun="N"),
    Option("max_success_results", "Most successful results (default: --target-nresults).", read=whole(1), noun="N"),
    Option("min_quorum", "Results that must agree (default 1).", read=whole(1), noun="N"),
    Option("target_nresults", "Copies of the job sent out at first (default: --min-quorum).", read=whole(1), noun="N"),
    Option("priority", "Priority; jobs with a higher one are sent first (default 0).", read=whole(-MOST), noun="N"),
    Option(
        "result_template",
        "Output template, relative to the project's directory (default: templates/APP_out).",
        noun="FILE",
    ),
    Option(
        "rsc_disk_bound", "Disk the job may use on a host, such as 20GB (default: computed).", read=size, noun="SIZE"
    ),
    Option(
        "rsc_memory_bound", "Memory the job may use on a host, such as 2GB (default: computed).", read=size, noun="SIZE"
    ),
    Option("rsc_fpops_est", "Floating-point operations of the job (default: from --time).", read=number, noun="X"),
    Option(
        "rsc_fpops_bound",
        "Floating-point operations after which a host ends the job (default: computed).",
        read=number,
        noun="X",
    ),
    Option("size_class", "Size class, for apps that have size classes (default -1: none).", read=whole(-1), noun="N"),
    Option("sub_appname", "Name of the app that volunteers see for this job.", read=title, noun="TEXT"),
    Option("target_host", "Send the job only to the host with this ID.", read=whole(1), noun="ID"),
    Option("target_user", "Send the job only to hosts of the user with this ID.", read=whole(1), noun="ID"),
    Option("target_team", "Send the job only to hosts of the team with this ID.", read=whole(1), noun="ID"),
    Option("wu_id", "Fill the work unit record with this ID instead of making a new one.", read=whole(1), noun="ID"),
    Option("verbose", "Make create_work print more.", kind="flag"),
    Option(
        "remote_file",
        "An input on another server, as create_work takes it.",
        kind="list",
        words=3,
        read=remote_file,
        noun="URL BYTES MD5",
        hidden=True,
    ),
    Option("native_unzip", "Does nothing: layers go to Docker as they are.", kind="flag", hidden=True),
    Option("detach", "Does nothing: submitting does not wait for the job.", kind="flag", hidden=True),
)
