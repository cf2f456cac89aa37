"""The end of a run as the user sees it: what was not shown yet, what was cut, and how it ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from boinc2docker import console
from boinc2docker.cli import run_output
from boinc2docker.vm.outcome import Outcome
from boinc2docker.vm.run_directory import new_directory
from boinc2docker.vm.streams import SENT_BYTES

MEGABYTE = 1 << 20


def outcome(log: Path, *, stdout: bytes = b"") -> Outcome:
    (log / "container").mkdir(parents=True)
    (log / "container" / "stdout.txt").write_bytes(stdout)
    return Outcome(
        exit_code=0,
        message="",
        results=log / "results",
        log=log,
        phases={},
        downloaded_bytes=0,
        reused_bytes=0,
        container_exit_code=0,
        guest_memory_mb=None,
        host_memory_mb=0,
        acceleration="tcg",
        seconds=1.0,
        files=("out.txt",),
    )


@pytest.mark.parametrize(
    ("kept", "shown", "printed", "warns"),
    [
        (700, 0, (0, 700), False),
        (700, 700, (0, 0), False),
        (700, 400, (400, 700), False),
        (2 * MEGABYTE, 0, (0, MEGABYTE), True),
        (2 * MEGABYTE, 3 * MEGABYTE, (0, 0), False),
        (2 * MEGABYTE, SENT_BYTES + 100, (0, 0), True),
    ],
)
def test_what_was_not_shown_while_it_ran_is_shown_now(
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    kept: int,
    shown: int,
    printed: tuple[int, int],
    warns: bool,
) -> None:
    """What is kept is the beginning of the stream, or, where that is long, its beginning and its end."""
    data = bytes(number * 7919 % 251 for number in range(kept))
    ended = replace(outcome(tmp_path / "log", stdout=data), shown={"stdout": shown, "stderr": 0})
    console.configure()
    assert run_output.show(ended, new_directory(tmp_path / "run")) == 0
    seen = capfdbinary.readouterr()
    assert seen.out == data[slice(*printed)]
    assert (b"MB of stdout are shown; its beginning and its end are in " in seen.err) is warns
    assert b"results (1 file)" in seen.err


@pytest.mark.parametrize("code", [1, 125, 126, 127, 255])
def test_the_containers_exit_code_comes_through(tmp_path: Path, code: int) -> None:
    for phase in (None, "run"):
        ended = replace(
            outcome(tmp_path / f"log-{phase}"), exit_code=code, container_exit_code=code, failed_phase=phase
        )
        assert run_output.show(ended, new_directory(tmp_path / "run")) == code
