"""Results as Python programs read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from boinc2docker.errors import HostError, InputError, UsageError
from boinc2docker.results.arguments import parse_assimilate
from boinc2docker.results.assimilate import assimilate
from boinc2docker.results.reading import Results
from boinc2docker.results.settings import load
from tests.results.samples import log_tgz, tgz, upload, write_app

RULES = "def assimilate(result, store):\n    store.record(mean=sum(result.table('x.csv')['v']) / 2)\n"
FILES = {"x.csv": b"t,v\na,1\nb,4\n", "fit/x.json": b'{"label": "7", "fit": [1, 2], "n": 3}'}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """Two results in two batches, one that the rules cannot take, one that ended without a result."""
    path = write_app(tmp_path, rules=RULES)
    settings = load(path)
    for name, files in (("demo_a_1", FILES), ("demo_b_1", FILES), ("demo_b_2", {"y.csv": b"t\n1\n"})):
        words = ["1", *map(str, upload(tmp_path, name, tgz(files), log_tgz(exit_code=0)))]
        assimilate(settings, parse_assimilate(words))
    assimilate(settings, parse_assimilate(["--error", "16", "demo_b_3", "9", "0"]))
    return path


def test_results_are_rows_with_types(app: Path, tmp_path: Path) -> None:
    results = Results.open(settings=app)
    assert [(one.work_unit, one.batch, one.state) for one in results] == [
        ("demo_a_1", "a", "done"),
        ("demo_b_1", "b", "done"),
        ("demo_b_2", "b", "failed"),
        ("demo_b_3", "b", "error"),
    ]
    done = results.find("demo_a_1")
    assert done is not None
    assert (done.exit_code, done.seconds, done.values, done.metrics["memory_peak_mb"]) == (0, 8.5, {"mean": 2.5}, 120)
    assert done.path == tmp_path / "results" / "demo" / "a" / "demo_a_1" / "results"
    assert done.log is not None
    assert done.log.is_file()
    failed, error = results.find("demo_b_2"), results.find("demo_b_3")
    assert failed is not None
    assert failed.path is None
    assert failed.directory == tmp_path / "results" / "failed" / "demo" / "demo_b_2"
    assert "x.csv" in str(failed.reason)
    assert error is not None
    assert (error.directory, error.path, error.log, error.reason) == (None, None, None, "cancelled")
    assert results.find("demo_c_1") is None


def test_results_are_selected(app: Path) -> None:
    results = Results.open(settings=str(app))
    assert [one.work_unit for one in results.select(batch="b", state="done")] == ["demo_b_1"]
    assert [one.work_unit for one in results.select(name="*_1")] == ["demo_a_1", "demo_b_1"]


def test_tables_of_result_files(app: Path) -> None:
    result = Results.open(settings=app).find("demo_a_1")
    assert result is not None
    assert result.table("x.csv") == [{"t": "a", "v": 1.0}, {"t": "b", "v": 4.0}]
    assert result.columns("fit/x.json") == {"fit": [1.0, 2.0], "fit[]": [2.0], "label": ["7"], "n": [3.0]}
    assert result.files() == ["fit/x.json", "x.csv"]
    assert result.file("x.csv").read_bytes() == FILES["x.csv"]
    with pytest.raises(InputError, match=r"the columns of fit/x\.json have \[1, 2\] rows"):
        result.table("fit/x.json")


@pytest.mark.parametrize("name", ["none.csv", "../result.json", "/etc/passwd", "out.csv", "fit"])
def test_no_file_is_read_that_is_not_the_results_own(app: Path, name: str) -> None:
    result = Results.open(settings=app).find("demo_a_1")
    assert result is not None
    assert result.path is not None
    (result.path / "out.csv").symlink_to("/etc/passwd")
    assert not result.has(name)
    with pytest.raises(InputError, match="has no result file"):
        result.table(name)


def test_a_table_that_is_none_is_named_with_its_work_unit(app: Path) -> None:
    result = Results.open(settings=app).find("demo_a_1")
    assert result is not None
    result.file("x.csv").write_bytes(b"a,b\n1\n")
    with pytest.raises(InputError, match=r"demo_a_1: x\.csv: row 1 has 1 cells, expected 2"):
        result.table("x.csv")


def test_results_of_an_installed_app(app: Path, tmp_path: Path) -> None:
    (tmp_path / "demo.toml").write_bytes(app.read_bytes())
    app.unlink()
    assert len(list(Results.open(project=tmp_path, app="demo"))) == 4
    with pytest.raises(UsageError, match=r"no app other is installed.*there is no other\.toml"):
        Results.open(project=tmp_path, app="other")
    with pytest.raises(UsageError):
        Results.open(settings=app, app="demo")


def test_before_anything_came_back_there_is_no_index(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="there is no index"):
        list(Results.open(settings=write_app(tmp_path)))
