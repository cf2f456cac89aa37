"""Runs in the real QEMU with guests of a few bytes: every way a machine can disappoint, and none is left behind."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from boinc2docker import console, places
from boinc2docker.cli.run import RunOptions, run_command
from boinc2docker.errors import BuilderError, HostError, InputError, MachineError, UsageError
from boinc2docker.vm import Running, Settings, run, run_job
from boinc2docker.vm.acceleration import TCG, VARIABLE
from boinc2docker.vm.process import create_disk
from tests.equipment.archives import Sample, old_docker, tar
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
    deadline = time.monotonic() + 30
    while not (seen := look()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return seen


# `run` from its options on; a thread plays the guest's part and writes what an agent would.


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(VARIABLE, "tcg")
    monkeypatch.setattr(places, "CHECKOUT", tmp_path)
    (tmp_path / "image.tar").write_bytes(tar(old_docker(Sample())))
    (tmp_path / "build").mkdir()
    tiny_iso(tmp_path / "build" / "boinc2docker-2.0.0.iso", AGENT)
    yield tmp_path
    console.configure()


def packed(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@contextlib.contextmanager
def agent(root: Path, code: int, message: str = "", *, shown: bytes = b"", failed: str | None = None) -> Iterator[None]:
    """Plays the agent for the first job directory that appears below ``root``; ``shown`` is sent while it runs."""

    def play() -> None:
        script = eventually(lambda: next(map(str, root.glob("**/shared/boinc_app")), ""))
        shared = Path(script).parent
        eventually(lambda: next(map(str, root.glob("**/log/events.txt")), ""))
        if shown:
            with (shared.parent / "log" / "streams").open("ab") as port:
                port.write(shown)
        told = {
            "exit_code": 3 if message and not failed else code,
            "marks": {"init": 1.5},
            "reused_bytes": 5,
            "memory_peak_mb": 99,
            "failed_phase": failed,
        }
        logs = packed(stdout_txt=b"to stdout \xff\n", stderr_txt=b"to stderr\n", job_json=json.dumps(told).encode())
        (shared / "boinc_log.tgz").write_bytes(logs)
        (shared / "results.tgz").write_bytes(packed(out_txt=b"hello"))
        (shared / "completion.new").write_text(f"{code}\n0\n{message}")
        (shared / "completion.new").rename(shared / "completion_trigger_file")

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield
    finally:
        thread.join(60)


def test_run_shows_the_containers_output_and_code(door: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with agent(door, 0):
        assert run_command(RunOptions.of(image=str(door / "image.tar"), words=["x"], memory="256m")) == 0
    seen = capfdbinary.readouterr()
    assert seen.out == b"to stdout \xff\n"
    assert b"to stderr\n" in seen.err
    assert (door / "build" / "run" / "1" / "results" / "out.txt").read_bytes() == b"hello"
    assert not (door / "build" / "run" / "1" / "shared").exists()


def test_what_was_shown_as_it_came_is_not_shown_again(door: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    shown = b"1\x0c\x00to stdout \xff\n" + b"2\x03\x00to " + b"2\x03\x00std"
    with agent(door, 0, shown=shown):
        assert run_command(RunOptions.of(image=str(door / "image.tar"), words=["x"], memory="256m")) == 0
    seen = capfdbinary.readouterr()
    assert seen.out == b"to stdout \xff\n"
    assert b"to std" in seen.err
    assert b"err\n" in seen.err
    assert seen.err.count(b"std") == 1


@pytest.mark.parametrize(("phase", "code"), [("boot", 125), ("image", 125), ("results", 125), ("run", 1), ("odd", 1)])
def test_a_machine_that_failed_is_not_the_containers_exit_code(
    door: Path, capfd: pytest.CaptureFixture[str], phase: str, code: int
) -> None:
    with agent(door, 1, "Docker did not answer", failed=phase):
        assert run_command(RunOptions.of(image=str(door / "image.tar"), words=["x"], memory="256m")) == code
    said = f"error: the machine failed, not the container, in phase {phase}: Docker did not answer"
    assert (said in capfd.readouterr().err) is (code == 125)


def test_a_start_that_fails_leaves_nothing(door: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path, _size: int) -> None:
        raise HostError("qemu-missing", "qemu-img is not here")

    monkeypatch.setattr(run, "create_disk", refuse)
    options = RunOptions.of(image=str(door / "image.tar"), words=["x"], memory="256m", disk="1GB")
    with pytest.raises(HostError):
        run_command(options)
    assert not list((door / "build").glob("run/*"))


@pytest.mark.parametrize("megabytes", [1, 140])
def test_a_job_with_large_inputs_gets_a_data_disk(
    door: Path, capfd: pytest.CaptureFixture[str], megabytes: int
) -> None:
    """Inputs are copied into the machine: in memory there is room for half of it."""
    given = door / "given"
    with given.open("wb") as file:
        file.truncate(megabytes << 20)
    with agent(door, 0):
        options = RunOptions.of(image=str(door / "image.tar"), words=["x"], memory="256m", input=[str(given)])
        assert run_command(options) == 0
    assert ("gets a data disk" in capfd.readouterr().err) is (megabytes > 100)


def test_a_failed_job_stays_for_inspection(door: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with agent(door, 42):
        options = RunOptions.of(image=str(door / "image.tar"), cmd="x 'y z'", memory="256m", results=str(door / "out"))
        assert run_command(options) == 42
    assert (door / "out" / "out.txt").exists()
    script = (door / "build" / "run" / "1" / "shared" / "boinc_app").read_text()
    assert script.endswith("job_run '--' 'x' 'y z'\n")
    assert "exit 42" in capfd.readouterr().err


def test_run_prints_one_json_object(door: Path, capfd: pytest.CaptureFixture[str]) -> None:
    console.configure(json=True)
    with agent(door, 0, "container exited with 3"):
        assert run_command(RunOptions.of(image=str(door / "image.tar"), words=["x"], memory="256m")) == 0
    told = json.loads(capfd.readouterr().out)
    assert {"exit_code", "results", "log", "phases", "downloaded_bytes", "reused_bytes"} <= set(told)
    assert (told["exit_code"], told["container_exit_code"], told["reused_bytes"]) == (0, 3, 5)
    assert told["phases"] == {"init": 1.5}


def test_a_prepared_job_is_run_where_it_is(door: Path, shared: Path) -> None:
    with agent(shared.parent, 0):
        assert run_command(RunOptions.of(job=str(shared), memory="256m", disk="1GB", scratch=str(door / "s"))) == 0
    assert (shared / "boinc_app").exists()
    assert (door / "s").is_dir()


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (RunOptions.of(), UsageError),
        (RunOptions.of(image="image.tar"), InputError),
        (RunOptions.of(image="image.tar", words=["x"], memory="lots"), UsageError),
        (RunOptions.of(image="image.tar", words=["x"], memory="1m"), UsageError),
        (RunOptions.of(image="image.tar", words=["x"], memory="9999GB"), UsageError),
        (RunOptions.of(image="image.tar", words=["x"], patience="0"), UsageError),
        (RunOptions.of(image="image.tar", words=["x"], patience="1.5"), UsageError),
        (RunOptions.of(image="image.tar", words=["x"], cpus="0"), UsageError),
        (RunOptions.of(image="image.tar", words=["x"], timeout="soon"), UsageError),
        (RunOptions.of(image="image.tar", words=["x"], cmd="y"), UsageError),
        (RunOptions.of(image="image.tar", words=["x"], iso="absent.iso"), UsageError),
        (RunOptions.of(image="image.tar", words=["x"], results="."), InputError),
        (RunOptions.of(image="image.tar", words=["x"], input=["absent"]), UsageError),
        (RunOptions.of(image="image.tar", words=["x"], env=["=x"]), UsageError),
        (RunOptions.of(image="absent.tar", words=["x"]), UsageError),
        (RunOptions.of(image="image.tar", words=["x" * 200_000]), InputError),
        (RunOptions.of(image="image.tar", job="."), UsageError),
        (RunOptions.of(image="image.tar", words=["x"], disk="much"), UsageError),
        (RunOptions.of(image="image.tar", words=["x"], disk="none.vdi"), InputError),
        (RunOptions.of(image="image.tar", words=["x"], disk="./image.tar"), InputError),
    ],
    ids=[str(number) for number in range(20)],
)
def test_bad_options_leave_nothing(
    door: Path, options: RunOptions, kind: type[BuilderError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(door)
    image = tar(old_docker(Sample(config={})))  # says nothing of what to run
    (door / "image.tar").write_bytes(image)
    with pytest.raises(kind):
        run_command(options)
    assert not list((door / "build").glob("run/*"))


def test_without_an_iso_it_says_how_to_get_one(door: Path) -> None:
    (door / "build" / "boinc2docker-2.0.0.iso").unlink()
    with pytest.raises(InputError) as caught:
        run_command(RunOptions.of(image=str(door / "image.tar"), words=["x"]))
    assert "build-iso" in str(caught.value.hint)
