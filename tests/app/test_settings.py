"""app.toml, its options, and the texts made from it."""

from __future__ import annotations

import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from boinc2docker.app import settings, wrapper_catalogue
from boinc2docker.app.package import HEARTBEAT
from boinc2docker.app.settings import FIELDS
from boinc2docker.app.template import DIRECTORY, Templates
from boinc2docker.cli.package_app import OPTIONS, SIZES
from boinc2docker.errors import InputError, UsageError
from boinc2docker.job.inputs import check_name

TEXT = (DIRECTORY / "app.toml").read_text()


def test_every_setting_is_a_line_of_the_file_and_an_option() -> None:
    options = {one.name for one in OPTIONS} | {name for name in SIZES if SIZES[name] in {o.name for o in OPTIONS}}
    document = tomllib.loads(TEXT)
    for name, field in FIELDS.items():
        table = document[field.table] if field.table else document
        assert field.key(name) in table
        assert name in options


def test_options_win_over_the_file() -> None:
    changed = settings.read(DIRECTORY / "app.toml", {"memory_mb": "4096", "network": "false", "name": "second"})
    assert (changed.memory_mb, changed.network, changed.name) == (4096, False, "second")
    assert changed.results_directory == "results"


def test_an_apps_own_file_says_only_what_differs(tmp_path: Path) -> None:
    own = tmp_path / "mine" / "app.toml"
    own.parent.mkdir()
    own.write_text('name = "mine"\n[results]\nrules = "r.py"\n[validator]\nmethod = "numeric"\nignore = ["*.log"]\n')
    chosen = settings.read(DIRECTORY / "app.toml", {"validator_file_mb": "7"}, own)
    assert (chosen.name, chosen.memory_mb, chosen.validator_method) == ("mine", 2048, "numeric")
    assert chosen.results_rules == str(tmp_path / "mine" / "r.py"), "it counts from the file that names it"
    about = chosen.about_results()
    assert about["validator"] == {"method": "numeric", "ignore": ["*.log"], "file_mb": 7}
    assert about["results"]["limits"] == {"unpacked_mb": 4096, "files": 100000, "ratio": 200}
    own.write_text("memory_mb = 1\n")
    with pytest.raises(InputError, match="memory_mb: expected 512 to"):
        settings.read(DIRECTORY / "app.toml", {}, own)
    own.write_text("results = 3\n")
    with pytest.raises(InputError, match="results: expected a table, found 3"):
        settings.read(DIRECTORY / "app.toml", {}, own)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "two words"),
        ("name", "it's"),
        ("name", "app;rm"),
        ("name", "-app"),
        ("name", ""),
        ("name", "a" * 51),
        ("title", "Bob's app"),
        ("title", 'a "title"'),
        ("title", "two\nlines"),
        ("plan_class", "mt"),
        ("plan_class", "docker_vbox64_mt"),
        ("plan_class", "vbox__64"),
        ("plan_class", "vbox64_"),
        ("memory_mb", "511"),
        ("memory_mb", "2 GB"),
        ("disk_mb", "1000"),
        ("network", "maybe"),
        ("results_directory", "/re sults"),
        ("results_directory", ""),
        ("results_unpack", "perhaps"),
        ("validator_method", "exact"),
        ("validator_file_mb", "0"),
        ("results_directory", "/a/../';x"),
    ],
)
def test_values_boinc_cannot_carry_are_refused(key: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"--{key.replace('_', '-')}: expected"):
        settings.read(DIRECTORY / "app.toml", {key: value})


def test_all_mistakes_of_a_file_are_told_together(tmp_path: Path) -> None:
    text = TEXT.replace("memory_mb = 2048", 'memory_mb = "2048"').replace("max_cpus = 4", "max_cpu = 4")
    file = tmp_path / "app.toml"
    file.write_text(text.replace('"bitwise"', '"exact"').replace("unpack = true ", "# "))
    with pytest.raises(InputError) as caught:
        settings.read(file, {})
    for expected in (
        "memory_mb: expected a whole number",
        "unknown key 'max_cpu' (did you mean 'max_cpus'?)",
        "max_cpus: missing",
        "results.unpack: missing",
        "validator.method: expected bitwise, numeric or trivial, found 'exact'",
    ):
        assert expected in caught.value.message
    file.write_text("name = ")
    with pytest.raises(InputError, match="not TOML"):
        settings.read(file, {})
    with pytest.raises(InputError, match="cannot read"):
        settings.read(tmp_path / "none.toml", {})


def templates(**options: str) -> Templates:
    return Templates(DIRECTORY, settings.read(DIRECTORY / "app.toml", options).values())


