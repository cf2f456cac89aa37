"""Machines with VirtualBox' guest device in the real QEMU: started with them, ended with them, however they end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from boinc2docker.cli.run import LIKE, RunOptions, run_command
from boinc2docker.errors import HostError, MachineError, UsageError
from boinc2docker.fetch import Cache
from boinc2docker.vm import Running, Settings, run_job
from boinc2docker.vm.acceleration import TCG
from boinc2docker.vm.machine import Like
from boinc2docker.vm.vfio_qemu import VARIABLE, has_device, unpacked, unpacked_in, vfio_qemu
from tests.conftest import needs_vboxsf
from tests.equipment.checkout import PROJECT_ROOT, PYTHON_PATH
from tests.vm.tiny_guest import EVENTS, tiny_iso

SETTINGS = Settings(memory_mb=256, acceleration=TCG, boot_limit=60, heartbeat_limit=60, like=Like.VIRTUALBOX)
AGENT = (EVENTS, "b2d 1.00 boot agent 2.0.0 on tiny\n")


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "boinc_app").write_text("#!/bin/sh\n")
    return tmp_path / "shared"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    has_device.cache_clear()
    yield
    has_device.cache_clear()


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_the_device_is_the_guests_and_ends_with_it(shared: Path) -> None:
    needs_vboxsf()
    pids: list[int] = []

    def started(machine: Running) -> None:
        assert machine.guest_device is not None
        pids.extend([machine.pid, machine.guest_device.pid])
        answer = machine.ask("query-pci")
        found = [(one["id"]["vendor"], one["id"]["device"]) for one in answer[0]["devices"]]
        assert (0x80EE, 0xCAFE) in found
        (shared / "completion_trigger_file").write_text("7\n0\n")

    log = shared.parent / "log"
    outcome = run_job(
        shared,
        shared.parent / "scratch",
        tiny_iso(shared.parent / "iso", AGENT),
        SETTINGS,
        results=shared.parent / "results",
        log=log,
        started=started,
    )
    assert outcome.exit_code == 7
    assert len(pids) == 2
    assert not any(map(alive, pids))
    assert json.loads((log / "vmmdev.json").read_text())["messages"] > 10, "QEMU has talked to it"


def test_a_machine_without_its_device_is_given_up(shared: Path) -> None:
    needs_vboxsf()
    pids: list[int] = []

    def started(machine: Running) -> None:
        assert machine.guest_device is not None
        pids.extend([machine.pid, machine.guest_device.pid])
        assert machine.state() == "running"
        os.kill(machine.guest_device.pid, signal.SIGKILL)

    iso = tiny_iso(shared.parent / "iso", AGENT)
    with pytest.raises(MachineError) as caught:
        run_job(shared, None, iso, SETTINGS, results=shared.parent / "r", log=shared.parent / "log", started=started)
    assert caught.value.code in {"machine-broken", "machine-powered-off"}, "QEMU itself may fall over it"
    assert "guest device ended with status -9" in caught.value.message
    assert not any(map(alive, pids))


def test_a_device_that_does_not_start_is_told(shared: Path) -> None:
    needs_vboxsf()
    settings = replace(SETTINGS, device_options=("--full-after", "much"))
    iso = tiny_iso(shared.parent / "iso", AGENT)
    with pytest.raises(HostError, match="--full-after") as caught:
        run_job(shared, None, iso, settings, results=shared.parent / "r", log=shared.parent / "log")
    assert caught.value.code == "no-guest-device"


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_an_interrupted_run(shared: Path, end: signal.Signals) -> None:
    """The machine and its device go, even if nobody is left who could end them."""
    needs_vboxsf()
    iso = tiny_iso(shared.parent / "iso", AGENT)
    words = ["run", "--job", shared, "--iso", iso, "--scratch", shared.parent / "scratch", "--memory", "256MB"]
    process = subprocess.Popen(
        [sys.executable, "-m", "boinc2docker.cli.program", *map(str, words), "--like", "virtualbox"],
        cwd=PROJECT_ROOT,
        env={**os.environ, "PYTHONPATH": PYTHON_PATH, "BOINC2DOCKER_ACCEL": "tcg"},
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where tests run in the background
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if b"agent 2.0.0 on tiny" in line:
                break
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 2
        words_of_both = [Path(f"/proc/{pid}/cmdline").read_text().split("\0") for pid in children]
        report = next(words[words.index("--report") + 1] for words in words_of_both if "--report" in words)
        process.send_signal(end)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    deadline = time.monotonic() + 30
    while any(alive(int(pid)) for pid in children):
        assert time.monotonic() < deadline, "left behind"
        time.sleep(0.05)
    shutil.rmtree(Path(report).parent.parent, ignore_errors=True)  # a killed run cannot do it


def test_a_qemu_that_is_too_old_is_told_before_anything_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shared: Path
) -> None:
    old = tmp_path / "qemu-system-x86_64"
    old.write_text("#!/bin/sh\necho \"'vfio-user-pci' is not a valid device model name\" >&2\nexit 1\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("BOINC2DOCKER_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(VARIABLE, raising=False)
    options = RunOptions.of(job=str(shared), like="virtualbox", iso=str(tiny_iso(tmp_path / "iso")))
    with pytest.raises(HostError, match="has no such device") as caught:
        run_command(options)
    assert caught.value.code == "qemu-too-old"
    assert "ci/prepare-tests" in str(caught.value.hint)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(HostError, match="no QEMU at all"):
        vfio_qemu()
    monkeypatch.setenv(VARIABLE, str(old))
    with pytest.raises(HostError, match=VARIABLE):
        vfio_qemu()


def test_the_unpacked_one_that_was_used_last_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for name, used in (("a", 2_000_000_000), ("b", 1_000_000_000), (".c", 2_100_000_000)):
        folder = unpacked_in(cache) / name
        folder.mkdir(parents=True)
        (folder / "qemu-system-x86_64").write_text("#!/bin/sh\necho '  socket=<SocketAddress>'\n")
        (folder / "qemu-system-x86_64").chmod(0o755)
        os.utime(folder, (used, used))
    assert [path.parent.name for path in unpacked(cache)] == ["a", "b"], "one that is being unpacked is none yet"
    monkeypatch.setenv("BOINC2DOCKER_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "/bin:/usr/bin" if not has_device("/usr/bin/qemu-system-x86_64") else str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    assert vfio_qemu() == str(unpacked_in(cache) / "a" / "qemu-system-x86_64")


def test_what_it_is_like(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shared: Path) -> None:
    iso = str(tiny_iso(tmp_path / "iso"))
    for wrong in (RunOptions.of(job=str(shared), iso=iso, like="vmware"), RunOptions.of(job=str(shared), iso=iso)):
        monkeypatch.setenv(LIKE, "vmware")
        with pytest.raises(UsageError, match="--like: expected qemu or virtualbox, found 'vmware'"):
            run_command(wrong)
