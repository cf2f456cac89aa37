"""The only module that prints.

Results go to stdout, everything else to stderr, where no text of a stranger can move the cursor or pass for a line of
ours: controls are shown as escapes, and the further lines of a message are indented. On a terminal long work shows a
progress bar; in a log it shows one plain line when it begins and one when it ends. ``configure`` is called once, by the
command line.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from boinc2docker import plain_text
from boinc2docker.errors import BuilderError


@dataclass
class _State:
    json: bool = False
    quiet: bool = False
    debug: bool = False
    depth: int = 0


_state = _State()
_err = Console(stderr=True, highlight=False, soft_wrap=True)


class Advance(Protocol):
    """Reports work done: ``advance(n)`` for n more units."""

    def __call__(self, amount: int, /) -> None: ...


def configure(*, json: bool = False, quiet: bool = False, debug: bool = False) -> None:
    """Sets how this process talks; ``json`` keeps stdout for one object."""
    global _err
    _state.json, _state.quiet, _state.debug = json, quiet, debug
    _err = Console(stderr=True, highlight=False, soft_wrap=True)


def debugging() -> bool:
    """True if tracebacks are wanted."""
    return _state.debug


def info(text: str) -> None:
    """One line about what happens, to stderr."""
    if not _state.quiet:
        _err.print("  " * _state.depth + _shown(text, "  " * _state.depth))


def warn(text: str) -> None:
    """One line the user should not miss, to stderr, also with ``quiet``."""
    _err.print(f"[yellow]warning:[/yellow] {_shown(text)}")


def failure(error: BuilderError) -> None:
    """Shows an error and its hint on stderr, and with ``json`` the error object on stdout."""
    _err.print(f"[red]error:[/red] {_shown(error.message)}")
    if error.hint:
        _err.print(f"  [dim](hint)[/dim] {_shown(error.hint)}")
    if _state.json:
        result({"error": {"code": error.code, "message": error.message, "hint": error.hint}})


def _shown(text: str, indent: str = "") -> str:
    """``text`` for rich: harmless, and every line but the first further in than any line that begins a message."""
    return escape(plain_text.lines(text).replace("\n", f"\n{indent}  "))


def result(value: Mapping[str, Any] | str) -> None:
    """The command's result, on stdout: one JSON object, or text; on a terminal with controls shown as escapes."""
    if isinstance(value, str):
        text = plain_text.lines(value) if sys.stdout.isatty() else value
    else:
        text = plain_text.json_text(json.dumps(value, indent=2, ensure_ascii=False))
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def wants_json() -> bool:
    """True if stdout is for one JSON object only."""
    return _state.json


def output(stdout: bytes, stderr: bytes) -> None:
    """What a job's container has written, byte for byte, on the streams it meant."""
    for stream, data in ((sys.stderr, stderr), (sys.stdout, stdout)):
        stream.flush()
        stream.buffer.write(data)
        stream.flush()


def report(machine: Mapping[str, Any], human: str) -> None:
    """The command's result in the form that was asked for: ``machine`` with ``json``, else ``human``."""
    result(machine if _state.json else human)


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Names a piece of work; what is printed inside is indented; ends with its seconds if it took more than one."""
    info(title)
    _state.depth += 1
    began = time.monotonic()
    try:
        yield
    finally:
        seconds = time.monotonic() - began
        if seconds > 1:
            info(f"… {seconds:.1f} s")
        _state.depth -= 1


def _ignore(_amount: int) -> None:
    """Progress that nobody wants to see."""


@contextlib.contextmanager
def progress(label: str, total: int | None, *, unit: str = "bytes") -> Iterator[Advance]:
    """A bar for ``total`` units (None: unknown) on a terminal; in a log a line every ten seconds of longer work."""
    if _state.quiet:
        yield _ignore
        return
    if _err.is_terminal:
        count = DownloadColumn() if unit == "bytes" else TextColumn("{task.completed}/{task.total} " + unit)
        columns = (TextColumn("  " * _state.depth + "{task.description}"), BarColumn(), TaskProgressColumn(), count)
        with Progress(*columns, TimeRemainingColumn(), console=_err, transient=True) as bar:
            task = bar.add_task(_shown(label), total=total)
            yield lambda amount: bar.advance(task, amount)
        return
    done = 0
    last = time.monotonic()

    def advance(amount: int) -> None:
        nonlocal done, last
        done += amount
        if time.monotonic() - last >= 10:
            last = time.monotonic()
            share = f" ({100 * done // total} %)" if total else ""
            shown = f"{done / 1e6:.1f} MB" if unit == "bytes" else f"{done} {unit}"
            info(f"{label}: {shown}{share}")

    yield advance
