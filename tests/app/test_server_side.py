"""What package-app installs for the server's daemons: it runs there, in every form in which BOINC calls it."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from boinc2docker import extras
from boinc2docker.app import server_side
from boinc2docker.app.package import Options, package_app
from boinc2docker.errors import BuilderError, InputError
from boinc2docker.results.settings_check import check_settings
from tests.results.samples import log_tgz, tgz, tree

GOOD = tgz({"a.csv": b"n,v\nx,1\n"})


def install(options: Options, project: Path, *, own: Path | None = None, **settings: str) -> None:
    assert package_app(replace(options, project=project, own_settings=own, settings=settings)) == 0


def daemon(project: Path, role: str) -> list[str]:
    """The words of the installed daemon's command."""
    commands = [one.text or "" for one in ET.parse(project / "config.xml").findall("daemons/daemon/cmd")]
    return shlex.split(next(one for one in commands if role in one and "boinc2docker" in one))


def uploads(project: Path, job: str, data: bytes, *, replica: int = 0) -> list[str]:
    """A result's files under the names that the installed output template gives them."""
    home = project / "upload" / "1a"
    home.mkdir(exist_ok=True)
    forms = re.findall(r"<name><OUTFILE_(\d)/>(\S+)</name>", (project / "templates" / "boinc2docker_out").read_text())
    paths = [home / f"{job}_{replica}_r987654_{number}{suffix}" for number, suffix in forms]
    paths[0].write_bytes(data)
    paths[1].write_bytes(log_tgz())
    return [str(path) for path in paths]


