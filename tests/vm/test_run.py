"""Runs in the real QEMU with guests of a few bytes: every way a machine can disappoint, and none is left behind."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from boinc2docker import console
from boinc2docker.errors import InputError, MachineError, UsageError
from boinc2docker.vm import Running, Settings, run_job
from boinc2docker.vm.acceleration import TCG
from boinc2docker.vm.process import create_disk
from tests.equipment.checkout import PROJECT_ROOT
from tests.vm.tiny_guest import EVENTS, SERIAL, tiny_iso

pytestmark = pytest.mark.skipif(
    shutil.which("qemu-system-x86_64") is None, reason="QEMU is not installed (Debian: apt-get install qemu-system-x86)"
)
SETTINGS = Settings(memory_mb=256, acceleration=TCG, boot_limit=30, heartbeat_limit=30, timeout=60)
AGENT = (EVENTS, "b2d 1.00 boot agent 2.0.0 on tiny\n")


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "boinc_app").write_text("#!/bin/sh\n")
    return tmp_path / "shared"


def fails(shared: Path, iso: Path, settings: Settings = SETTINGS) -> MachineError:
    """The error of a run; its QEMU must be gone."""
    pids: list[int] = []
    with pytest.raises(MachineError) as caught:
        run_job(
            shared,
            None,
            iso,
            settings,
            results=shared.parent / "results",
            log=shared.parent / "log",
            started=lambda machine: pids.append(machine.pid),
        )
    assert len(pids) == 1
    assert not Path(f"/proc/{pids[0]}").exists()
    assert "\n" not in caught.value.message
    assert caught.value.message.startswith("the machine failed, not the container: ")
    assert caught.value.exit_code == 125
    assert not (shared.parent / "results").exists()
    return caught.value


def test_a_machine_that_never_reports(shared: Path) -> None:
    iso = tiny_iso(shared.parent / "iso", (SERIAL, "\nbooting, or so\n"))
    error = fails(shared, iso, Settings(memory_mb=256, acceleration=TCG, boot_limit=3))
    assert error.code == "never-reported"
    assert "booting, or so" in (shared.parent / "log" / "console.txt").read_text()


def test_a_heartbeat_that_stops(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    iso = tiny_iso(shared.parent / "iso", AGENT)
    error = fails(shared, iso, Settings(memory_mb=256, acceleration=TCG, heartbeat_limit=2))
    assert error.code == "heartbeat-lost"
    assert "agent 2.0.0 on tiny" in capsys.readouterr().err


def test_a_job_that_takes_too_long(shared: Path) -> None:
    iso = tiny_iso(shared.parent / "iso", AGENT)
    assert fails(shared, iso, Settings(memory_mb=256, acceleration=TCG, timeout=3)).code == "timeout"


@pytest.mark.usefixtures("hurried")
def test_a_slow_machine_gets_more_time_where_the_user_says_so(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The guest is told for its Docker; nothing of that stays in a user's own job directory."""
    iso, seen = tiny_iso(shared.parent / "iso"), []

    def started(_machine: Running) -> None:
        seen.append((shared / ".boinc2docker" / "patience").read_text())

    settings = Settings(memory_mb=256, acceleration=TCG, boot_limit=1, patience=3)
    with pytest.raises(MachineError) as caught:
        run_job(shared, None, iso, settings, results=shared.parent / "r", log=shared.parent / "l", started=started)
    assert caught.value.code == "never-reported"
    assert int(re.findall(r"in (\d+) s$", caught.value.message)[0]) >= 3
    assert "--patience 9" in str(caught.value.hint)
    assert seen == ["3\n"]
    assert not (shared / ".boinc2docker" / "patience").exists()
    assert re.search(r"waiting for the machine to boot: [0-3] of 3 s\n", capsys.readouterr().err)


