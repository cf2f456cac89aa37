"""The stand-ins keep BOINC's rules, else what they prove of our code is worth nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from boinc2docker.project.hierarchy import directory
from tests.equipment.boinc_project import BoincProject
from tests.equipment.stand_ins.create_work import words_of
from tests.equipment.stand_ins.server import md5_of, place

TEMPLATE = """\
<input_template>
<file_info><physical_name>b2d_layer</physical_name><sticky/><no_delete/></file_info>
<file_info></file_info>
<workunit>
<file_ref><open_name>shared/image/layer</open_name></file_ref>
<file_ref><open_name>shared/boinc_app</open_name><copy_file/></file_ref>
<rsc_memory_bound>2e9</rsc_memory_bound>
<target_nresults>3</target_nresults>
</workunit>
</input_template>
"""
OPTIONS = ("--appname", "boinc2docker", "--wu_template", "template")


def run(project: BoincProject, program: str, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [f"bin/{program}", *words], cwd=project.root, input=stdin, capture_output=True, text=True, check=False
    )


@pytest.fixture
def ready(boinc_project: BoincProject) -> BoincProject:
    """A template of a constant and a variable file, and three staged files."""
    (boinc_project.root / "template").write_text(TEMPLATE)
    for name in ("b2d_layer", "app1", "app2"):
        path = boinc_project.root / "download" / place(name, 1024)
        path.parent.mkdir(exist_ok=True)
        path.write_text(name * 3)
        path.with_name(f"{name}.md5").write_text(f"{md5_of(path)} {len(name) * 3}\n")
    return boinc_project


def test_the_hash_directories_are_those_of_published_addresses() -> None:
    """Two files of a project that is long gone; their addresses are in BOINC's issue 1572."""
    layer = "layer_c5b76880fa89541cccd5ea8971a481bcf63993d8ae1447285d440497d65451a7.tar"
    app = "boinc_app_3bbd7335ffe44fb983ae97645f07b259"
    for name, where in ((layer, "134"), (app, "377")):
        assert place(name, 1024) == f"{where}/{name}"
        assert directory(name, 1024) == where


def test_a_single_job_gets_the_templates_numbers_and_the_defaults(ready: BoincProject) -> None:
    done = run(ready, "create_work", *OPTIONS, "--rsc_memory_bound", "1", "-verbose", "app1")
    assert done.returncode == 0
    name = done.stdout.removeprefix("workunit name: ").strip()
    (row,) = ready.rows("select * from workunit")
    assert (row["name"], row["rsc_memory_bound"], row["delay_bound"]) == (name, 2e9, 604800)
    assert (row["target_nresults"], row["max_total_results"], row["max_error_results"]) == (3, 3, 1)
    assert done.stderr == f"created workunit; name {name}, ID {row['id']}\n"
    layer, app = row["xml_doc"].decode().split("</file_info>")[:2]
    assert f"<url>http://127.0.0.1/sample/download/{place('b2d_layer', 1024)}</url>" in layer
    assert "<sticky/>" in layer
    assert "<name>app1</name>" in app


def test_a_missing_result_template_is_success_without_a_job(ready: BoincProject) -> None:
    (ready.root / "templates" / "boinc2docker_out").unlink()
    for words, stdin in ((("app1",), ""), (("--stdin",), "app1\napp2\n")):
        done = run(ready, "create_work", *OPTIONS, *words, stdin=stdin)
        assert done.returncode == 0
        assert "doesn't exist" in done.stderr
    assert ready.rows("select * from workunit") == []


REFUSED = (
    (("app1", "app2"), "2 input files given, but template has 1"),
    ((), "Too few var input files given; need at least 1"),
    (("nowhere",), "can't open"),
    (("--appname", "other", "app1"), "app not found"),
    (("--no_such_option", "app1"), "bad argument"),
    (("--result_template", "templates/" + "x" * 53, "app1"), "max is 62"),
    (("--wu_name", "a'b", "app1"), "SQL syntax"),
)


def test_what_is_refused(ready: BoincProject) -> None:
    (ready.root / "templates" / ("x" * 53)).touch()
    for words, told in REFUSED:
        done = run(ready, "create_work", *OPTIONS, *words)
        assert (done.returncode, told in done.stderr) == (1, True), done.stderr
    assert ready.rows("select * from workunit") == []


def test_the_limit_of_the_xml(ready: BoincProject) -> None:
    filled = len(ready_xml(ready))
    for more, status in ((65535 - filled - len("<x></x>\n"), 0), (65535 - filled - len("<x></x>\n") + 1, 1)):
        text = TEMPLATE.replace("<rsc_memory", f"<x>{'y' * more}</x><rsc_memory")
        (ready.root / "template").write_text(text)
        assert run(ready, "create_work", *OPTIONS, "--wu_name", f"w{more}", "app1").returncode == status


