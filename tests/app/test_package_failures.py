"""An installation that fails, is interrupted or is not alone: everything is taken back, and nothing of others."""

from __future__ import annotations

import errno
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from boinc2docker.app import package, server_tools, tree
from boinc2docker.app.package import Options, package_app
from boinc2docker.errors import HostError
from tests.app.conftest import database, refused, snapshot


def test_a_platform_that_fails_alone_is_told(
    options: Options, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One version in the database means that hosts may have it: nothing is taken back then."""
    program = project / "bin" / "update_versions"
    program.write_text(
        program.read_text().replace(
            "    root = version_file",
            '    if "apple" in platform:\n        die("Error: no room")\n    root = version_file',
        )
    )
    assert package_app(replace(options, project=project, run=True)) == 1
    told = capsys.readouterr().out
    assert "x86_64-apple-darwin__vbox64_mt: NOT IN the database (Error: no room)" in told
    assert "windows_x86_64__vbox64_mt: in the database" in told
    assert (project / "apps" / "boinc2docker").is_dir()


def test_fatal_errors_with_exit_status_0_take_the_installation_back(options: Options, project: Path) -> None:
    (project / "bin" / "update_versions").write_text("#!/bin/sh\necho 'App boinc2docker:'\necho 'Error: broken'\n")
    before = snapshot(project)
    with pytest.raises(HostError, match="added no version") as caught:
        package_app(replace(options, project=project, run=True))
    assert snapshot(project) == before
    assert "boinc2docker" in json.loads((project / "db.json").read_text())["apps"]
    assert "the database keeps" in str(caught.value.hint), "what is not taken back is told"


@pytest.mark.parametrize("fails_at", range(1, 13, 3))
def test_a_disk_that_fills_half_way_leaves_nothing(
    options: Options, project: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    package_app(options)
    placed = 0
    original = tree._place

    def place(*words: object) -> None:
        nonlocal placed
        placed += 1
        if placed == fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(tree, "_place", place)
    refused(options, project, "the disk is full")


def test_an_interruption_takes_back_what_was_done(
    options: Options, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(project)
    kept = []

    def interrupted(*_: object) -> None:
        kept.append(snapshot(project) != before)
        raise KeyboardInterrupt

    monkeypatch.setattr("boinc2docker.app.package.run_xadd", interrupted)
    with pytest.raises(KeyboardInterrupt):
        package_app(replace(options, project=project, run=True))
    assert kept == [True], "nothing was installed when the interruption came"
    assert snapshot(project) == before


def test_once_the_database_may_name_it_an_interruption_takes_nothing_back(
    options: Options, project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*words: Any) -> None:
        run_update(*words)
        raise KeyboardInterrupt

    run_update = server_tools.run_update
    monkeypatch.setattr(package, "run_update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        package_app(replace(options, project=project, run=True))
    assert "run this again" in capfd.readouterr().err
    monkeypatch.setattr(package, "run_update", run_update)
    files = snapshot(project)
    assert package_app(replace(options, project=project, run=True)) == 0
    assert snapshot(project) == files
    assert len(database(project)) == 3


def test_what_was_published_for_nothing_goes_again(options: Options, project: Path) -> None:
    program = project / "bin" / "update_versions"
    program.write_text(program.read_text().replace("    mains = sum", '    die("Error: no room")\n    mains = sum'))
    assert "no room" in refused(options, project, "added no version").message
    assert not list((project / "download").iterdir())


def test_what_is_said_to_be_added_is_asked_for_again(
    options: Options, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = project / "bin" / "update_versions"
    program.write_text(
        program.read_text().replace('        save(db)\n        print(f"    App', '        print(f"    App')
    )
    assert package_app(replace(options, project=project, run=True)) == 1
    told = capsys.readouterr().out
    assert told.count("NOT IN the database (said to be added, ID") == 3
    assert (project / "apps" / "boinc2docker" / "1.02").is_dir(), "who knows what the database has"


@pytest.mark.parametrize("shared", ["build directory", "project"])
def test_two_at_once_take_turns(
    options: Options, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: str
) -> None:
    other = replace(options, settings={"name": "second", "title": "Second"})
    if shared == "project":
        runs = [replace(options, project=project), replace(other, project=project, build=tmp_path / "elsewhere")]
        watched = "plan_installation"
    else:
        runs = [options, other]
        watched = "compose"
    inside: list[int] = []
    most: list[int] = []
    original = getattr(package, watched)

    def slow(*words: Any, **named: Any) -> Any:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.3)
        inside.pop()
        return original(*words, **named)

    monkeypatch.setattr(package, watched, slow)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(package_app, runs)) == [0, 0]
    assert most == [1, 1]
    assert not list(tmp_path.rglob(".package-app.lock"))
    if shared == "project":
        assert (project / "config.xml").read_text().count("script_assimilator --app") == 2


def test_what_another_writes_meanwhile_is_not_overwritten(
    options: Options, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another(*_: object) -> tuple[()]:
        (project / "config.xml").write_text((project / "config.xml").read_text() + "<!-- by another -->")
        return ()

    monkeypatch.setattr("boinc2docker.app.package.signed", another)
    with pytest.raises(HostError, match=r"config\.xml was changed by another"):
        package_app(replace(options, project=project))
    assert "by another" in (project / "config.xml").read_text()
    assert not (project / "apps" / "boinc2docker").exists()
    assert "boinc2docker" not in (project / "project.xml").read_text()