def test_a_link_in_place_of_the_agents_directory_is_not_followed(shared: Path) -> None:
    (shared.parent / "elsewhere").mkdir()
    (shared / ".boinc2docker").symlink_to(shared.parent / "elsewhere")
    with pytest.raises(InputError, match="is a link"):
        run_job(
            *(shared, None, tiny_iso(shared.parent / "iso"), replace(SETTINGS, patience=2)),
            results=shared.parent / "r",
            log=shared.parent / "l",
        )
    assert not list((shared.parent / "elsewhere").iterdir())


def test_output_is_shown_while_the_machine_runs(shared: Path) -> None:
    """The guest of this test is what the real one's bin/stream writes to its port, and then hangs."""
    pieces = [(0x505, text) for text in ("1\x05\x01" + "a" * 261, "2\x04\x02" + "b" * 516)]
    shown: list[tuple[str, bytes]] = []

    def show(name: str, data: bytes) -> None:
        shown.append((name, data))
        if name == "stderr":
            (shared / "completion_trigger_file").write_text("0\n0\n")

    iso = tiny_iso(shared.parent / "iso", AGENT, *pieces)
    outcome = run_job(*(shared, None, iso, SETTINGS), results=shared.parent / "r", log=shared.parent / "l", show=show)
    assert shown == [("stdout", b"a" * 261), ("stderr", b"b" * 516)]
    assert outcome.shown == {"stdout": 261, "stderr": 516}
    assert not (shared.parent / "l" / "streams").exists()


