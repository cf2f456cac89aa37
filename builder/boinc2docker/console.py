"""The only module that prints.

Results go to stdout, everything else to stderr, where a stranger's text can neither move the cursor nor pass for a line
of ours: control characters are shown as escapes, and every further line of a message is indented. On a terminal long
work shows a bar or a line that moves. In a log it shows a line when it begins, one at least every 15 seconds, and one
when it ends. ``configure`` is called once, by the command line.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.status import Status

from boinc2docker import plain_text
from boinc2docker.errors import BuilderError

_QUIET_SECONDS = 10.0  # a log is silent for no longer than this while work goes on, plus a tick; the promise is 15
_TICK_SECONDS = 1.0
_WORTH_A_LINE = 2.0  # seconds that work must take to be told of at its end


@dataclass
class _State:
    json: bool = False
    quiet: bool = False
    debug: bool = False
    depth: int = 0
    said_at: float = 0.0
    """When something was last printed, by ``time.monotonic``."""
    open_line: bool = False
    """True after output of a container whose last line has no end yet."""
    status: Status | None = None
    """The line that moves, while one is shown."""


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
        _line("  " * _state.depth + _shown(text, "  " * _state.depth))


def warn(text: str) -> None:
    """One line the user should not miss, to stderr, even with ``quiet``."""
    _line(f"[yellow]warning:[/yellow] {_shown(text)}")


def failure(error: BuilderError) -> None:
    """Shows an error and its hint on stderr, and with ``json`` the error object on stdout."""
    _line(f"[red]error:[/red] {_shown(error.message)}")
    if error.hint:
        _line(f"  [dim](hint)[/dim] {_shown(error.hint)}")
    if _state.json:
        result({"error": {"code": error.code, "message": error.message, "hint": error.hint}})


def _line(markup: str) -> None:
    """Prints a line of ours, on a line of its own."""
    if _state.open_line:
        _state.open_line = False
        _err.print()
    _err.print(markup)
    _state.said_at = time.monotonic()


def _shown(text: str, indent: str = "") -> str:
    """``text`` made harmless for rich, every line but the first indented further than any message of ours begins."""
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


def output(stream: Literal["stdout", "stderr"], data: bytes) -> None:
    """Writes what a container wrote, byte for byte, to the stream it meant, at once."""
    if not data:
        return
    _hide_status()
    target = sys.stdout if stream == "stdout" else sys.stderr
    target.flush()
    target.buffer.write(data)
    target.flush()
    _state.said_at = time.monotonic()
    if stream == "stderr" or (sys.stdout.isatty() and sys.stderr.isatty()):  # else our lines go elsewhere
        _state.open_line = not data.endswith(b"\n")


def report(machine: Mapping[str, Any], human: str) -> None:
    """The command's result in the form that was asked for: ``machine`` with ``json``, else ``human``."""
    result(machine if _state.json else human)


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Names a piece of work and indents what is printed inside. If it took more than a second, a line says how long,
    and whether it failed or was interrupted."""
    info(title)
    _state.depth += 1
    began = time.monotonic()
    how = ""
    try:
        with _ticker.telling(lambda: f"… {time.monotonic() - began:.0f} s so far"):
            yield
    except Exception:
        how = "failed after "
        raise
    except BaseException:  # Ctrl-C, SIGTERM
        how = "interrupted after "
        raise
    finally:
        seconds = time.monotonic() - began
        if seconds > 1:
            info(f"… {how}{seconds:.1f} s")
        _state.depth -= 1


def _ignore(_amount: int) -> None:
    """Progress that nobody wants to see."""


@contextlib.contextmanager
def progress(label: str, total: int | None, *, unit: str = "bytes") -> Iterator[Advance]:
    """A bar for ``total`` units (None: unknown) on a terminal; in a log a line every ten seconds and one at the end, if
    it took more than two seconds and was not broken off."""
    if _state.quiet:
        yield _ignore
        return
    if _err.is_terminal:
        _hide_status()
        count = DownloadColumn() if unit == "bytes" else TextColumn("{task.completed}/{task.total} " + unit)
        columns = (TextColumn("  " * _state.depth + "{task.description}"), BarColumn(), TaskProgressColumn(), count)
        with Progress(*columns, TimeRemainingColumn(), console=_err, transient=True) as bar:
            task = bar.add_task(_shown(label), total=total)
            yield lambda amount: bar.advance(task, amount)
        return
    done = 0
    began = time.monotonic()

    def advance(amount: int) -> None:
        nonlocal done
        done += amount

    def so_far() -> str:
        share = f" of {_amount(total, unit)} ({100 * done // total} %)" if total else ""
        return f"{label}: {_amount(done, unit)}{share}"

    with _ticker.telling(so_far):
        yield advance
    if (seconds := time.monotonic() - began) > _WORTH_A_LINE:
        info(f"{label}: {_amount(done, unit)} in {seconds:.0f} s")


def _amount(number: int, unit: str) -> str:
    return f"{number / 1e6:.1f} MB" if unit == "bytes" else f"{number} {unit}"


def waiting(text: str | None, *, moving: bool = True) -> None:
    """Says what is being waited for; to be called again and again with the newest text, at last with None.

    On a terminal it is one line that moves and goes, or nothing unless ``moving``; in a log it is printed when nothing
    was said for ten seconds.
    """
    if text is None or _state.quiet:
        _hide_status()
    elif not _err.is_terminal:
        if time.monotonic() - _state.said_at > _QUIET_SECONDS:
            info(text)
    elif not moving:
        _hide_status()
    elif _state.status is not None:
        _state.status.update(_shown(text))
    elif not _state.open_line:
        _state.status = Status(_shown(text), console=_err)
        _state.status.start()


def _hide_status() -> None:
    if _state.status is not None:
        _state.status.stop()
        _state.status = None


class _Ticker:
    """Prints in a log what goes on, when nothing else was said for ten seconds."""

    def __init__(self) -> None:
        self._going: list[Callable[[], str]] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def telling(self, text: Callable[[], str]) -> Iterator[None]:
        """While the block runs ``text`` is what goes on, unless something inside it says more."""
        with self._changed:
            self._going.append(text)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="console-ticker", daemon=True)
                self._thread.start()
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._going.remove(text)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._going))
                self._changed.wait(_TICK_SECONDS)
                silent = time.monotonic() - _state.said_at > _QUIET_SECONDS
                if self._going and silent and not _err.is_terminal:
                    info(self._going[-1]())


_ticker = _Ticker()