def as_boinc_runs(project: Path, script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """As its daemons do: by the shell, unquoted, from a directory beside bin/, with nothing in the environment."""
    work = project / "tmp_host"
    work.mkdir(exist_ok=True)
    line = f"../bin/{script} {' '.join(words)}"
    return subprocess.run(
        ["sh", "-c", line], cwd=work, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )


def test_a_result_is_validated_compared_and_assimilated(options: Options, project: Path) -> None:
    install(options, project)
    validator, assimilator = daemon(project, "validator"), daemon(project, "assimilator")
    assert validator[0] == "script_validator"
    assert assimilator[0] == "script_assimilator"
    scripts = dict(zip(validator[1::2], validator[2::2], strict=True))
    assert not [word for word in (*scripts.values(), *assimilator) if " " in word], "a token, which servers drop"
    first, second = (uploads(project, "boinc2docker_sweep_7", GOOD, replica=number) for number in (0, 1))
    other = uploads(project, "boinc2docker_sweep_7", tgz({"a.csv": b"n,v\nx,2\n"}), replica=2)
    init, compare = scripts["--init_script"], scripts["--compare_script"]
    assert as_boinc_runs(project, init, *first).returncode == 0
    assert as_boinc_runs(project, compare, *first, *second).returncode == 0
    assert as_boinc_runs(project, compare, *first, *other).returncode == 9
    done = as_boinc_runs(project, assimilator[-1], "42", *first)
    assert done.returncode == 0, done.stderr
    home = project / "results" / "boinc2docker" / "sweep" / "boinc2docker_sweep_7"
    assert tree(home).keys() == {"results.tgz", "boinc_log.tgz", "result.json", "results/a.csv"}
    assert as_boinc_runs(project, assimilator[-1], "--error", "2", "boinc2docker_x_8", "43", "0").returncode == 0
    assert as_boinc_runs(project, assimilator[-1]).returncode == 2, "without words there is no telling which result"


def test_settings_and_rules_reach_the_daemons(options: Options, project: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "rules.py").write_text("def validate(result):\n    return result.json('v.json')['v'] > 0\n")
    (own / "app.toml").write_text(
        '[results]\nrules = "rules.py"\nunpack = false\n[validator]\nmethod = "numeric"\n'
        '[[validator.tolerance]]\nfiles = "v.json"\nabsolute = 0.5\n'
    )
    install(options, project, own=own / "app.toml", results_directory=str(tmp_path / "kept"))
    positive, near, negative = (
        uploads(project, "j", tgz({"v.json": b'{"v": %d.%d}' % value}), replica=number)
        for number, value in enumerate([(1, 0), (1, 4), (-1, 0)])
    )
    assert as_boinc_runs(project, "boinc2docker_validator_init", *positive).returncode == 0
    assert as_boinc_runs(project, "boinc2docker_validator_init", *negative).returncode == 9
    assert as_boinc_runs(project, "boinc2docker_validator_compare", *positive, *near).returncode == 0
    assert as_boinc_runs(project, "boinc2docker_validator_compare", *positive, *negative).returncode == 9
    assert as_boinc_runs(project, "boinc2docker_assimilator", "7", *positive).returncode == 0
    assert tree(tmp_path / "kept" / "boinc2docker" / "0" / "j").keys() == {
        "results.tgz",
        "boinc_log.tgz",
        "result.json",
    }
    before = (project / "boinc2docker.toml").read_text()
    install(options, project, own=own / "app.toml", results_directory=str(tmp_path / "kept"))
    assert (project / "boinc2docker.toml").read_text() == before


@pytest.mark.parametrize(
    ("left_out", "gone"),
    [
        (["assimilator"], {"bin/boinc2docker_assimilator"}),
        (["validator"], {"bin/boinc2docker_validator_init", "bin/boinc2docker_validator_compare"}),
    ],
)
def test_what_is_left_out_gets_no_daemon(options: Options, project: Path, left_out: list[str], gone: set[str]) -> None:
    package_app(replace(options, project=project, dont_install=left_out))
    installed = {f"bin/{path.name}" for path in (project / "bin").glob("boinc2docker_*")}
    scripts = {f"bin/boinc2docker_{name}" for names in server_side.SCRIPTS.values() for name in names}
    scripts.add("bin/boinc2docker_create_work.py")
    assert installed == scripts - gone
    config = (project / "config.xml").read_text()
    assert f"script_{left_out[0]} --app" not in config
    assert config.count(" --app boinc2docker") == 1


def test_without_both_nothing_of_results_is_installed(options: Options, project: Path) -> None:
    package_app(replace(options, project=project, dont_install=["validator", "assimilator", "create-work"]))
    assert not list((project / "bin").glob("boinc2docker_*"))
    assert not (project / "boinc2docker.toml").exists()
    assert " --app boinc2docker" not in (project / "config.xml").read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[validator]\nmethods = 1\n", "validator: unknown key 'methods'"),
        ("[[validator.tolerance]]\nabsolute = -1\n", r"validator\.tolerance\.absolute"),
        ('[results]\nbatch_pattern = "("\n', "results.batch_pattern"),
        ('[results]\nrules = "none.py"\n', r"cannot read .*none\.py"),
        ('[results]\nrules = "bad.py"\n', r"bad\.py line 2: SyntaxError"),
        ('name = "failed"\n', "name: expected the app's name"),
    ],
)
def test_what_a_daemon_would_stop_at_is_told_here(
    options: Options, project: Path, tmp_path: Path, text: str, expected: str
) -> None:
    (tmp_path / "bad.py").write_text("x = 1\ndef validate(:\n")
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(BuilderError, match=expected):
        install(options, project, own=tmp_path / "own.toml")
    assert not (project / "boinc2docker.toml").exists()
    assert not options.build.exists()


def test_numeric_comparison_without_numpy_is_told(
    options: Options, project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(extras, "LIBRARIES", {"arrays": "no_such_module"})
    install(options, project)
    assert "the validator needs" not in capfd.readouterr().err
    install(options, project, validator_method="numeric")  # only NumPy files wait for it
    said = capfd.readouterr().err
    assert "the validator needs no_such_module, which is not installed" in said
    assert "boinc2docker[arrays]" in said or "ci/environment arrays" in said


@pytest.mark.parametrize("root", ["/plain", "/two words", "/bob's", '/a"b', "/$HOME", "/new\nline", "/@SETTINGS@"])
def test_a_script_names_its_places_as_single_words(root: str) -> None:
    text = server_side.script("printf '%s' '@SETTINGS@'\n", Path("/x"), Path(root))
    assert subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=True).stdout == root


def test_the_worked_example_is_an_app(options: Options, project: Path) -> None:
    install(options, project, own=options.templates / "examples" / "pi" / "app.toml")
    installed = tomllib.loads((project / "pi.toml").read_text())
    assert check_settings(installed, project) == ["arrays"]
    assert installed["results"]["rules"] == "bin/pi_rules.py"
    assert "pi_validator_init" in (project / "config.xml").read_text()
    with pytest.raises(InputError, match="cannot read"):
        install(options, project, own=options.templates / "none.toml")
