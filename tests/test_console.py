"""What work shows of itself: a line every 15 seconds in a log, a bar on a terminal, and never more than it did."""

from __future__ import annotations

import io
import re
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from boinc2docker import console


class Stream(io.TextIOWrapper):
    """A stream that may be a terminal, and whose bytes can be looked at."""

    def __init__(self, *, terminal: bool = False) -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding="utf-8", write_through=True)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    def text(self) -> str:
        return self.bytes.getvalue().decode()


def listen(monkeypatch: pytest.MonkeyPatch, *, terminal: bool = False) -> tuple[Stream, Stream]:
    """A stdout and a stderr of the test's own. Called in the test: before it, pytest puts its own in place again."""
    out, err = Stream(), Stream(terminal=terminal)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(console._state, "open_line", False)
    console.configure()
    return out, err


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    console.waiting(None)
    console.configure()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred times the speed."""
    monkeypatch.setattr(console, "_QUIET_SECONDS", 0.1)
    monkeypatch.setattr(console, "_TICK_SECONDS", 0.01)
    monkeypatch.setattr(console, "_WORTH_A_LINE", 0.02)


def wait_for(err: Stream, pattern: str) -> None:
    deadline = time.monotonic() + 30
    while not re.search(pattern, err.text()):
        assert time.monotonic() < deadline, err.text()
        time.sleep(0.01)


def test_the_promise_for_a_log_is_15_seconds() -> None:
    assert console._QUIET_SECONDS + 2 * console._TICK_SECONDS < 15


@pytest.mark.usefixtures("hurried")
def test_work_that_is_silent_is_told_of_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = listen(monkeypatch)
    with console.step("Compress"):
        wait_for(streams[1], r"^Compress\n  … 0 s so far\n  … \d s so far\n")
        with console.progress("root file system", 4_000_000) as advance:
            advance(1_000_000)
            wait_for(streams[1], r"  root file system: 1\.0 MB of 4\.0 MB \(25 %\)\n")
            advance(3_000_000)
    assert "  root file system: 4.0 MB in 0 s\n" in streams[1].text()
    assert not streams[0].text()


@pytest.mark.usefixtures("hurried")
def test_a_log_hears_of_work_only_while_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = listen(monkeypatch)
    with console.step("Compress"):
        wait_for(streams[1], "so far")
    said = streams[1].text()
    assert not threading.Event().wait(0.3)
    assert streams[1].text() == said


@pytest.mark.parametrize(("error", "said"), [(ValueError, "failed"), (KeyboardInterrupt, "interrupted")])
def test_unfinished_work_does_not_look_done(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException], said: str
) -> None:
    streams = listen(monkeypatch)
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def work() -> None:
        with console.step("Fetch"), console.progress("a layer", 10):
            now[0] = 9.6
            raise error

    with pytest.raises(error):
        work()
    assert streams[1].text() == f"Fetch\n  … {said} after 9.6 s\n"


def test_short_work_says_only_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = listen(monkeypatch)
    with console.step("Fetch"), console.progress("a layer", 10) as advance:
        advance(10)
    assert streams[1].text() == "Fetch\n"


def test_quiet_work_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = listen(monkeypatch)
    console.configure(quiet=True)
    with console.step("Fetch"), console.progress("a layer", None) as advance:
        advance(10)
        console.waiting("anything")
    assert streams[1].text() == ""


@pytest.mark.usefixtures("hurried")
def test_waiting_is_told_in_a_log_when_nothing_else_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = listen(monkeypatch)
    console.info("started")
    console.waiting("waiting for Docker: 1 of 600 s")
    assert streams[1].text() == "started\n"
    assert not threading.Event().wait(0.15)
    for second in (40, 41, 42):
        console.waiting(f"waiting for Docker: {second} of 600 s")
    assert streams[1].text() == "started\nwaiting for Docker: 40 of 600 s\n"


def test_waiting_on_a_terminal_moves_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out, err = listen(monkeypatch, terminal=True)
    console.waiting("waiting for Docker: 1 of 600 s")
    wait_for(err, "Docker: 1 of 600 s")
    console.waiting("waiting for Docker: 2 of 600 s")
    wait_for(err, "Docker: 2 of 600 s")
    console.output("stdout", b"from the container\n")
    assert console._state.status is None, "or it would be drawn over the container's output"
    assert err.text().endswith("\x1b[2K"), "the line is erased"
    assert out.bytes.getvalue() == b"from the container\n"


def test_a_container_has_its_streams_byte_for_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = listen(monkeypatch)
    console.output("stdout", b"\x00\xff\x1b[2J no end")
    console.output("stderr", b"")
    console.info("ours")
    assert out.bytes.getvalue() == b"\x00\xff\x1b[2J no end"
    assert err.text() == "ours\n"


def test_our_lines_begin_where_a_line_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = listen(monkeypatch)
    console.output("stderr", b"50 %")
    console.warn("ours")
    console.output("stderr", b"done\n")
    console.info("ours, too")
    assert streams[1].text() == "50 %\nwarning: ours\ndone\nours, too\n"
