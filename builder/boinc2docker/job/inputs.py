"""Input files of a job: ``shared/NAME`` in the job's directory, ``/root/shared/NAME`` in the container."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from boinc2docker.errors import InputError

# fmt: off
RESERVED = frozenset((
    "boinc_app", "image", "results", "results.tgz", "boinc_log.tgz", "heartbeat", "progress",
    "completion_trigger_file", "temporary_exit_trigger_file", ".boinc2docker",
    "init_data.xml", "canary", "cmdline", "report",
))
# fmt: on
"""Names in ``shared/`` reserved for the job, the agent and vboxwrapper, also with the suffix ``.part``."""
_NOT_ON_EVERY_HOST = re.compile(r'[<>:"|?*\\%\x00-\x1f\x7f]|\.\.|[. ]$')
_MAX_NAME = 200


@dataclass(frozen=True)
class Input:
    """A file or directory and its name below ``shared/``, which may have directories: ``data/x.csv``."""

    source: Path
    name: str


def parse(text: str) -> Input:
    """Reads ``FILE[:NAME]``; without NAME it keeps the file's name. Raises InputError."""
    whole = Path(text)
    if text and whole.exists():
        return _checked(whole, whole.resolve().name)
    path, colon, name = text.rpartition(":")
    if colon and path and Path(path).exists():
        return _checked(Path(path), name)
    raise InputError("missing-input", f"--input: there is no file {path if colon and path else text!r}")


def _checked(source: Path, name: str) -> Input:
    check_name(name)
    return Input(source, name)


def check_name(name: str, option: str = "--input") -> None:
    """Raises InputError unless ``name`` can be a file of a job on every host: Linux, Windows, macOS, and BOINC's rules.

    BOINC refuses ``..`` and ``%`` anywhere in a name (client/app_start.cpp); hosts' file systems may ignore case.
    """
    shown = f"{option}: the name {name[:80]!a}"
    if not name or name.startswith("/"):
        raise InputError("bad-input-name", f"{shown} must be a relative path and not empty")
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise InputError("bad-input-name", f"{shown} must not have empty parts, . or ..")
    if (
        any(_NOT_ON_EVERY_HOST.search(part) or not part.isprintable() for part in parts)
        or len(name.encode()) > _MAX_NAME
    ):
        raise InputError(
            "bad-input-name",
            f"{shown} cannot be a file on every volunteer's computer",
            hint=f'avoid < > : " | ? * \\ % .. and control characters, a final dot or blank, over {_MAX_NAME} bytes',
        )
    if parts[0].casefold().removesuffix(".part") in RESERVED:
        raise InputError(
            "reserved-input-name",
            f"{shown} is one that the job needs for itself",
            hint="choose another name: FILE:NAME",
        )


class Named(Protocol):
    """Anything that has a name in the job's directory."""

    @property
    def name(self) -> str: ...


def check_together(inputs: Iterable[Named]) -> None:
    """Raises InputError if two inputs have the same name, or one needs a directory where the other is a file."""
    taken: dict[str, str] = {}
    for name in sorted((one.name for one in inputs), key=str.casefold):
        folded = name.casefold()
        parents = [folded[:end] for end, character in enumerate(folded) if character == "/"]
        if clash := next((taken[known] for known in (folded, *parents) if known in taken), None):
            raise InputError(
                "duplicate-input",
                f"--input: {name!r} and {clash!r} conflict",
                hint="give them other names: FILE:NAME",
            )
        taken[folded] = name


def files_of(one: Input) -> Iterator[tuple[Path, str]]:
    """The files of an input, with their names below ``shared/``; links are followed.

    Raises InputError for what cannot be handed to another computer: sockets, devices, dangling links, links in circles.
    """
    yield from _walk(one.source, one.name, ())


def directories_of(one: Input) -> Iterator[str]:
    """Names of an input's directories, empty ones included, parents first."""
    if one.source.is_dir():
        yield one.name
        for child in sorted(one.source.iterdir()):
            yield from directories_of(Input(child, f"{one.name}/{child.name}"))


def _walk(path: Path, name: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[Path, str]]:
    check_name(name)
    try:
        facts = path.stat()
    except OSError as error:
        raise InputError("missing-input", f"--input: cannot read {path}: {error.strerror}") from error
    if stat.S_ISREG(facts.st_mode) and os.access(path, os.R_OK):
        yield path, name
    elif stat.S_ISDIR(facts.st_mode) and os.access(path, os.R_OK | os.X_OK):
        here = (facts.st_dev, facts.st_ino)
        if here in above:
            raise InputError("bad-input", f"--input: {path} is a link to a directory that contains it")
        for child in sorted(path.iterdir()):
            yield from _walk(child, f"{name}/{child.name}", (*above, here))
    else:
        raise InputError("bad-input", f"--input: {path} is neither a readable file nor a readable directory")
