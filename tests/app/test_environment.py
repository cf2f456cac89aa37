"""A project runs from an environment of its own: nothing that happens elsewhere reaches it."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from boinc2docker.app import distributions, environment
from boinc2docker.app.environment import Environment
from boinc2docker.app.package import Options, package_app
from boinc2docker.errors import HostError
from tests.app.conftest import INSTALL, make_project, snapshot
from tests.equipment.boinc_project import BoincProject
from tests.equipment.checkout import PROJECT_ROOT
from tests.equipment.light_python import light_contents, own_contents
from tests.results.samples import log_tgz, tgz

TRIAL = environment._TRIAL


def without_network() -> list[str]:
    """The words before a command that take the network from it, as far as this machine lets us."""
    words = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    try:
        works = subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        works = False
    return words if works else []


def run(project: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """A program of the project's ``bin/``, as its daemons or its users run it, without a network."""
    argv: list[str | Path] = [*without_network(), project / "bin" / words[0], *words[1:]]
    return subprocess.run(
        argv,
        cwd=project,
        env={"PATH": "/usr/bin:/bin", "MYSQL_UNIX_PORT": os.environ.get("MYSQL_UNIX_PORT", "")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_project_goes_on_after_its_checkout_and_their_packages_are_gone(
    boinc_project: BoincProject, options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: str
) -> None:
    """Installed by a copy of this checkout that runs in an environment of its own, of which nothing is left then."""
    monkeypatch.undo()  # the real packages
    monkeypatch.setenv("MYSQL_UNIX_PORT", str(boinc_project.database.socket))
    gone = tmp_path / "gone"
    for name in ("builder", "app_template"):
        shutil.copytree(PROJECT_ROOT / name, gone / "checkout" / name)
    shutil.copy(PROJECT_ROOT / "pyproject.toml", gone / "checkout")
    (gone / "checkout" / "guest").mkdir()
    own = (f"{distributions.SITE}/{name}" for name in ("boinc2docker", "numpy"))
    packages = {place: one for place, one in distributions.contents().items() if not place.startswith(tuple(own))}
    packages[str(distributions.SITE / "checkout.pth")] = f"{gone / 'checkout' / 'builder'}\n".encode()
    checkout = Environment.of(gone, packages)
    monkeypatch.setattr(environment, "_TRIAL", "pass")
    assert checkout.make()
    root = boinc_project.root
    argv: list[str | Path] = [
        checkout.python,
        "-I",
        "-c",
        INSTALL,
        root,
        options.iso,
        str(options.wrapper),
        tmp_path / "build",
    ]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(gone)
    shutil.rmtree(tmp_path / "build")
    (made,) = (root / environment.DIRECTORY).iterdir()
    assert not [path for path in made.rglob("*") if path.is_symlink() and path.name != "python3"], "copies, not links"

    upload = root / "upload"
    files = [upload / f"boinc2docker_s_7_0_r1_{number}" for number in range(2)]
    files[0].write_bytes(tgz({"a.csv": b"n\n1\n"}))
    files[1].write_bytes(log_tgz())
    for script, words in (("validator_init", files), ("validator_compare", [*files, *files]), ("assimilator", files)):
        done = run(root, f"boinc2docker_{script}", *(["42"] if script == "assimilator" else []), *words)
        assert done.returncode == 0, (script, done.stderr)
    assert (root / "results/boinc2docker/s/boinc2docker_s_7/results/a.csv").read_bytes() == b"n\n1\n"
    done = run(root, "boinc2docker_create_work.py", image, "echo", "hello")
    assert done.returncode == 0, done.stderr
    assert len(boinc_project.rows("select id from workunit")) == 1


def test_an_environment_is_named_after_its_content_and_made_once(tmp_path: Path) -> None:
    made = Environment.of(tmp_path, own_contents())
    assert made.make()
    before = snapshot(made.path)
    assert not Environment.of(tmp_path, own_contents()).make()
    assert snapshot(made.path) == before
    other = Environment.of(tmp_path, {**own_contents(), "more": b"1"})
    assert other.name != made.name
    compiled = Environment.of(tmp_path, {**own_contents(), "x/__pycache__/y.pyc": b"1"})
    assert compiled.name == made.name
    assert str(distributions.SITE) == f"lib/python3.{sys.version_info[1]}/site-packages"


def test_it_is_readable_for_all_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        made = Environment.of(tmp_path, {**own_contents(), "program": b"#!/bin/sh\n"})
        made.make()
    finally:
        os.umask(before)
    closed = [path for path in made.path.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o044 != 0o044]
    assert not closed
    assert made.path.stat().st_mode & 0o777 == 0o755


@pytest.fixture
def anothers() -> Iterator[Path]:
    """A project of another user, where that one can enter it."""
    if os.geteuid() != 0:
        pytest.skip("only root can make files of another user")
    with tempfile.TemporaryDirectory() as name:
        root = make_project(Path(name) / "project")
        for path in (Path(name), *Path(name).rglob("*")):
            os.chown(path, 65534, 65534)
        yield root


def test_the_projects_owner_can_run_it_or_nothing_is_installed(
    options: Options, anothers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root's trial runs as the owner. This Python may lie in root's home: /usr/bin/python3 has no such way."""
    system = Path(os.path.realpath("/usr/bin/python3"))
    monkeypatch.setattr(environment, "_TRIAL", "import sys\n")
    original = Environment.of
    monkeypatch.setattr(Environment, "of", lambda *words: replace(original(*words), interpreter=system))
    assert package_app(replace(options, project=anothers)) == 0
    (made,) = (anothers / environment.DIRECTORY).iterdir()
    assert {path.lstat().st_uid for path in (made.parent, made, *made.rglob("*"))} == {65534}

    closed = anothers.parent / "closed"
    closed.mkdir(mode=0o700)
    (closed / "python3").symlink_to(system)
    monkeypatch.setattr(
        Environment, "of", lambda *words: replace(original(*words), name="0" * 16, interpreter=closed / "python3")
    )
    before = snapshot(anothers)
    with pytest.raises(HostError, match=r"owner \(user 65534\) cannot run"):
        package_app(replace(options, project=anothers, version="1.03"))
    assert snapshot(anothers) == before


def test_what_does_not_start_is_not_installed(options: Options, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package_app(replace(options, project=project))
    before = snapshot(project)
    monkeypatch.setattr(environment, "_TRIAL", TRIAL)
    contents = {place: one for place, one in own_contents().items() if not place.endswith("results/unpack.py")}
    monkeypatch.setattr(distributions, "contents", lambda: contents)
    with pytest.raises(HostError, match=r"cannot run the environment[^$]*results.unpack"):
        package_app(replace(options, project=project, version="1.03"))
    assert snapshot(project) == before


@pytest.mark.parametrize("step", ["_fill", "_open", "_try"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interrupted_copy_leaves_the_running_one(
    options: Options, project: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    package_app(replace(options, project=project))
    before = snapshot(project)
    monkeypatch.setattr(distributions, "contents", lambda: {**light_contents(), "newer": b""})
    original = getattr(Environment, step)

    def interrupted(self: Environment, staging: Path) -> None:
        original(self, staging)
        raise error

    monkeypatch.setattr(Environment, step, interrupted)
    with pytest.raises((KeyboardInterrupt, HostError)):
        package_app(replace(options, project=project, version="1.03"))
    assert snapshot(project) == before


def test_what_a_killed_copy_left_is_removed_by_the_next(tmp_path: Path) -> None:
    made = Environment.of(tmp_path, own_contents())
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom boinc2docker.app.environment import Environment\n"
        "from tests.equipment.light_python import own_contents, own_contents\n"
        "Environment._try = lambda *_: os.kill(os.getpid(), 9)\n"
        "Environment.of(Path(sys.argv[1]), own_contents()).make()\n"
    )
    assert subprocess.run([sys.executable, "-c", script, tmp_path], check=False).returncode == -9
    assert not made.is_there()
    assert list(made.path.parent.iterdir())
    assert made.make()
    assert list(made.path.parent.iterdir()) == [made.path]


def test_a_half_removed_one_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Environment.of(tmp_path, own_contents())
    made.make()
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    environment.remove(made.path)
    monkeypatch.undo()
    assert not made.is_there()
    assert made.make()
    assert made.is_there()


def test_a_package_without_a_list_of_files_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata.Distribution, "files", None)
    with pytest.raises(HostError, match="was installed without a list of its files"):
        distributions.contents()


@pytest.mark.parametrize("templates", ["boinc2docker/data/app_template", "app_template"])
def test_a_wheels_and_a_checkouts_package_are_laid_out_alike(tmp_path: Path, templates: str) -> None:
    package = tmp_path / "boinc2docker"
    (package / "data" / "guest").mkdir(parents=True)
    (package / "data" / "guest" / "init").touch()
    (package / "__init__.py").touch()
    (tmp_path / templates).mkdir()
    (tmp_path / templates / "app.toml").touch()
    site = distributions.SITE / "boinc2docker"
    assert dict(distributions.own_files(package, tmp_path / templates)) == {
        str(site / "__init__.py"): package / "__init__.py",
        str(site / "data/app_template/app.toml"): tmp_path / templates / "app.toml",
    }


def test_a_python_in_somebodys_home_is_told(
    options: Options, project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environment, "home_of", lambda _: Path("/home/me"))
    package_app(replace(options, project=project))
    assert "lies in the home directory /home/me" in capfd.readouterr().err.replace("\n ", "")
    monkeypatch.undo()
    assert environment.home_of(Path("/home/me/.local/share/uv/python/bin/python3")) == Path("/home")
    assert environment.home_of(Path("/usr/bin/python3.11")) is None
    assert environment.home_of(Path.home() / "bin" / "python3") == Path.home()


def test_a_dry_run_tells_what_it_takes(options: Options, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package_app(replace(options, project=project, dry_run=True))
    assert " MB: the Python packages that its programs need)" in capsys.readouterr().out
    assert not (project / "boinc2docker").exists()
