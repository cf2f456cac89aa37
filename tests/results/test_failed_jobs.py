"""What a failed work unit leaves: rows of BOINC's database, and logs in the upload directory that nobody names."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from boinc2docker.cli.results import Options, results_command
from boinc2docker.errors import UsageError
from boinc2docker.project.project import Project
from boinc2docker.project.tries import uploads
from boinc2docker.results.arguments import parse_assimilate
from boinc2docker.results.assimilate import assimilate
from boinc2docker.results.index import Row, opened
from boinc2docker.results.settings import load
from boinc2docker.submission.batch.submit_many import submit_many
from tests.conftest import call
from tests.equipment.boinc_project import BoincProject
from tests.results.samples import log_tgz, tgz, tree, write_app
from tests.results.test_assimilate import rows, script
from tests.submission.batch.test_batch import SmallPlanner, numbered

APP = "demo"
DOCUMENT = """<file_info>
    <name>{result}_r77_0.tgz</name>
    <max_nbytes>1000000000</max_nbytes>
</file_info>
<file_info>
    <name>{result}_r77_1.log.tgz</name>
    <max_nbytes>20000.000000</max_nbytes>
</file_info>
<result>
    <file_ref>
        <file_name>{result}_r77_0.tgz</file_name>
        <open_name>shared/results.tgz</open_name>
    </file_ref>
    <file_ref>
        <file_name>{result}_r77_1.log.tgz</file_name>
        <open_name>shared/boinc_log.tgz</open_name>
        <optional/>
    </file_ref>
