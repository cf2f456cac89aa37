"""``run`` as a command, with a stand-in for the machine: what it shows, what it returns, what it leaves."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from boinc2docker import console, places
from boinc2docker.cli.run import RunOptions, run_command
from boinc2docker.errors import BuilderError, HostError, InputError, UsageError
from boinc2docker.vm import run
from boinc2docker.vm.acceleration import VARIABLE
from tests.equipment.archives import Sample, old_docker, tar
from tests.vm.test_run import AGENT, eventually, shared
from tests.vm.tiny_guest import tiny_iso

__all__ = ["shared"]

pytestmark = pytest.mark.skipif(
    shutil.which("qemu-system-x86_64") is None, reason="QEMU is not installed (Debian: apt-get install qemu-system-x86)"
)


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
