"""The guest's event lines and the console, read while they are being written."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boinc2docker.vm.events import Event, Tail, last_lines, parse_event, parse_panic


def test_an_event() -> None:
    assert parse_event("b2d 10.20 boot agent 2.0.0 on debian") == Event(10.2, "boot", "agent 2.0.0 on debian")
    assert parse_event("b2d 61.00 report exit 0") == Event(61.0, "report", "exit 0")
    assert parse_event("b2d 1.00 run \x1b[31mred") == Event(1.0, "run", "?[31mred")


@pytest.mark.parametrize(
    "line", ["", "b2d", "b2d x boot y", " b2d 1.00 boot", "b2d 1.00 Boot x", "b2d -1.00 boot", "b2d 1 boot"]
)
def test_what_is_no_event(line: str) -> None:
    assert parse_event(line) is None


@given(st.text())
def test_any_line_is_an_event_or_not(line: str) -> None:
    event = parse_event(line)
    assert event is None or event.text.isprintable()
    assert parse_panic(line) is None or "Kernel panic" in line


@pytest.mark.parametrize(
    ("line", "panics"),
    [
        ("[   15.132318] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00", True),
        ("[   15.132318][    T1] Kernel panic - not syncing: Fatal exception", True),
        ("Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)", True),
        ("[   15.144732] ---[ end Kernel panic - not syncing: Attempted to kill init! ]---", False),
        ("b2d 12.00 run Kernel panic - not syncing: said a container", False),
        ("echo Kernel panic - not syncing: x", False),
    ],
)
def test_a_panic_is_the_kernels_own_line(line: str, panics: bool) -> None:
    assert (parse_panic(line) is not None) == panics


@settings(suppress_health_check=list(HealthCheck), max_examples=50)
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=6))
def test_a_tail_gives_each_line_once_however_it_is_written(tmp_path: Path, data: bytes, cuts: list[int]) -> None:
    path = tmp_path / "log"
    path.unlink(missing_ok=True)
    tail = Tail(path)
    assert tail.poll() == []
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    seen: list[str] = []
    for start, end in itertools.pairwise(edges):
        with path.open("ab") as stream:
            stream.write(data[start:end])
        seen += tail.poll()
    assert seen == [line.rstrip(b"\r").decode(errors="replace") for line in data.split(b"\n")[:-1]]


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 3_000_000)
    tail = Tail(path)
    while tail.poll() or tail._position < 3_000_000:
        assert len(tail._partial) <= 4096
    with path.open("ab") as stream:
        stream.write(b"\nb2d 1.00 boot x\n")
    assert [parse_event(line) for line in tail.poll()][-1] == Event(1.0, "boot", "x")


def test_last_lines_are_harmless(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert last_lines(path) == ""
    path.write_bytes(b"\xff\x1b[2J one\r\n\r\n" + b"".join(b"line %d\r\n" % number for number in range(40)))
    assert last_lines(path, 3) == "line 37\nline 38\nline 39"
    assert "\x1b" not in last_lines(path, 50)
