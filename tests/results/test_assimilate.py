"""The assimilator as the daemon calls it: forms of arguments, exit codes, bad results, repetition."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from boinc2docker.errors import HostError
from boinc2docker.results import assimilate as module
from boinc2docker.results import index
from boinc2docker.results.arguments import parse_assimilate
from boinc2docker.results.index import Row
from boinc2docker.results.placement import FAILURE, Placement
from boinc2docker.results.settings import load
from tests.conftest import call
from tests.equipment.checkout import PROJECT_ROOT
from tests.equipment.light_python import light_python
from tests.results.samples import log_tgz, tgz, tree, upload, write_app

GOOD = tgz({"a.txt": b"hello", "sub/b.txt": b"world"})


def script(
    app: Path, *words: str | Path, name: str = "assimilator", python: str | None = None
) -> subprocess.CompletedProcess[str]:
    """The installed script, run as the daemon's shell does."""
    installed = app.parent / "bin" / f"demo_{name}"
    installed.parent.mkdir(exist_ok=True)
    text = (PROJECT_ROOT / "app_template" / "bin" / name).read_text()
    for mark, value in {"@PYTHON@": python or light_python(app.parent / "python"), "@SETTINGS@": app}.items():
        text = text.replace(mark, str(value))
    installed.write_text(text)
    installed.chmod(0o755)
    argv = [str(installed), *(str(word) for word in words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def rows(app: Path) -> list[Row]:
    with index.opened(load(app).directory) as opened:
        return list(opened.select())


def run(app: Path, *words: str | Path) -> Row:
    settings = load(app)
    return module.assimilate(settings, parse_assimilate([str(word) for word in words], settings.tokens))


def test_a_result_goes_to_its_place_and_the_uploads_stay_for_late_replicas(tmp_path: Path) -> None:
    app = write_app(tmp_path)
    files = upload(tmp_path, "wu_7", GOOD, log_tgz())
    done = script(app, "42", *files)
    assert done.returncode == 0, done.stderr
    home = tmp_path / "results" / "demo" / "0" / "wu_7"
    assert tree(home).keys() == {"results.tgz", "boinc_log.tgz", "result.json", "results/a.txt", "results/sub/b.txt"}
    assert (home / "results.tgz").read_bytes() == GOOD
    late = upload(tmp_path, "wu_7", GOOD, log_tgz(), replica=1)
    assert script(app, *late, *files, name="validator_compare").returncode == 0
    assert script(app, *files, name="validator_init").returncode == 0
    files[0].write_bytes(b"uploaded once more")  # into the file that is there, as file_upload_handler does
    assert (home / "results.tgz").read_bytes() == GOOD
    (row,) = rows(app)
    assert (row.name, row.id, row.state, row.exit_code, row.seconds) == ("wu_7", 42, "done", 0, 8.5)
    assert row.metrics["memory_peak_mb"] == 120
    assert not list((tmp_path / "results" / ".staging").iterdir())
    assert not list((tmp_path / "results" / ".locks").iterdir())


@pytest.mark.parametrize(
    ("tokens", "words", "expected"),
    [
        ([], ["42", "F0", "F1"], ("wu_7", 42, "0")),
        ([], ["F0", "F1"], ("wu_7", None, "0")),
        ([], ["F0"], ("wu_7", None, "0")),
        ([], ["wu_7", "F0", "F1"], ("wu_7", None, "0")),
        (["wu_name", "files"], ["wu_7", "F0", "F1"], ("wu_7", None, "0")),
        (["wu_id", "batch_id", "wu_name", "files", "runtime"], ["42", "9", "wu_7", "F0", "3.5"], ("wu_7", 42, "9")),
        (["wu_id", "files2"], ["42", "F0", "results.tgz", "F1", "boinc_log.tgz"], ("wu_7", 42, "0")),
        (["wu_name", "files"], ["42", "F0", "F1"], ("42", None, "0")),
    ],
)  # fmt: skip
def test_forms_of_arguments(
    tmp_path: Path, tokens: list[str], words: list[str], expected: tuple[str, int | None, str]
) -> None:
    app = write_app(tmp_path, f"tokens = {tokens!r}")
    files = upload(tmp_path, "wu_7", GOOD, log_tgz())
    places = {"F0": str(files[0]), "F1": str(files[1])}
    row = run(app, *(places.get(word, word) for word in words))
    assert (row.name, row.id, row.batch, row.state) == (*expected, "done")


@pytest.mark.parametrize(
    ("pattern", "name", "batch"),
    [
        ("", "demo_sweep_7", "sweep"),
        ("", "demo_a_b_0099999", "a_b"),
        ("", "demo_python_1732290000", "0"),
        ("", "demo_python_12345678", "0"),
        ("", "demo_python_0a1b2c3", "0"),
        ("", "other_sweep_7", "0"),
        ("", "demo_7", "0"),
        ("^{app}-(?P<batch>[a-z]{2})", "demo-xy9", "xy"),
    ],
)
def test_the_batch_is_in_the_name_as_submit_makes_it(tmp_path: Path, pattern: str, name: str, batch: str) -> None:
    settings = load(write_app(tmp_path, f'batch_pattern = "{pattern}"'))
    assert module.batch_of(settings, name, None) == batch
    assert module.batch_of(settings, name, 9) == (batch if batch != "0" else "9")


@pytest.mark.parametrize(
    ("words", "code"),
    [([], 2), (["--error"], 2), (["--error", "x", "wu"], 2), (["word"], 2), (["/nowhere/at/all/wu_0_r1_0"], 75)],
)
def test_what_the_server_must_mend_stops_the_daemon(tmp_path: Path, words: list[str], code: int) -> None:
    done = script(write_app(tmp_path), *words)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "error" in done.stderr


@pytest.mark.parametrize(
    ("mask", "reason"), [(2, "too many errors"), (17, "could not be sent, cancelled"), (64, "error mask 64")]
)
def test_an_error_is_a_row(tmp_path: Path, mask: int, reason: str) -> None:
    app = write_app(tmp_path)
    assert script(app, "--error", str(mask), "wu_9", "77", "5").returncode == 0
    assert script(app, "--error", str(mask), "wu_9", "77", "5").returncode == 0
    (row,) = rows(app)
    assert (row.name, row.id, row.batch, row.state, row.error_mask, row.reason) == (
        "wu_9",
        77,
        "5",
        "error",
        mask,
        reason,
    )


@pytest.mark.parametrize(("data", "state"), [(GOOD, "done"), (b"bad", "failed")])
def test_an_error_does_not_undo_a_result(tmp_path: Path, data: bytes, state: str) -> None:
    app = write_app(tmp_path)
    run(app, "1", *upload(tmp_path, "wu_7", data))
    run(app, "--error", "16", "wu_7", "1", "0")
    assert [row.state for row in rows(app)] == [state]


def test_a_result_takes_the_place_of_an_error_and_of_a_failure(tmp_path: Path) -> None:
    app = write_app(tmp_path)
    assert run(app, "--error", "16", "wu_7", "1", "0").state == "error"
    assert run(app, "1", *upload(tmp_path, "wu_7", b"bad")).state == "failed"
    assert run(app, "1", *upload(tmp_path, "wu_7", b"bad, too")).outputs["results.tgz"]["bytes"] == 8
    assert run(app, "1", *upload(tmp_path, "wu_7", GOOD, replica=1)).state == "done"
    assert [(row.name, row.state) for row in rows(app)] == [("wu_7", "done")]
    assert not list((tmp_path / "results" / "failed" / "demo").iterdir())


@pytest.mark.parametrize("data", [b"", b"no archive", GOOD[:-20], GOOD + b"more", tgz({"../out": b"x"})])
def test_a_bad_result_is_kept_with_its_reason(tmp_path: Path, data: bytes) -> None:
    app = write_app(tmp_path)
    done = script(app, "42", *upload(tmp_path, "wu_7", data, log_tgz()))
    assert done.returncode == 0, done.stderr
    (row,) = rows(app)
    assert row.state == "failed"
    assert row.reason
    assert row.reason in done.stderr.replace("\n", " ")
    assert (tmp_path / "results" / "failed" / "demo" / "wu_7" / "results.tgz").read_bytes() == data
    assert not (tmp_path / "out").exists()


def test_a_missing_log_is_fine_and_a_missing_result_is_a_failure(tmp_path: Path) -> None:
    app = write_app(tmp_path)
    assert run(app, "1", *upload(tmp_path, "a", GOOD)).state == "done"
    never_made = tmp_path / "upload" / "77" / "c_0_r12345_1"
    assert run(app, "3", upload(tmp_path, "c", GOOD)[0], never_made).state == "done"
    files = upload(tmp_path, "b", GOOD, log_tgz())
    files[0].unlink()
    row = run(app, "2", *files)
    assert (row.state, row.reason) == ("failed", "results.tgz is missing")
    assert set(row.outputs) == {"boinc_log.tgz"}


def test_outputs_are_told_apart_by_their_numbers(tmp_path: Path) -> None:
    files = upload(tmp_path, "a", GOOD, log_tgz())
    row = run(write_app(tmp_path), "1", *reversed(files))
    assert row.exit_code == 0
    assert (tmp_path / "results" / row.directory / "results.tgz").read_bytes() == GOOD  # type: ignore[operator]


def test_names_never_leave_the_results(tmp_path: Path) -> None:
    app = write_app(tmp_path, 'batch_pattern = "^(?P<batch>.*)-"')
    names = ["..-x", ".hidden", "a b;c", "x" * 180, "..", "."]
    for name in names:
        assert run(app, "--error", "1", name, "1", "0").state == "error"
        assert run(app, *upload(tmp_path, name, GOOD)).state == "done"
    homes = {path.parent for path in (tmp_path / "results").rglob("result.json")}
    assert len(homes) == len(names)
    assert all(len(home.relative_to(tmp_path / "results" / "demo").parts) == 2 for home in homes)


@pytest.mark.parametrize("data", [GOOD, b"bad"])
def test_twice_is_once(tmp_path: Path, data: bytes) -> None:
    app = write_app(tmp_path)
    files = upload(tmp_path, "wu_7", data, log_tgz())
    first = run(app, "1", *files)
    before = tree(tmp_path / "results")
    assert run(app, "1", *files) == first
    files[0].unlink()
    assert run(app, "1", *files) == first  # asked again while file_deleter is between the two
    files[1].unlink()
    assert run(app, "1", *files) == first
    now = tree(tmp_path / "results")
    assert {k: v for k, v in now.items() if "index" not in k} == {k: v for k, v in before.items() if "index" not in k}


def test_another_result_of_the_same_name_is_kept_beside(tmp_path: Path) -> None:
    app = write_app(tmp_path)
    run(app, "1", *upload(tmp_path, "wu_7", GOOD))
    other = tgz({"a.txt": b"other"})
    row = run(app, "1", *upload(tmp_path, "wu_7", other))
    assert row.state == "failed"
    assert [one.state for one in rows(app)] == ["done", "failed"]
    assert (tmp_path / "results" / row.directory / "results.tgz").read_bytes() == other  # type: ignore[operator]
    again = call("results", "retry", "--settings", app, "--json")
    assert json.loads(again.stdout)["retried"] == 0, again.stderr
    assert [one.state for one in rows(app)] == ["done", "failed"]


def placed_without_row(app: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The uploads of a result whose attempt ended after the rename."""
    files = upload(app.parent, "wu_7", GOOD)

    def locked(_index: object, _row: Row) -> None:
        raise HostError("index-failed", "the index is locked")

    with monkeypatch.context() as patch:
        patch.setattr(index.Index, "put", locked)
        with pytest.raises(HostError):
            run(app, "1", *files)
    return files


def test_a_result_without_its_row_gets_it_though_its_upload_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = write_app(tmp_path)
    files = placed_without_row(app, monkeypatch)
    files[0].write_bytes(tgz({"a.txt": b"other"}))
    assert run(app, "1", *files).state == "failed"
    assert [(one.name[:5], one.state) for one in rows(app)] == [("wu_7", "done"), ("wu_7+", "failed")]
    assert (tmp_path / "results" / "demo" / "0" / "wu_7" / "results.tgz").read_bytes() == GOOD


def test_retry_of_a_failure_whose_better_result_has_no_row_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = write_app(tmp_path)
    failed = run(app, "1", *upload(tmp_path, "wu_7", b"bad"))
    placed_without_row(app, monkeypatch)
    assert module.retry(load(app), failed).state == "done"
    assert [(one.name, one.state) for one in rows(app)] == [("wu_7", "done")]


def test_a_full_disk_is_the_servers_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = write_app(tmp_path)
    files = upload(tmp_path, "wu_7", GOOD)

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HostError, match="disk is full"):
        run(app, "1", *files)
    monkeypatch.undo()
    assert files[0].exists()
    assert run(app, "1", *files).state == "done"


@pytest.mark.parametrize("left", ["wu_7/results.tgz", "wu_7/result.json", "wu_7"])
def test_what_is_left_of_a_removed_result_does_not_stop_the_daemon(tmp_path: Path, left: str) -> None:
    app = write_app(tmp_path)
    home = tmp_path / "results" / "demo" / "0" / "wu_7"
    (home.parent / left).parent.mkdir(parents=True)
    (home.parent / left).write_bytes(b"")
    files = upload(tmp_path, "wu_7", GOOD)
    first = run(app, "1", *files)
    assert (first.state, first.reason) == (
        "failed", "demo/0/wu_7 has no result.json; move it away, then run `results retry`",
    )  # fmt: skip
    assert run(app, "1", *files) == first
    assert module.retry(load(app), first).reason == first.reason
    home.rename(tmp_path / "moved")
    assert module.retry(load(app), first).state == "done"
    assert (home / "results.tgz").read_bytes() == GOOD
    assert [(one.name, one.state) for one in rows(app)] == [("wu_7", "done")]


def test_a_result_whose_home_is_half_removed_is_kept_beside_its_row(tmp_path: Path) -> None:
    app = write_app(tmp_path)
    files = upload(tmp_path, "wu_7", GOOD)
    assert run(app, "1", *files).state == "done"
    (tmp_path / "results" / "demo" / "0" / "wu_7" / "result.json").unlink()
    again = run(app, "1", *files)
    assert again.reason == "another result is recorded under wu_7"
    assert (tmp_path / "results" / str(again.directory) / "results.tgz").read_bytes() == GOOD
    assert [one.state for one in rows(app)] == ["done", "failed"]


def test_every_fault_of_the_disk_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Placement(tmp_path, "demo", "0", "wu_7")
    (place.failed / FAILURE).mkdir(parents=True)
    with pytest.raises(HostError, match=rf"cannot write .*{FAILURE}"):
        place.fail_again({})
    place.begin()

    def broken(_path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(shutil, "rmtree", broken)
    with pytest.raises(HostError, match=r"cannot clear .*Input/output error"):
        place.sweep()


class Killed(BaseException):
    """Stands for kill -9: nothing of ours catches it."""


def _points(monkeypatch: pytest.MonkeyPatch, stop_at: int) -> list[str]:
    """Counts every change of the file system and the index, and is killed at number ``stop_at``."""
    seen: list[str] = []

    def watch(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def wrapped(*args: object, **kwargs: object) -> object:
            seen.append(name)
            if len(seen) == stop_at:
                raise Killed
            if len(seen) > stop_at:
                raise Killed  # a dead process cleans nothing up
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, wrapped)

    for owner, name in [(os, "fsync"), (os, "mkdir"), (os, "rename"), (os, "unlink"), (os, "rmdir")]:
        watch(owner, name)
    watch(index.Index, "put")
    return seen


@pytest.mark.parametrize("data", [GOOD, b"bad"])
def test_killed_at_every_step_and_run_again(tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, ended = 0, False
    while not ended:
        stop += 1
        home = tmp_path / str(stop)
        app = write_app(home)
        files = upload(home, "wu_7", data, log_tgz())
        with monkeypatch.context() as patch:
            _points(patch, stop)
            try:
                run(app, "1", *files)
                ended = True
            except Killed:
                pass
        row = run(app, "1", *files)
        kept = "demo/0" if data is GOOD else "failed/demo"
        assert row.state == ("done" if data is GOOD else "failed")
        assert (home / "results" / kept / "wu_7" / "results.tgz").read_bytes() == data
        assert (home / "results" / kept / "wu_7" / "boinc_log.tgz").exists()
        assert all(path.exists() for path in files)
        assert len(rows(app)) == 1
        assert not list((home / "results" / ".staging").iterdir())
    assert stop > 10
