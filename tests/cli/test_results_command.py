"""What a scientist does with results: the worked example of app_template, and a fault in a project's rules."""

from __future__ import annotations

import csv
import json
import resource
import runpy
import shlex
import shutil
from pathlib import Path

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.cli.results import Options, results_command
from boinc2docker.errors import HostError, InputError, UsageError
from boinc2docker.results import row_text
from boinc2docker.results.arguments import parse_assimilate
from boinc2docker.results.assimilate import assimilate
from boinc2docker.results.model import InvalidError, Result, Store
from boinc2docker.results.row_text import natural
from boinc2docker.results.rules import load as load_rules
from boinc2docker.results.settings import _Table, load
from tests.conftest import call, typed
from tests.equipment import documents
from tests.equipment.checkout import PROJECT_ROOT
from tests.results.samples import log_tgz, tgz, upload, write_app
from tests.results.test_assimilate import rows, script

EXAMPLE = PROJECT_ROOT / "app_template" / "examples" / "pi"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example's app with a sweep of results: four seeds of three numbers of darts, one cheat, one cancelled."""
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    app = tmp_path / "app.toml"
    estimate = runpy.run_path(str(EXAMPLE / "estimate.py"))["estimate"]
    settings = load(app)
    for number in range(12):
        darts = 10 ** (1 + number % 3)
        record = {"seed": number, "darts": darts, "pi": estimate(number, darts)}
        files = upload(tmp_path, f"pi_sweep_{number}", tgz({"pi.json": json.dumps(record).encode()}), log_tgz())
        assert script(app, *files, name="validator_init").returncode == 0 if number == 0 else True
        assimilate(settings, parse_assimilate([str(number), *(str(path) for path in files)]))
    assimilate(settings, parse_assimilate(["--error", "16", "pi_sweep_12", "12", "3"]))
    return app


def test_the_pi_example_from_results_to_the_plot(example: Path) -> None:
    def results(*words: str | Path) -> str:
        done = call("results", *words, "--settings", example, cwd=PROJECT_ROOT)
        assert done.returncode == 0, done.stderr
        return done.stdout

    work = example.parent
    listed = json.loads(results("ls", "--batch", "sweep", "--json"))
    assert (listed["done"], listed["error"], len(listed["workunits"])) == (12, 1, 13)
    assert "cancelled" in results("ls", "--state", "error")
    assert json.loads(results("show", "pi_sweep_3", "--json"))["recorded"]["seed"] == 3
    results("export", "--state", "done", "--csv", work / "all.csv", "--parquet", work / "all.parquet")
    with (work / "all.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert sorted(int(line["seed"]) for line in table) == list(range(12))
    assert all(abs(float(line["pi"]) - 3.14159) < 1.3 for line in table)
    assert {line["memory_peak_mb"] for line in table} == {"120"}
    arrow = pyarrow.parquet.read_table(work / "all.parquet")
    assert arrow.num_rows == 12
    assert [float(line["pi"]) for line in table] == arrow.column("pi").to_pylist()
    chosen = results("export", "--column", "name", "--column", "pi.json:pi", "--name", "pi_sweep_1*", "--state", "done")
    assert chosen.splitlines()[0] == "name,pi.json:pi"
    assert len(chosen.splitlines()) == 4
    for name, magic in (("p.png", b"\x89PNG"), ("p.svg", b"<?xml")):
        results("plot", "darts", "error", "--output", work / name)
        first = (work / name).read_bytes()
        assert first.startswith(magic)
    results("plot", "darts", "error", "--output", work / "p.svg")
    assert (work / "p.svg").read_bytes() == first


def test_the_documents_commands_for_results(example: Path, checkout: Path) -> None:
    """As printed, in a checkout, for this app in place of the one that is installed in a project."""
    lines = documents.run_with_results()
    for line in lines:
        here = line.replace(f"{documents.PROJECT}/pi.toml", str(example))
        here = here.replace(f"--project {documents.PROJECT}", f"--settings {example}").replace("boinc2docker_", "pi_")
        done = typed(shlex.split(here), checkout)
        assert done.returncode == 0, (line, done.stderr)
    assert len(lines) > 6
    assert (checkout / "sweep.csv").read_text().startswith("name,pi.json:darts\npi_sweep_0,10")
    assert (checkout / "error.svg").read_text().startswith("<?xml")


def test_the_example_rejects_a_cheat_and_compares_numbers(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    app = tmp_path / "app.toml"

    def result(pi: float, replica: int = 0) -> list[Path]:
        record = {"seed": 1, "darts": 10_000, "pi": pi}
        return upload(tmp_path, "s_1", tgz({"pi.json": json.dumps(record).encode()}), log_tgz(), replica=replica)

    honest = result(3.1416)
    assert script(app, *honest, name="validator_init").returncode == 0
    assert script(app, *honest, *result(3.1416 + 1e-13, 1), name="validator_compare").returncode == 0
    assert script(app, *honest, *result(3.1417, 2), name="validator_compare").returncode == 9
    assert script(app, *result(3.0), name="validator_init").returncode == 9


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"pi": "x", "darts": 9, "seed": 1}',
        '{"pi": 3.1, "darts": true, "seed": 1}',
        f'{{"pi": 3.1, "darts": 1{"0" * 400}, "seed": 1}}',
        '{"pi": NaN, "darts": 9, "seed": 1}',
        '{"pi": 3, "darts": 9}',
    ],
)
def test_the_example_rejects_what_is_no_estimate(tmp_path: Path, text: str) -> None:
    (tmp_path / "pi.json").write_text(text)
    rules = load_rules(EXAMPLE / "rules.py")
    assert rules is not None
    result = Result("pi", "s_1", tmp_path)
    assert not rules.validate(result)
    with pytest.raises(InvalidError):
        rules.assimilate(result, Store(tmp_path))
    (tmp_path / "pi.json").write_text('{"pi": 3.1, "darts": 9, "seed": 1}')
    assert rules.validate(result)


