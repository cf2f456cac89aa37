"""Going back to the version before, and which environments stay for it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from boinc2docker.app import changes, distributions, environment, history
from boinc2docker.app.history import History, Stored
from boinc2docker.app.package import Options, package_app
from boinc2docker.errors import InputError, UsageError
from tests.app.conftest import snapshot
from tests.equipment.light_python import light_contents


@pytest.fixture
def versions(options: Options, project: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, bytes | None]]:
    """Versions 1.02 to 1.04 of two apps, each by another release of this package: the project after each."""
    found = []
    for number, version in enumerate(("1.02", "1.03", "1.04")):
        monkeypatch.setattr(distributions, "contents", lambda n=number: light_contents(release=b"%d" % n))
        package_app(replace(options, project=project, version=version, settings={"max_cpus": str(number + 1)}))
        found.append(snapshot(project))
    return found


def programs(found: dict[str, bytes | None]) -> dict[str, bytes | None]:
    """The files that a server runs or that jobs are made of, of a snapshot."""
    kinds = ("bin/boinc2docker_", "boinc2docker.toml", "templates/boinc2docker_")
    return {
        name: data
        for name, data in found.items()
        if name.startswith(kinds) and ".before-" not in name and "installed.json" not in name
    }


def there(project: Path) -> set[str]:
    return {path.name for path in (project / environment.DIRECTORY).iterdir()}


def back(options: Options, project: Path, version: str | None = None, *, dry_run: bool = False) -> None:
    assert package_app(replace(options, project=project, version=version, roll_back=True, dry_run=dry_run)) == 0


def test_one_command_goes_back_and_another_forth(
    options: Options, project: Path, versions: list[dict[str, bytes | None]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert programs(versions[0]) != programs(versions[1])
    back(options, project, dry_run=True)
    assert snapshot(project) == versions[2]
    back(options, project)
    assert programs(snapshot(project)) == programs(versions[1])
    assert "boinc2docker 1.03: in place of 1.04" in capsys.readouterr().out
    done = subprocess.run(
        [project / "bin" / "boinc2docker_assimilator"], env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, "it runs: without words there is no telling which result"
    back(options, project)
    assert programs(snapshot(project)) == programs(versions[0])
    with pytest.raises(InputError, match=r"nothing before boinc2docker 1\.02 to go back to") as caught:
        back(options, project)
    assert "1.04" in str(caught.value.hint)
    back(options, project, "1.04")
    assert programs(snapshot(project)) == programs(versions[2])
    assert (project / "apps/boinc2docker/1.04").is_dir(), "what hosts may have stays"


def test_a_failure_on_the_way_back_changes_nothing(
    options: Options, project: Path, versions: list[dict[str, bytes | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0
    original = changes._require_unchanged

    def interrupted(change: changes.Change) -> None:
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        original(change)

    monkeypatch.setattr(changes, "_require_unchanged", interrupted)
    with pytest.raises(KeyboardInterrupt):
        back(options, project)
    assert snapshot(project) == versions[2]


def test_environments_stay_as_long_as_an_installation_or_a_process_needs_them(
    options: Options,
    project: Path,
    versions: list[dict[str, bytes | None]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = [
        json.loads((project / "boinc2docker/boinc2docker.json").read_text())["installations"][n]["environment"]
        for n in range(3)
    ]
    assert there(project) == set(names)
    python = project / environment.DIRECTORY / names[0] / environment.PYTHON
    running = subprocess.Popen([python, "-I", "-c", "input()"], stdin=subprocess.PIPE)
    try:
        capsys.readouterr()
        monkeypatch.setattr(distributions, "contents", lambda: light_contents(release=b"4"))
        package_app(replace(options, project=project, version="1.05"))
        assert set(names) < there(project)
        assert f"{names[0]}   (a process runs from it)" in capsys.readouterr().out
    finally:
        running.communicate(b"\n", timeout=60)
    package_app(replace(options, project=project, version="1.05"))
    assert names[0] not in there(project)
    assert {*names[1:]} < there(project)
    told = capsys.readouterr().out
    assert f"{names[1]}   (boinc2docker 1.03)" in told
    assert f"removed  {environment.DIRECTORY / names[0]}" in told


def test_two_apps_have_versions_and_environments_of_their_own(
    options: Options,
    project: Path,
    versions: list[dict[str, bytes | None]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(distributions, "contents", lambda: light_contents(release=b"5"))
    package_app(replace(options, project=project, version="1.00", settings={"name": "second"}))
    submitter = (project / "bin/boinc2docker_create_work.py").read_bytes()
    back(options, project)
    assert (project / "bin/boinc2docker_create_work.py").read_bytes() == submitter
    assert "another app's installation wrote it" in capfd.readouterr().err.replace("\n  ", " ")
    used = {
        environment._NAMED.findall((project / "bin" / f"{app}_assimilator").read_bytes())[0].decode()
        for app in ("boinc2docker", "second")
    }
    assert len(used) == 2
    assert used < there(project)
    for app in ("boinc2docker", "second"):
        done = subprocess.run([project / "bin" / f"{app}_assimilator"], env={}, capture_output=True, check=False)
        assert done.returncode == 2, done.stderr


def test_an_environment_that_a_program_names_stays(options: Options, project: Path) -> None:
    package_app(replace(options, project=project))
    history.file_of(project, "boinc2docker").unlink()
    (name,) = there(project)
    assert environment.unused(project, set()) == ([], [])
    for path in (project / "bin").glob("boinc2docker_*"):
        path.unlink()
    assert environment.unused(project, set()) == ([project / environment.DIRECTORY / name], [])
    assert environment.unused(project, {name}) == ([], [])


def test_a_damaged_history_stops_it_and_removes_nothing(options: Options, project: Path) -> None:
    package_app(replace(options, project=project))
    for text in ("{", "[]", '{"current": 1}', '{"current": 1, "installations": [{"number": 1}]}'):
        history.file_of(project, "boinc2docker").write_text(text)
        before = snapshot(project)
        for way in (
            replace(options, project=project, version="1.03"),
            replace(options, project=project, roll_back=True),
        ):
            with pytest.raises(InputError, match=r"boinc2docker\.json is not what package-app left"):
                package_app(way)
        assert snapshot(project) == before
    history.file_of(project, "boinc2docker").unlink()
    history.file_of(project, "other").write_text("{")
    assert package_app(replace(options, project=project, version="1.03")) == 0


def test_rolling_back_needs_a_project_and_everything_else_a_version(options: Options, project: Path) -> None:
    with pytest.raises(UsageError, match="--roll-back needs --project"):
        package_app(replace(options, roll_back=True))
    with pytest.raises(UsageError, match="the version is missing"):
        package_app(replace(options, version=None))
    with pytest.raises(InputError, match="nothing before boinc2docker to go back to"):
        back(options, project)


def test_a_history_keeps_the_last_and_what_it_may_go_back_to() -> None:
    found = History("app")
    files = [Stored.of("bin/x", 0o755, b"\xff\n")]
    for number in range(1, 7):
        found = found.with_next(f"1.0{number}", f"e{number}", "2026-01-01", files)
        assert found.with_next(f"1.0{number}", f"e{number}", "2027-01-01", files) is found
    assert [one.number for one in found.installations] == [4, 5, 6]
    assert found.earlier(None).version == "1.05"
    assert found.earlier("1.04").number == 4
    went = replace(found, current=4)
    again = went.with_next("1.07", "e7", "2026-01-01", files)
    assert again.earlier(None).version == "1.04", "not the one that was given up"
    assert History.read("app", again.render()) == again
    assert again.installations[0].files[0].data == b"\xff\n"