def test_the_vbox_job_asks_for_what_the_guest_serves() -> None:
    job = ET.fromstring(templates(memory_mb="3000", network="false").render("vbox_job.xml"))
    texts = {one.tag: one.text for one in job}
    assert texts["memory_size_mb"] == "3000"
    assert texts["enable_network"] == "0"
    for tag in ("enable_isocontextualization", "boot_iso", "enable_cache_disk", "enable_shared_directory"):
        assert texts[tag] is None, "an empty element is a flag that is set"
    for tag in ("enable_scratch_directory", "enable_vm_savestate_usage", "disable_automatic_checkpoints"):
        assert texts[tag] is None
    guest = "".join(path.read_text() for path in sorted((DIRECTORY.parent / "guest/overlay/opt").rglob("*.sh")))
    used = ("completion_trigger_file", "temporary_exit_trigger_file", "heartbeat_filename", "fraction_done_filename")
    for tag in used:
        assert f"$B2D_SHARE/{texts[tag]}" in guest
    assert texts["fraction_done_filename"] == "progress"
    assert f"HEARTBEAT_BYTES={len(HEARTBEAT)} " in guest, "it is written in place"


def test_jobs_may_not_bring_what_the_agent_keeps_for_itself() -> None:
    """The agent leaves these files of the share alone when it brings in a job's inputs."""
    text = (DIRECTORY.parent / "guest/overlay/opt/boinc2docker/lib/inputs.sh").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("INPUTS_OWN='")]
    for name in line.split("'")[1].split():
        with pytest.raises(InputError, match="needs for itself"):
            check_name(name)


def test_templates_have_the_literal_form_boincs_scheduler_needs() -> None:
    out = templates().render("out.xml")
    assert out.startswith("<output_template>\n"), "a declaration before it would be mangled"
    assert out.count("<result>\n") == 1
    assert out.count("<file_info>\n") == out.count("<file_ref>\n") == 2
    assert "\r" not in out
    assert "<copy_file/>" in out
    task_in = ET.fromstring(templates().render("in.xml"))
    assert len(task_in.findall("file_info")) == len(task_in.findall("workunit/file_ref")) == 2
    names = [one.text for one in task_in.findall("workunit/file_ref/open_name")]
    assert names == ["vbox_job.xml", "shared/boinc_app"]


@pytest.mark.parametrize("cpus", [1, 4, 32])
def test_no_host_ends_a_job_before_its_limit(cpus: int) -> None:
    """As BOINC's client does: after bound / flops, which the scheduler gives it for all processors together."""
    unit = ET.fromstring(templates(max_cpus=str(cpus), job_hours="2", limit_hours="30").render("in.xml"))
    estimate, bound = (float(unit.findtext(f"workunit/rsc_fpops_{kind}", "")) for kind in ("est", "bound"))
    assert estimate / (cpus * 5e9) == 2 * 3600
    for flops in (4e9, 8e9, 20e9):
        assert bound / (cpus * flops) >= 30 * 3600


def test_a_limit_below_the_time_that_a_job_takes_is_refused() -> None:
    with pytest.raises(InputError, match="limit_hours 2 is less than job_hours 3"):
        templates(job_hours="3", limit_hours="2")


def test_a_host_has_the_memory_that_its_machine_gets() -> None:
    given = templates(memory_mb="3000")
    machine = float(ET.fromstring(given.render("vbox_job.xml")).findtext("memory_size_mb", ""))
    bound = float(ET.fromstring(given.render("in.xml")).findtext("workunit/rsc_memory_bound", ""))
    assert bound >= machine * (1 << 20) + 50e6


def test_files_that_jobs_share_outlive_the_first_of_them() -> None:
    files = ET.fromstring(templates().render("in.xml")).findall("file_info")
    assert [one.find("no_delete") is not None for one in files] == [True, True]


def test_a_title_is_escaped_once() -> None:
    app = ET.fromstring(templates(title="R&D <lab>").render("app.xml"))
    assert app.findtext("user_friendly_name") == "R&D <lab>"


def test_a_template_with_an_unknown_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("$nobody")
    (tmp_path / "y").write_text("5 $ each")
    with pytest.raises(InputError, match=r"\$nobody"):
        Templates(tmp_path, {}).render("x")
    with pytest.raises(InputError, match="dollar sign"):
        Templates(tmp_path, {}).render("y")


def test_the_releases_of_vboxwrapper_are_known_ones() -> None:
    """26212 is the first that starts machines on hosts with Hyper-V."""
    catalogue = wrapper_catalogue.read(DIRECTORY / "wrappers.toml")
    chosen = settings.read(DIRECTORY / "app.toml", {}).wrapper
    assert chosen["x86_64-pc-linux-gnu"] == chosen["windows_x86_64"] == "26212"
    for name, version in chosen.items():
        assert version == catalogue.platform(name).releases[0], "the newest that there is"