FAULTY = "def assimilate(result, store):\n    store.record(half=1)\n    unknown_name\n"


def test_a_fault_in_the_rules_keeps_the_result_and_retry_brings_it_home(tmp_path: Path) -> None:
    app = write_app(tmp_path, rules=FAULTY)
    done = script(app, "5", *upload(tmp_path, "wu", tgz({"a.csv": b"t,v\n1,2\n3,4\n"}), log_tgz()))
    assert done.returncode == 0, done.stderr
    assert "rules.py line 3, in assimilate: NameError" in done.stderr
    again = call("results", "retry", "--settings", app)
    assert again.returncode == 1
    assert "NameError" in again.stdout
    write_app(tmp_path, rules="def assimilate(result, store):\n    store.record(v=sum(result.table('a.csv')['v']))\n")
    again = call("results", "retry", "--settings", app, "--json")
    assert again.returncode == 0, again.stderr
    (row,) = rows(app)
    assert (row.state, row.id, row.exit_code, row.recorded) == ("done", 5, 0, {"v": 6.0})
    assert not (tmp_path / "results" / "failed" / "demo" / "wu").exists()
    assert (tmp_path / "results" / "demo" / "0" / "wu" / "results" / "a.csv").exists()
    exported = call("results", "export", "--settings", app, "--column", "name", "--column", "a.csv:v").stdout
    assert exported.splitlines() == ["name,a.csv:v", "wu,2.0", "wu,4.0"]