def test_a_kernel_panic(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    panic = "[    1.234567] Kernel panic - not syncing: Attempted to kill init!"
    iso = tiny_iso(shared.parent / "iso", (SERIAL, f"\r\n[    1.200000] a line before\r\n{panic}\r\n"))
    error = fails(shared, iso)
    assert error.code == "kernel-panic"
    assert "Attempted to kill init!" in error.message
    assert "a line before" in capsys.readouterr().err


@pytest.mark.parametrize("then", ["power-off", "reset"])
def test_a_machine_that_stops_before_it_reports(shared: Path, then: str) -> None:
    iso = tiny_iso(shared.parent / "iso", AGENT, then=then)
    assert fails(shared, iso).code == "machine-powered-off"


def test_a_machine_that_is_killed(shared: Path) -> None:
    iso = tiny_iso(shared.parent / "iso", AGENT)

    def kill(machine: Running) -> None:
        os.kill(machine.pid, signal.SIGKILL)

    with pytest.raises(MachineError, match="powered off, restarted or crashed"):
        run_job(shared, None, iso, SETTINGS, results=shared.parent / "r", log=shared.parent / "l", started=kill)


def test_a_qemu_that_refuses_says_why(shared: Path) -> None:
    iso = tiny_iso(shared.parent / "iso")
    error = fails(shared, iso, replace(SETTINGS, acceleration=replace(TCG, cpu="no-such-cpu")))
    assert error.code == "machine-powered-off"
    assert "no-such-cpu" in error.message


def test_a_temporary_exit(shared: Path) -> None:
    (shared / "temporary_exit_trigger_file").write_text("300\n1\nthe registry is down")
    error = fails(shared, tiny_iso(shared.parent / "iso", AGENT))
    assert error.code == "temporary-exit"
    assert "tried again in 300 s: the registry is down" in error.message


def test_a_machine_stays_as_long_as_its_heart_beats(shared: Path) -> None:
    """The machine's half is played by this process; time limits are short."""
    iso = tiny_iso(shared.parent / "iso", AGENT)

    def beat() -> None:
        for number in range(12):
            (shared / "heartbeat").write_text(str(number))
            time.sleep(0.5)
        (shared / "completion_trigger_file").write_text("0\n0\n")

    settings = Settings(memory_mb=256, acceleration=TCG, heartbeat_limit=4)
    outcome = run_job(
        shared,
        None,
        iso,
        settings,
        results=shared.parent / "r",
        log=shared.parent / "l",
        started=lambda _: threading.Thread(target=beat).start(),
    )
    assert outcome.exit_code == 0
    assert outcome.phases == {"boot": 1.0}
    assert outcome.host_memory_mb > 20
    assert outcome.acceleration == "tcg"


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_the_guest_puts_in_place_of_a_file_is_not_followed(shared: Path, kind: str) -> None:
    (shared.parent / "secret").write_text("0\n0\nsecret")

    def put(_machine: Running) -> None:
        for name in ("completion_trigger_file", "temporary_exit_trigger_file"):
            if kind == "link":
                (shared / name).symlink_to(shared.parent / "secret")
            else:
                os.mkfifo(shared / name)

    iso = tiny_iso(shared.parent / "iso", AGENT)
    with pytest.raises(MachineError) as caught:
        run_job(
            shared,
            None,
            iso,
            replace(SETTINGS, timeout=2),
            results=shared.parent / "r",
            log=shared.parent / "l",
            started=put,
        )
    assert caught.value.code == "timeout"


def test_bad_input_starts_nothing(shared: Path, tmp_path: Path) -> None:
    iso = tiny_iso(tmp_path / "iso")
    (tmp_path / "text.iso").write_text("x" * 40_000)
    (tmp_path / "short.iso").write_bytes(iso.read_bytes()[:32_000])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    results, log = tmp_path / "r", tmp_path / "l"
    images = {"absent.iso": "no-iso", "text.iso": "not-an-iso", "short.iso": "not-an-iso", ".": "no-iso"}
    for wrong, code in images.items():
        with pytest.raises(InputError) as caught:
            run_job(shared, None, tmp_path / wrong, SETTINGS, results=results, log=log)
        assert caught.value.code == code
    with pytest.raises(InputError, match="not a job directory"):
        run_job(tmp_path, None, iso, SETTINGS, results=results, log=log)
    with pytest.raises(InputError, match="not empty"):
        run_job(shared, None, iso, SETTINGS, results=tmp_path / "full", log=tmp_path / "l")
    (shared / "completion_trigger_file").touch()
    with pytest.raises(InputError, match="already run to its end"):
        run_job(shared, None, iso, SETTINGS, results=results, log=log)
    assert not (tmp_path / "l").exists()


def test_a_data_disk_is_small_as_a_file(tmp_path: Path) -> None:
    create_disk(tmp_path / "disk.vdi", 16 << 30)
    assert (tmp_path / "disk.vdi").stat().st_size < 3 << 20
    with pytest.raises(UsageError, match="expected at least 64MB"):
        create_disk(tmp_path / "tiny.vdi", 1000)


CHILD = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background it is ignored
from pathlib import Path
from boinc2docker.vm import Settings, run_job
from boinc2docker.vm.acceleration import TCG
work = Path(sys.argv[1])
settings = Settings(memory_mb=256, acceleration=TCG)
run_job(work / "shared", None, work / "iso", settings, results=work / "r", log=work / "l",
        started=lambda machine: (work / "pid").write_text(str(machine.pid) + "\\n"))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_no_machine_outlives_its_starter(shared: Path, number: signal.Signals) -> None:
    work = shared.parent
    (work / "tmp").mkdir()
    tiny_iso(work / "iso", AGENT)
    environment = {**os.environ, "TMPDIR": str(work / "tmp")}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, work], cwd=PROJECT_ROOT, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        pid = int(eventually(lambda: (work / "pid").read_text() if (work / "pid").exists() else ""))
        assert Path(f"/proc/{pid}").exists()
        child.send_signal(number)
        assert child.wait(30) != 0
        eventually(lambda: "gone" if not Path(f"/proc/{pid}").exists() else "")
    finally:
        child.kill()
        child.wait()
    if number is not signal.SIGKILL:
        assert list((work / "tmp").iterdir()) == []


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is told what is waited for every half second."""
    monkeypatch.setattr(console, "_QUIET_SECONDS", 0.5)


def eventually(look: Callable[[], str]) -> str:
    """What ``look`` sees at last. A directory may vanish while it looks: whoever makes one renames it."""
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(FileNotFoundError):
            if seen := look():
                return seen
        assert time.monotonic() < deadline
        time.sleep(0.02)


# `run` from its options on; a thread plays the guest's part and writes what an agent would.