def ready_xml(ready: BoincProject) -> bytes:
    assert run(ready, "create_work", *OPTIONS, "--wu_name", "first", "app1").returncode == 0
    (row,) = ready.rows("select xml_doc from workunit")
    return bytes(row["xml_doc"])


def test_many_jobs_are_one_statement_and_a_taken_name_undoes_it(ready: BoincProject) -> None:
    assert run(ready, "create_work", *OPTIONS, "--wu_name", "n", "--stdin", stdin="app1\napp2\n").returncode == 0
    assert [row["name"] for row in ready.rows("select name from workunit order by id")] == ["n_0", "n_1"]
    done = run(ready, "create_work", *OPTIONS, "--stdin", stdin="--wu_name new app1\n--wu_name n_0 app1\n")
    assert done.returncode == 1
    assert "Duplicate entry 'n_0'" in done.stderr
    assert len(ready.rows("select name from workunit")) == 2


def test_a_bad_line_stops_the_rest_unless_told_otherwise(ready: BoincProject) -> None:
    lines = "--wu_name a app1\n--wu_name b nowhere\n--wu_name c app2\n"
    assert run(ready, "create_work", *OPTIONS, "--stdin", stdin=lines).returncode == 1
    assert ready.rows("select name from workunit") == []
    done = run(ready, "create_work", *OPTIONS, "--stdin", "--continue_on_error", stdin=lines)
    assert done.returncode == 0
    assert [row["name"] for row in ready.rows("select name from workunit")] == ["a", "c"]
    assert run(ready, "create_work", *OPTIONS, "--stdin", stdin="--batch 3 app1\n").returncode == 1


def test_lines_are_short(ready: BoincProject) -> None:
    """fgets() into 4096 bytes, and a full buffer is refused: 4094 bytes with the newline are the most."""
    for length, status in ((4094, 0), (4095, 1)):
        line = f"--wu_name l{length} --command_line '".ljust(length - 7, "x") + "' app1\n"
        assert len(line) == length
        assert run(ready, "create_work", *OPTIONS, "--stdin", stdin=line).returncode == status


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a  b\tc\n", ["a", "b", "c"]),
        ("'a b' \"c d\"\n", ["a b", "c d"]),
        ("it's 'a\\' b", ["it's", "a\\", "b"]),
        ("x'y z'\n", ["x'y", "z'"]),
        ("'' a 'b'\n", ["' a ", "b'"]),
    ],
)
def test_quotes_of_lines_have_no_escapes(line: str, words: list[str]) -> None:
    assert words_of(line) == words


def test_an_old_md5_file_is_deleted_and_a_constant_needs_one(ready: BoincProject) -> None:
    beside = ready.root / "download" / (place("b2d_layer", 1024) + ".md5")
    os.utime(beside, (1, 1))
    done = run(ready, "create_work", *OPTIONS, "app1")
    assert done.returncode == 1
    assert "missing MD5 info file for b2d_layer" in done.stderr
    assert not beside.exists()


def test_cancelling_marks_the_work_unit_and_ends_what_was_not_sent(ready: BoincProject) -> None:
    assert run(ready, "create_work", *OPTIONS, "--wu_name", "n", "--stdin", stdin="app1\napp2\n").returncode == 0
    first, second = (row["id"] for row in ready.rows("select id from workunit order by id"))
    for number, (unit, state) in enumerate([(first, 2), (first, 4), (second, 2)]):
        ready.execute(
            "insert into result (create_time, workunitid, server_state, outcome, hostid, report_deadline, sent_time, "
            "received_time, name, validate_state, exit_status, appid, elapsed_time) "
            "values (1, %s, %s, 0, 0, 0, 0, 0, %s, 0, 0, 1, 0)",
            unit,
            state,
            f"r{number}",
        )
    assert run(ready, "cancel_jobs", str(first), str(first)).returncode == 0
    assert [row["error_mask"] for row in ready.rows("select error_mask from workunit order by id")] == [16, 0]
    assert [row["server_state"] for row in ready.rows("select server_state from result order by id")] == [5, 4, 2]
    assert run(ready, "cancel_jobs", "--name", "nobody").returncode == 1


def test_staging_refuses_other_content(ready: BoincProject, tmp_path: Path) -> None:
    (tmp_path / "app1").write_text("other")
    done = run(ready, "stage_file", "--copy", str(tmp_path / "app1"))
    assert (done.returncode, "different contents" in done.stdout) == (1, True)
    path = run(ready, "dir_hier_path", "app1").stdout.strip()
    assert Path(path).read_text() == "app1" * 3
    (tmp_path / "new").write_text("new")
    assert run(ready, "stage_file", str(tmp_path / "new")).returncode == 0
    staged = Path(run(ready, "dir_hier_path", "new").stdout.strip())
    assert (staged.read_text(), (tmp_path / "new").exists()) == ("new", False)
    assert staged.with_name("new.md5").read_text() == f"{md5_of(staged)} 3\n"