</result>"""
STDERR = """<core_client_version>7.20.5</core_client_version>
<![CDATA[
<message>
process exited with code 7 (0x7, -249)</message>
<stderr_txt>
2026-11-27 10:00:00 (123): Guest Log: run: the container ended with 7
2026-11-27 10:00:01 (123): \x1b[2JForged
</stderr_txt>
]]>
"""


class Server:
    """A project with the app demo, its settings as package-app installs them, and jobs that failed."""

    def __init__(self, project: BoincProject) -> None:
        self.boinc = project
        self.root = project.root
        self.app_id = project.add_app(APP)
        self.settings = write_app(self.root).rename(self.root / f"{APP}.toml")

    def unit(self, name: str, *, batch: int = 0, xml: str = "") -> int:
        return self.boinc.execute(
            "insert into workunit (create_time, appid, name, xml_doc, batch, rsc_fpops_est, rsc_fpops_bound, "
            "rsc_memory_bound, rsc_disk_bound, canonical_credit, transition_time, delay_bound, hr_class, min_quorum, "
            "target_nresults, max_error_results, max_total_results, max_success_results, result_template_file, "
            "priority, transitioner_flags, keywords, app_version_num) "
            "values (1, %s, %s, %s, %s, 1, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, '', 0, 0, '', 0)",
            self.app_id, name, xml, batch,
        )  # fmt: skip

    def attempt(self, unit: int, result: str, *, log: bytes | None = None, outcome: int = 3, status: int = 7) -> Path:
        """A result that is over; returns where its log lies, or would."""
        self.boinc.execute(
            "insert into result (create_time, workunitid, server_state, outcome, hostid, report_deadline, sent_time, "
            "received_time, name, validate_state, exit_status, appid, elapsed_time, xml_doc_in, stderr_out) "
            "values (1, %s, 5, %s, 12, 0, 0, 0, %s, 0, %s, %s, 365.78999999999996, %s, %s)",
            unit, outcome, result, status, self.app_id, DOCUMENT.format(result=result), STDERR,
        )  # fmt: skip
        name = f"{result}_r77_1.log.tgz"
        fan = f"{int(hashlib.md5(name.encode()).hexdigest()[1:8], 16) % 1024:x}"
        path = self.root / "upload" / fan / name
        path.parent.mkdir(exist_ok=True)
        if log is not None:
            path.write_bytes(log)
        return path

    def error(self, name: str, mask: int = 2, unit: int = 1, batch: int = 0) -> Row:
        done = script(self.settings, "--error", str(mask), name, str(unit), str(batch))
        assert done.returncode == 0, done.stderr
        return next(row for row in rows(self.settings) if row.name == name)

    @property
    def failed(self) -> Path:
        return self.root / "results" / "failed" / APP


@pytest.fixture
def server(boinc_project: BoincProject) -> Server:
    return Server(boinc_project)


LOG = log_tgz(exit_code=7, failed_phase="run", message="the container ended with 7")


def test_the_logs_of_a_failed_job_are_kept_with_their_reason(server: Server) -> None:
    unit = server.unit("wu")
    server.attempt(unit, "wu_0", log=log_tgz(exit_code=5))
    server.attempt(unit, "wu_1")
    kept = server.attempt(unit, "wu_2", log=LOG)
    row = server.error("wu", unit=unit)
    assert (row.state, row.exit_code, row.error_mask) == ("error", 7, 2)
    assert row.reason == "too many errors; exit code 7; in the phase run; the container ended with 7"
    assert row.metrics["failed_phase"] == "run"
    assert row.directory == f"failed/{APP}/wu"
    assert tree(server.failed / "wu").keys() == {"boinc_log.tgz", "boinc_log.0.tgz", "error.json"}
    assert (server.failed / "wu" / "boinc_log.tgz").read_bytes() == LOG
    assert kept.exists(), "BOINC's own file_deleter removes it"
    kept.unlink()
    assert server.error("wu", unit=unit) == row, "asked again, when the newest is gone"
    with opened(load(server.settings).directory) as index:
        index._connection.execute("delete from work_units")
        index._connection.commit()
    assert server.error("wu", unit=unit) == row, "killed before it wrote its row"
    assert tree(server.failed / "wu").keys() == {"boinc_log.tgz", "boinc_log.0.tgz", "error.json"}
    assert not list((server.root / "results" / ".staging").iterdir())


def test_without_a_log_the_database_tells(server: Server) -> None:
    server.attempt(server.unit("wu"), "wu_0")
    row = server.error("wu")
    assert (row.exit_code, row.outputs, row.directory) == (7, {}, None)
    assert row.reason == "too many errors; exit code 7; process exited with code 7 (0x7, -249)"
    assert not server.failed.exists()
    server.attempt(server.unit("nobody"), "nobody_0", outcome=5, status=0)
    assert server.error("nobody", mask=16).reason == "cancelled"


@pytest.mark.parametrize(
    ("log", "kept", "says"),
    [
        (b"", True, ""),
        (b"no archive", True, ""),
        (tgz({"../x": b""}), True, ""),
        (tgz({"job.json": b"[" * 100_000}), True, ""),
        (b"x" * 20_001, False, "the log of wu_0 was not kept: 20001 bytes, the server allows 20000"),
    ],
)
def test_a_bad_log_breaks_nothing(server: Server, log: bytes, kept: bool, says: str) -> None:
    server.attempt(server.unit("wu"), "wu_0", log=log)
    row = server.error("wu")
    assert (row.state, row.exit_code, bool(row.outputs)) == ("error", 7, kept)
    assert says in (row.reason or "")
    assert call("results", "show", "wu", "--settings", server.settings).returncode == 0


def test_no_link_and_no_pipe_is_followed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    unit = server.unit("wu")
    server.attempt(unit, "wu_0").symlink_to(tmp_path / "secret")
    os.mkfifo(server.attempt(unit, "wu_1"))
    row = server.error("wu")
    assert row.outputs == {}
    assert (row.reason or "").count("is not a regular file") == 2


def test_names_that_are_no_plain_ones_are_no_uploads(server: Server) -> None:
    project = Project.open(server.root)
    for name in ("../../keys/code_sign_private", "/etc/passwd", "..", "a b", "a\nb", ""):
        document = DOCUMENT.replace("{result}_r77_0.tgz", name).replace("{result}_r77_1.log.tgz", name)
        assert uploads(project, document) == ()
    (_, log) = uploads(project, DOCUMENT.format(result="wu_0"))
    assert (log.name, log.most_bytes) == ("boinc_log.tgz", 20000)
    assert log.path.is_relative_to(server.root / "upload")


def test_a_result_that_is_there_is_not_touched_by_an_error(server: Server) -> None:
    unit = server.unit("wu")
    server.attempt(unit, "wu_0", log=LOG)
    home = server.root / "upload" / "3f"
    home.mkdir(parents=True, exist_ok=True)
    (home / "wu_1_r1_0").write_bytes(b"damaged")
    assert assimilate(load(server.settings), parse_assimilate(["1", str(home / "wu_1_r1_0")])).state == "failed"
    before = tree(server.failed)
    assert server.error("wu").state == "failed"
    assert tree(server.failed) == before


def test_a_late_result_takes_the_place_of_an_error(server: Server) -> None:
    server.attempt(server.unit("wu"), "wu_0", log=LOG)
    server.error("wu")
    home = server.root / "upload" / "3f"
    home.mkdir(parents=True, exist_ok=True)
    (home / "wu_1_r1_0").write_bytes(tgz({"a": b"x"}))
    assert assimilate(load(server.settings), parse_assimilate(["1", str(home / "wu_1_r1_0")])).state == "done"
    assert not (server.failed / "wu").exists()


@pytest.mark.parametrize("trouble", ["password", "gone", "table"])
def test_a_database_that_cannot_be_asked_costs_the_logs_only(server: Server, trouble: str) -> None:
    config = server.root / "config.xml"
    if trouble == "password":
        config.write_text(config.read_text().replace("<db_passwd>", "<db_passwd>x"))
    elif trouble == "gone":
        config.write_text(config.read_text().replace("localhost", "127.0.0.1:1"))
    else:
        server.boinc.execute("drop table result")
    server.unit("wu")
    done = script(server.settings, "--error", "2", "wu", "1", "5")
    assert done.returncode == 0, done.stderr
    assert "warning: cannot look up the" in done.stderr
    (row,) = rows(server.settings)
    assert (row.state, row.reason) == ("error", "too many errors")


def test_the_batch_of_jobs_with_names_of_their_own(server: Server) -> None:
    server.boinc.execute("insert into batch (id, user_id, create_time, name, app_id) values (9, 1, 1, 'Fit of May', 1)")
    server.unit("own-a", batch=9)
    server.unit("own-b", batch=4)
    server.unit("own-c", xml="<workunit><b2d_batch>fit</b2d_batch></workunit>")
    server.unit("demo_sweep_1", batch=9)
    for name, batch in (("own-a", "Fit of May"), ("own-b", "4"), ("own-c", "fit"), ("demo_sweep_1", "sweep")):
        assert server.error(name).batch == batch
    home = server.root / "upload" / "3f"
    home.mkdir(parents=True, exist_ok=True)
    (home / "own-a_1_r1_0").write_bytes(tgz({"a": b"x"}))
    row = assimilate(load(server.settings), parse_assimilate(["1", str(home / "own-a_1_r1_0")]))
    assert (row.state, row.batch) == ("done", "Fit of May")
    assert (row.directory or "").startswith("demo/Fit_of_May=")
    server.boinc.execute("drop table batch")
    assert server.error("own-b").batch == "4"


def test_submitting_tells_the_batch_of_jobs_with_names_of_their_own(server: Server) -> None:
    project = Project.open(server.root)
    for name, numbers in (("own-{n}", 2), (None, 1)):
        done = submit_many(
            project, APP, SmallPlanner(), numbered(numbers, name=name, command=("run", "{n}", str(name)))
        )
        again = submit_many(
            project, APP, SmallPlanner(), numbered(numbers, name=name, command=("run", "{n}", str(name)))
        )
        assert (done.created, again.created, again.existed, again.batch) == (numbers, 0, numbers, done.batch)
        unit = "own-2" if name else f"{APP}_{done.batch}_1"
        assert server.error(unit).batch == done.batch
        (row,) = server.boinc.rows("select xml_doc from workunit where name = %s", unit)
        assert (b"<b2d_batch>" in row["xml_doc"]) == (name is not None), "others' names tell it"


SHOWN = """\
app               demo
name              wu
batch             0
state             error
id                1
exit code         7
error mask        2
reason            too many errors; exit code 7; in the phase run; the container ended with 7
"""


def test_show_tells_why_a_job_failed(server: Server) -> None:
    log = tgz({"stderr.txt": b"first\n\x1b]0;title\x07last words\n", "job.json": json.dumps(
        {"format": 1, "exit_code": 7, "failed_phase": "run", "message": "the container ended with 7",
         "marks": {"run": 10.0, "results": 375.78999999999996}}).encode()})  # fmt: skip
    server.attempt(server.unit("wu"), "wu_0", log=log)
    server.error("wu")
    shown = call("results", "show", "wu", "--project", server.root, "--appname", APP)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith(SHOWN)
    for wanted in (
        "in the container  365.8 s", "marks  run 10 s, results 375.79 s", f"failed/{APP}/wu/boinc_log.tgz",
        "try wu_0: error, exit code 7, host 12, 365.8 s", "process exited with code 7 (0x7, -249)",
        "Guest Log: run: the container ended with 7", r"\x1b[2JForged", "the container's last lines:",
        r"    \x1b]0;title\x07last words",
    ):  # fmt: skip
        assert " ".join(wanted.split()) in " ".join(shown.stdout.split())
    assert "\x1b" not in shown.stdout
    assert "{" not in shown.stdout
    machine = json.loads(call("results", "show", "wu", "--settings", server.settings, "--json").stdout)
    (one,) = machine["tries"]
    assert (one["exit_status"], one["outcome"], one["seconds"]) == (7, "error", 365.78999999999996)
    assert machine["output"].endswith("last words\n")


def test_the_app_is_found_in_its_project(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server.error("wu")
    ls = ("results", "ls", "--json")
    assert json.loads(call(*ls, "--project", server.root, "--appname", APP).stdout)["error"] == 1
    wrong = call("results", "ls", "--project", server.root)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "no app boinc2docker is installed" in wrong.stderr
    assert "installed here: demo" in wrong.stderr
    assert call("results", "ls", "--project", server.root, "--settings", server.settings).returncode == 2
    assert call("results", "ls", "--project", server.root, "--appname", "../x").returncode == 2
    monkeypatch.setenv("PROJHOME", str(server.root))
    assert results_command("ls", Options(app=APP)) == 0
    monkeypatch.delenv("PROJHOME")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as raised:
        results_command("ls", Options())
    assert "--project DIR" in (raised.value.hint or "")
