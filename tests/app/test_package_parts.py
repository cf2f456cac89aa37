"""What an installation may leave out, add or not touch: parts, platforms, other apps, keys elsewhere."""

from __future__ import annotations

import shlex
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from boinc2docker.app import code_key, signing
from boinc2docker.app.package import Options, package_app
from boinc2docker.errors import NetworkError, UsageError
from tests.app.conftest import database, snapshot


def test_parts_can_be_left_out(options: Options, project: Path) -> None:
    before = {name: (project / name).read_bytes() for name in ("config.xml", "project.xml")}
    package_app(replace(options, project=project, dont_install=["config", "template-in", "assimilator"]))
    assert (project / "config.xml").read_bytes() == before["config.xml"]
    assert (project / "project.xml").read_bytes() != before["project.xml"]
    assert sorted(path.name for path in (project / "templates").iterdir()) == [
        "boinc2docker_installed.json",
        "boinc2docker_out",
        "boinc2docker_vbox_job.xml",
    ]
    assert not (project / "bin" / "boinc2docker_assimilator").exists()
    assert (project / "boinc2docker.toml").is_file(), "the validator needs it"
    with pytest.raises(UsageError, match="expected one of"):
        package_app(replace(options, project=project, dont_install=["everything"]))


def test_one_platform_alone_and_another_later(options: Options, project: Path) -> None:
    package_app(replace(options, project=project, run=True, platform=["windows_x86_64"]))
    package_app(replace(options, project=project, run=True, platform=["x86_64-pc-linux-gnu"]))
    assert len(database(project)) == 2


def test_files_can_be_signed_away_from_the_server(options: Options, project: Path) -> None:
    package_app(options)
    key = generate_private_key(65537, 1024)
    signing.sign_directory(options.build / "apps" / "boinc2docker" / "1.02", key)
    (project / "keys" / "code_sign_private").unlink()
    (project / "keys" / "code_sign_public").write_text(code_key.render_public(key.public_key()))
    assert package_app(replace(options, project=project, run=True)) == 0
    once = snapshot(project)
    assert package_app(replace(options, project=project, run=True)) == 0
    assert snapshot(project) == once
    for one in database(project):
        assert all(file["signature"].endswith("\n.\n") for file in one["files"])  # type: ignore[attr-defined]
    with tarfile.open(options.build / "boinc2docker-1.02.tar") as archive:
        assert sum(name.endswith(".sig") for name in archive.getnames()) == 12


def next_line(capsys: pytest.CaptureFixture[str]) -> list[str]:
    (line,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith("next: boinc2docker package-app ")]
    return shlex.split(line.removeprefix("next: boinc2docker package-app ").removesuffix("(on the server)"))


def test_the_next_step_repeats_every_option(
    options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "it's mine.toml"
    own.write_text('title = "Mine"\n')
    given = replace(
        options,
        own_settings=own,
        settings={"name": "second", "memory_mb": "4096", "title": None},
        platform=["windows_x86_64", "x86_64-pc-linux-gnu"],
        offline=True,
    )
    package_app(given)
    assert next_line(capsys) == [
        *("--version", "1.02", "--settings", str(own), "--iso", str(options.iso), "--wrapper", str(options.wrapper)),
        *("--platform", "windows_x86_64", "--platform", "x86_64-pc-linux-gnu"),
        *("--name", "second", "--memory-mb", "4096", "--offline", "--project", "DIR"),
    ]
    package_app(replace(options, iso=Path(shutil.copy(options.iso, options.build)), version="1.03"))
    assert next_line(capsys) == ["--version", "1.03", "--wrapper", str(options.wrapper), "--project", "DIR"]


def test_a_packaged_version_keeps_its_vboxwrapper_and_platforms(options: Options, project: Path) -> None:
    """Step 3 of the README after a step 1 with options of its own: nothing is downloaded."""
    package_app(replace(options, platform=["windows_x86_64"]))
    shutil.rmtree(options.wrapper or "")
    step = replace(options, wrapper=None, project=project, run=True, offline=True)
    assert package_app(step) == 0
    assert [path.name for path in (project / "apps/boinc2docker/1.02").iterdir()] == ["windows_x86_64__vbox64_mt"]
    shutil.rmtree(options.build)
    assert package_app(step) == 0, "as of a tarball that was unpacked in the project"
    with pytest.raises(NetworkError, match="x86_64-pc-linux-gnu"):
        package_app(replace(step, platform=["x86_64-pc-linux-gnu"]))
    with pytest.raises(NetworkError, match="cannot download"):
        package_app(replace(step, version="1.03"))


def test_a_platform_that_keeps_an_agent_from_before_is_named(
    options: Options, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Jobs bring init_data.xml, which only agents that come with a heartbeat file remove."""
    for version in ("1.00", "1.01"):
        for platform in ("windows_x86_64", "x86_64-pc-linux-gnu"):
            (project / f"apps/boinc2docker/{version}/{platform}__vbox64_mt").mkdir(parents=True)
    package_app(replace(options, project=project, platform=["x86_64-pc-linux-gnu"]))
    said = " ".join(capfd.readouterr().err.split())
    assert "windows_x86_64 keeps version 1.01, whose agent leaves init_data.xml" in said
    assert "x86_64-pc-linux-gnu keeps" not in said
    package_app(replace(options, project=project, version="1.03", platform=["windows_x86_64"]))
    assert "keeps version" not in capfd.readouterr().err
