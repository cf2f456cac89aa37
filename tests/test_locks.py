"""Excluding other processes: one at a time, whoever dies, and whoever removes the lock file."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from boinc2docker import locks
from boinc2docker.errors import HostError

HOLDER = """\
import sys
from pathlib import Path
from boinc2docker import locks
with locks.exclusively(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_many_take_turns_and_leave_no_file(tmp_path: Path) -> None:
    path, inside, most = tmp_path / "below" / "lock", threading.Semaphore(0), []

    def turn(_: int) -> None:
        with locks.exclusively(path):
            inside.release()
            most.append(inside._value)
            inside.acquire()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(turn, range(200)))
    assert most == [1] * 200
    assert not list(path.parent.iterdir())


def test_a_killed_holder_holds_nothing_and_waiting_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    entered = threading.Event()

    def wait() -> None:
        with locks.exclusively(path, waiting="another is at work"):
            entered.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    try:
        assert not entered.wait(0.2)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate(timeout=60)
    waiting.join(60)
    assert entered.is_set()
    assert "another is at work" in capfd.readouterr().err
    assert not path.exists()


def test_who_shares_does_not_wait_for_who_shares(tmp_path: Path) -> None:
    path, entered = tmp_path / "lock", threading.Event()

    def alone() -> None:
        with locks.held(path, shared=False):
            entered.set()

    with locks.held(path, shared=True), locks.held(path, shared=True):
        waiting = threading.Thread(target=alone)
        waiting.start()
        assert not entered.wait(0.2)
    waiting.join(60)
    assert entered.is_set()
    assert path.exists()


def test_a_name_is_no_path(tmp_path: Path) -> None:
    names = ["a/b", "a", "../../x", "\udcff", "x" * 4000]
    found = {locks.lock_of(tmp_path, name) for name in names}
    assert len(found) == len(names)
    assert {path.parent for path in found} == {tmp_path / ".locks"}


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "lock"
    with pytest.raises(HostError, match="lock"), locks.exclusively(path):
        pytest.fail("it was held")
    with pytest.raises(HostError, match="lock"), locks.held(path, shared=True):
        pytest.fail("it was held")