def test_a_failure_whose_files_are_gone_does_not_end_the_retry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = write_app(tmp_path, rules=FAULTY)
    for name in ("wu_1", "wu_2"):
        assimilate(load(app), parse_assimilate(["1", *map(str, upload(tmp_path, name, tgz({})))]))
    shutil.rmtree(tmp_path / "results" / "failed" / "demo" / "wu_1")
    write_app(tmp_path)
    assert results_command("retry", Options(app)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("wu_1: failed: the directory")
    assert lines[1:] == ["wu_2: done", "1 of 2 are done now"]


def test_texts_of_json_are_exported_without_quotes(tmp_path: Path) -> None:
    app = write_app(tmp_path)
    script(app, "1", *upload(tmp_path, "wu", tgz({"a.json": b'{"t": "x y", "n": 2}'})))
    words = ["--column", "a.json:t", "--column", "a.json:n"]
    exported = call("results", "export", "--settings", app, *words).stdout
    assert exported.splitlines()[1] == "x y,2.0"


def test_an_export_reads_no_more_cells_than_a_validator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = write_app(tmp_path)
    script(app, "1", *upload(tmp_path, "wu", tgz({"a.csv": b"1," * 6_000_000 + b"1\n"}, level=0)))
    began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=r"wu: a\.csv has more than 5000000 cells"):
        results_command("export", Options(app, columns=["name", "a.csv:1"]))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - began < 200_000, "kB, beside 12 MB of text"
    monkeypatch.setattr("boinc2docker.results.tables.MOST_COLUMNS", 10)
    script(app, "2", *upload(tmp_path, "wide", tgz({"a.csv": b"1," * 10 + b"1\n"})))
    with pytest.raises(InputError, match=r"wide: a\.csv has more than 10 columns"):
        results_command("export", Options(app, name="wide", columns=["a.csv:1"]))


def test_ls_is_a_table_in_natural_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = write_app(tmp_path)
    settings = load(app)
    for name in ("demo_b_10", "demo_b_2", "demo_b_1", "demo_a10_1", "demo_a9_1"):
        log = log_tgz(exit_code=7, kept=True) if name == "demo_b_2" else log_tgz()
        assimilate(settings, parse_assimilate(["1", *map(str, upload(tmp_path, name, tgz({}), log))]))
    assimilate(settings, parse_assimilate(["--error", "2", "demo_b_3\x1b[2J", "9", "0"]))
    assert results_command("ls", Options(app)) == 0
    header, *lines, total = capsys.readouterr().out.splitlines()
    assert header.split() == ["BATCH", "NAME", "STATE", "EXIT", "TIME", "REASON"]
    shown = [line.split() for line in lines]
    assert [(one[1], one[2]) for one in shown] == [
        ("demo_b_3\\x1b[2J", "error"),
        ("demo_a9_1", "done"), ("demo_a10_1", "done"),
        ("demo_b_1", "done"), ("demo_b_2", "kept"), ("demo_b_10", "done"),
    ]  # fmt: skip
    assert shown[4] == ["b", "demo_b_2", "kept", "7", "8.5", "s"]
    assert total == "6 work units of demo: 5 done (1 of them kept failures), 0 failed, 1 error"
    assert (
        len({line.index(word) for line, word in zip(lines, ("error", *["done"] * 3, "kept", "done"), strict=True)}) == 1
    )
    assert results_command("ls", Options(app, state="kept")) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("1 work unit of demo: 1 done (1 of them")
    assert results_command("export", Options(app, columns=["name", "exit_code", "kept"], state="kept")) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["demo_b_2,7,True"]


def test_show_lays_out_what_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = "def assimilate(result, store):\n    store.record(pi=3.14159265, note='two\\nlines\\x1b[2J')\n"
    app = write_app(tmp_path, rules=rule)
    assimilate(load(app), parse_assimilate(["1", *map(str, upload(tmp_path, "demo_b_1", tgz({}), log_tgz()))]))
    assert results_command("show", Options(app, ["demo_b_1"])) == 0
    shown = capsys.readouterr().out
    home = tmp_path / "results" / "demo" / "b" / "demo_b_1"
    assert "recorded by the project's rules:\n  note              two\n" in shown
    assert "\n                    lines\\x1b[2J\n  pi                3.14159\n" in shown
    assert "\n  marks             init 3 s, run 52 s, results 60.5 s, report 61 s\n" in shown
    assert f"files:\n  result files      {home}/results\n  log               {home}/boinc_log.tgz\n" in shown
    assert "{" not in shown


