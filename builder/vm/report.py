"""What a machine hands back: the completion file, ``job.json``, the archives of results and logs.

All of it comes out of a machine in which somebody else's container ran: nothing in it is believed.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from builder import careful_tar, console
from builder.atomic import explain
from builder.bounded_stream import BoundedGzip, BoundedTar
from builder.errors import InputError, MachineError

_NUMBER = re.compile(rb"\s*([+-]?\d{1,9})")
_MAX_TRIGGER = 64 << 10
MAX_UNPACKED = 4 << 30
"""Bytes of files that an archive may hold: what app.toml allows unless it says otherwise."""
MAX_MEMBERS = 100_000
_HEADERS = 4096
"""Bytes of headers and padding that members may have on the average."""
_ANY_RATIO = 1100
"""Bytes unpacked per byte: gzip does not come to more than 1032."""


@dataclass(frozen=True)
class Completion:
    """A completion file: the task's exit code, whether its message is shown to the volunteer, and the message."""

    exit_code: int
    notice: bool
    message: str


def parse_completion(data: bytes) -> Completion:
    """Reads a completion or temporary exit file the way vboxwrapper does: like C's ``atoi``, nothing is an error."""
    first, _, rest = data[:_MAX_TRIGGER].partition(b"\n")
    second, _, message = rest.partition(b"\n")
    text = "".join(c if c.isprintable() or c == "\n" else "?" for c in message.decode(errors="replace"))
    return Completion(_atoi(first), _atoi(second) != 0, text.strip())


def _atoi(text: bytes) -> int:
    found = _NUMBER.match(text)
    return int(found[1]) if found else 0


@dataclass(frozen=True)
class JobReport:
    """``job.json`` as far as it makes sense. ``phases``: seconds of the guest's uptime by mark."""

    phases: Mapping[str, float] = field(default_factory=dict)
    downloaded_bytes: int = 0
    reused_bytes: int = 0
    memory_peak_mb: int | None = None
    exit_code: int | None = None


def parse_job_report(data: bytes) -> JobReport:
    """Reads ``job.json``; what is missing or of another type is left out, never an error."""
    try:
        top = json.loads(data)
    except (ValueError, RecursionError):
        return JobReport()
    if not isinstance(top, dict):
        return JobReport()
    marks = top.get("marks")
    listed = marks.items() if isinstance(marks, dict) else ()
    return JobReport(
        phases={str(name)[:40]: float(value) for name, value in listed if _is_number(value)},
        downloaded_bytes=_count(top.get("downloaded_bytes")) or 0,
        reused_bytes=_count(top.get("reused_bytes")) or 0,
        memory_peak_mb=_count(top.get("memory_peak_mb")),
        exit_code=_count(top.get("exit_code")),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def _count(value: Any) -> int | None:
    return int(value) if _is_number(value) else None


def require_free(target: Path) -> None:
    """Raises InputError unless results can be put at ``target``: nothing is there, or an empty directory."""
    if target.is_dir() and not target.is_symlink():
        if any(target.iterdir()):
            raise InputError(
                "results-not-empty", f"--results: {target} is not empty", hint="choose another directory or empty it"
            )
    elif target.exists() or target.is_symlink():
        raise InputError(
            "results-not-empty", f"--results: {target} is there and no directory", hint="choose another one"
        )


def unpack(archive: Path, target: Path) -> list[str]:
    """Unpacks a machine's ``.tgz`` into the directory ``target``, whole or not at all; returns what it contains.

    Devices, and paths or links that lead outside, are left out with a warning; ownership and special mode bits are
    never applied. Raises MachineError if the archive is damaged or too much, HostError for a full disk.
    """
    temporary = None
    members = bytes_ = 0

    def judge(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        # Asked before a member is written, so nothing beyond the limits ever is.
        nonlocal members, bytes_
        members, bytes_ = members + 1, bytes_ + (member.size if member.isreg() else 0)
        if members > MAX_MEMBERS or bytes_ > MAX_UNPACKED:
            raise _too_large(archive, f"it unpacks to more than {MAX_UNPACKED >> 20} MB or {MAX_MEMBERS} files")
        return _careful(member, path)

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
        with archive.open("rb") as source, BoundedTar(_stream(source)) as tar:
            careful_tar.extract_all(tar, temporary, judge)
            names = sorted(str(path.relative_to(temporary)) for path in temporary.rglob("*"))
        temporary.chmod(0o755)
        with contextlib.suppress(FileNotFoundError):
            target.rmdir()
        temporary.rename(target)
        temporary = None
    except InputError as error:
        if error.code == "archive-too-large":
            raise _too_large(archive, error.message) from error
        raise MachineError("bad-results", f"{archive.name} from the machine is damaged: {error.message}") from error
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        raise MachineError("bad-results", f"{archive.name} from the machine is damaged: {error}") from error
    except OSError as error:
        raise explain(error, f"write {target}") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return names


def _stream(source: BinaryIO) -> BoundedGzip:
    """Holds headers to their bounds; ``judge`` knows of the files' content more exactly."""
    return BoundedGzip(source, bytes_limit=MAX_UNPACKED + MAX_MEMBERS * _HEADERS, ratio_limit=_ANY_RATIO)


def _too_large(archive: Path, why: str) -> MachineError:
    return MachineError(
        "results-too-large",
        f"{archive.name} from the machine is too large: {why}",
        hint=f"{archive} is left as it is; a file with holes is as large as it says",
    )


def _careful(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
    try:
        return careful_tar.data(member, path)
    except careful_tar.RefusedError as error:
        console.warn(f"left out of the results: {member.name[:200]!a} ({error})")
        return None