@pytest.mark.parametrize("value", [365.78999999999996, 0.1 + 0.2, 1e-9, 12345678.0, 3.14159265358979])
def test_numbers_are_rounded_for_people(value: float) -> None:
    assert len(row_text.number(value)) <= 8
    assert abs(float(row_text.number(value)) - value) <= 1e-5 * value


@given(st.text("ab.019_", max_size=6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_numbers_in_names_sort_as_numbers(text: str, a: int, b: int) -> None:
    assert (natural(f"{text}_{a}_x") < natural(f"{text}_{b}_x")) == (a < b)


@pytest.fixture
def energies(tmp_path: Path) -> Path:
    """An app with a result that recorded an energy, and one that did not."""
    rule = "def assimilate(result, store):\n    if result.name != 'wu_2': store.record(energy=1)\n"
    app = write_app(tmp_path, rules=rule)
    for name in ("wu_1", "wu_2"):
        files = upload(tmp_path, name, tgz({"x.csv": b"t,v\n1,2\n", "empty.csv": b"a,b\n"}))
        assimilate(load(app), parse_assimilate(["1", *map(str, files)]))
    return app


@pytest.mark.parametrize(
    ("column", "told", "hint"),
    [
        ("enrgy", "no result has a column enrgy", "did you mean energy? columns: app, name, id, "),
        ("nosuch", "no result has a column nosuch", "columns: app, name, id, "),
        ("x.csv:w", "x.csv has no column w", "columns: t, v"),
        ("x.cvs:t", "no result has a file x.cvs", "did you mean x.csv? files: empty.csv, x.csv"),
        ("\x1b[2J", r"no result has a column \x1b[2J", "columns: app, "),
    ],
)
def test_an_unknown_column_writes_nothing(energies: Path, tmp_path: Path, column: str, told: str, hint: str) -> None:
    options = Options(energies, columns=["name", column], csv=tmp_path / "x.csv", parquet=tmp_path / "x.parquet")
    with pytest.raises(UsageError) as caught:
        results_command("export", options)
    assert caught.value.message == told
    assert str(caught.value.hint).startswith(hint)
    assert not (tmp_path / "x.csv").exists()
    assert not (tmp_path / "x.parquet").exists()


def test_a_column_that_only_other_results_have_is_empty(energies: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = Options(energies, name="wu_2", columns=["name", "energy", "error_mask", "empty.csv:a"])
    assert results_command("export", options) == 0
    found = capsys.readouterr()
    assert found.out == "name,energy,error_mask,empty.csv:a\nwu_2,,,\n"
    assert found.err == "".join(
        f"warning: none of these results has a value for {name}\n" for name in ("energy", "empty.csv:a")
    )


def test_before_a_result_is_done_no_column_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = write_app(tmp_path)
    assimilate(load(app), parse_assimilate(["--error", "16", "wu", "1", "0"]))
    assert results_command("export", Options(app, columns=["name", "energy"])) == 0
    assert capsys.readouterr().out == "name,energy\nwu,\n"


def test_a_missing_package_leaves_no_half_export(
    energies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise HostError("library-missing", "pyarrow is not installed")

    monkeypatch.setattr("boinc2docker.cli.results.write_parquet", missing)
    with pytest.raises(HostError):
        results_command("export", Options(energies, csv=tmp_path / "x.csv", parquet=tmp_path / "x.parquet"))
    assert not (tmp_path / "x.csv").exists()


def test_links_and_pipes_that_a_rule_leaves_stop_nothing(tmp_path: Path) -> None:
    rule = "import os\ndef assimilate(result, store):\n    os.mkfifo(store.directory / 'p')\n"
    rule += "    (store.directory / 'l').symlink_to('nowhere')\n"
    app = write_app(tmp_path, rules=rule)
    files = upload(tmp_path, "wu", tgz({"a": b"x"}))
    assert assimilate(load(app), parse_assimilate(["1", *map(str, files)])).state == "done"


def test_texts_that_are_no_unicode_do_not_stop_an_export(tmp_path: Path) -> None:
    app = write_app(tmp_path, rules="def assimilate(result, store):\n    store.record(t=result.json('a.json')['t'])\n")
    settings = load(app)
    marks = {"\ud800": 1.0}
    files = upload(tmp_path, "wu", tgz({"a.json": b'{"t": "\\ud801"}'}), log_tgz(message="\ud802", marks=marks))
    row = assimilate(settings, parse_assimilate(["1", *map(str, files)]))
    assert (row.metrics["marks"], row.recorded) == ({r"\ud800": 1.0}, {"t": r"\ud801"})
    options = Options(app, csv=tmp_path / "x.csv", columns=["message", "t", "a.json:t"])
    assert results_command("export", options) == 0
    assert (tmp_path / "x.csv").read_text().splitlines()[1] == r"\ud802,\ud801,\ud801"


def test_a_rule_that_does_not_parse_is_told_with_its_line(tmp_path: Path) -> None:
    app = write_app(tmp_path, rules="x = 1\ndef assimilate(:\n")
    done = script(app, *upload(tmp_path, "wu", tgz({})))
    assert done.returncode == 0
    assert "rules.py line 2" in done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["frobnicate"], 2),
        (["show"], 2),
        (["ls", "--state", "lost"], 2),
        (["plot", "seconds"], 2),
        (["plot", "id", "name"], 1),
        (["export", "--column", "x"], 0),
        (["plot", "seconds", "seconds", "--log", "z"], 2),
        (["plot", "seconds", "seconds", "--output", "x.pdf"], 2),
        (["show", "nobody"], 1),
    ],
)
def test_wrong_commands(tmp_path: Path, words: list[str], code: int) -> None:
    app = write_app(tmp_path)
    assert script(app, "--error", "2", "wu", "1", "0").returncode == 0
    done = call("results", *words, "--settings", app)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("name = 1", "name"),
        ('name = "../x"', "name"),
        ('name = "failed"', "name"),
        ('name = "a"\n[results]\nunpak = true', "unpak"),
        ('name = "a"\n[results]\nunpack = 1', "results.unpack"),
        ('name = "a"\n[results.limits]\nfiles = 0', "results.limits.files"),
        ('name = "a"\n[results]\ntokens = ["wu"]', "wu"),
        ('name = "a"\n[results]\nbatch_pattern = "x"', "batch_pattern"),
        ('name = "a"\n[results]\noutputs = ["../x"]', "outputs"),
        ('name = "a"\n[validator]\nmethod = "exact"', "exact"),
        ('name = "a"\n[[validator.tolerance]]\nabsolute = -1', "validator.tolerance.absolute"),
        ('name = "a"\n[[validator.tolerance]]\nabs = 1', "abs"),
    ],
)
def test_wrong_settings_name_the_key(tmp_path: Path, text: str, names: str) -> None:
    path = tmp_path / "app.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=names.replace(".", r"\.")):
        load(path)


def test_the_template_has_every_setting_of_results(monkeypatch: pytest.MonkeyPatch) -> None:
    absent: set[str] = set()
    monkeypatch.setattr(_Table, "no_more", lambda table: absent.update(table.known - set(table.values)))
    load(PROJECT_ROOT / "app_template" / "app.toml")
    assert absent == {"tolerance"}, "which is there as a comment"


@pytest.mark.parametrize("name", ["assimilator", "validator_init", "validator_compare"])
def test_the_daemons_directory_is_not_where_python_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "builder.py").write_text("raise SystemExit(0)\n")
    monkeypatch.chdir(tmp_path)
    assert script(write_app(tmp_path / "app"), name=name).returncode == (2 if name == "assimilator" else 3)
