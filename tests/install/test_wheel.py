"""The built wheel, installed: the command, the Python interface, and the same bytes as from the checkout."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from boinc2docker import __version__
from boinc2docker.app import distributions
from boinc2docker.base import Cache, Sources
from tests.app.conftest import INSTALL, WRAPPERS, binary, make_project
from tests.equipment.archives import Sample, old_docker, tar
from tests.equipment.checkout import PROJECT_ROOT, PYTHON_PATH
from tests.install.installation import NOBODY, Installation, build_wheel, run
from tests.results.samples import tgz
from tests.vm.tiny_guest import tiny_iso

BYTES = """
import hashlib
from boinc2docker.base import Sources
from boinc2docker.iso.overlay import DEFAULT_OVERLAY, overlay_image, read_overlay

debian = Sources().debian()
print(hashlib.sha256(overlay_image(read_overlay(DEFAULT_OVERLAY), "{}", {}, epoch=0)).hexdigest())
print(debian.key(debian.current_lock(locked=True), None).hex)
"""
"""Prints the digest of the guest's initramfs, and that of all that decides the bytes of the base below it."""


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A directory that other users can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="boinc2docker-install-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def wheel(room: Path) -> Path:
    return build_wheel(room / "wheel")


@pytest.fixture(scope="module")
def installed(room: Path, wheel: Path) -> Installation:
    """The wheel in an environment of its own, with the libraries of the tests."""
    made = Installation.make(room)
    made.pip_install("--no-index", "--no-deps", wheel)
    made.borrow_libraries()
    return made


def test_the_wheel_carries_guest_and_templates_with_their_modes(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "guest", "app_template"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = [PROJECT_ROOT / name for name in listed.stdout.split("\0") if name]
    expected = {
        f"boinc2docker/data/{path.relative_to(PROJECT_ROOT)}": (
            bool(path.stat().st_mode & stat.S_IXUSR),
            path.read_bytes(),
        )
        for path in paths
        if path.is_file()
    }
    assert len(expected) > 50
    with zipfile.ZipFile(wheel) as archive:
        found = {
            one.filename: (_executable(one.external_attr >> 16), archive.read(one))
            for one in archive.infolist()
            if one.filename.startswith("boinc2docker/data/")
        }
        names = {name.split("/")[0] for name in archive.namelist()}
    assert found == expected
    assert names == {"boinc2docker", f"boinc2docker-{__version__}.dist-info"}


def _executable(mode: int) -> bool:
    return bool(mode & stat.S_IXUSR)


def test_it_builds_the_same_bytes_as_the_checkout(installed: Installation) -> None:
    of_checkout = run(sys.executable, "-c", BYTES, env={**os.environ, "PYTHONPATH": PYTHON_PATH})
    assert len(of_checkout.split()) == 2
    assert installed.says(installed.python, "-c", BYTES) == of_checkout


def test_the_command_and_the_module_are_the_same(installed: Installation) -> None:
    assert __version__ in installed.says("boinc2docker", "--version")
    assert __version__ in installed.says(installed.python, "-m", "boinc2docker", "--version")
    assert "--memory" in installed.says("boinc2docker", "run", "--help")


def test_commands_of_maintainers_need_a_checkout(installed: Installation) -> None:
    done = installed.call("boinc2docker", "bench")
    assert done.returncode == 2, done.stdout + done.stderr


def test_a_job_is_tried_in_the_current_directory(installed: Installation) -> None:
    (installed.here / "image.tar").write_bytes(tar(old_docker(Sample())))
    told = json.loads(installed.says("boinc2docker", "submit", "--dry-run", "--json", "image.tar", "--", "/bin/first"))
    job = Path(told["job"])
    assert job.is_relative_to(installed.here / "submit")
    assert (job / "shared" / "boinc_app").is_file() or (job / "boinc_app").is_file()


def test_an_app_is_packaged_in_the_current_directory(installed: Installation) -> None:
    (installed.here / "wrappers").mkdir()
    for name, kind in WRAPPERS.items():
        (installed.here / "wrappers" / name).write_bytes(binary(kind))
    tiny_iso(installed.here / "tiny.iso")
    words = ("package-app", "--version", "1.02", "--wrapper", "wrappers", "--iso", "tiny.iso")
    installed.says("boinc2docker", *words, "--dry-run")
    assert not (installed.here / "apps").exists()
    installed.says("boinc2docker", *words)
    assert len(list((installed.here / "apps" / "boinc2docker" / "1.02").iterdir())) == len(WRAPPERS)


def test_a_project_goes_on_when_the_wheel_is_gone(room: Path, wheel: Path) -> None:
    """Installed by its owner; then the environment of the wheel is removed."""
    (room / "gone").mkdir(mode=0o755)
    made = Installation.make(room / "gone")
    made.pip_install("--no-index", "--no-deps", wheel)
    made.borrow_libraries()
    (made.here / "wrappers").mkdir()
    for name, kind in WRAPPERS.items():
        (made.here / "wrappers" / name).write_bytes(binary(kind))
    tiny_iso(made.here / "tiny.iso")
    project = make_project(made.here / "project")
    first = f"{project}/upload/boinc2docker_s_7_0_r1_0"
    Path(first).write_bytes(tgz({"a.csv": b"n\n1\n"}))
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", project], check=True)
    made.says(made.python, "-c", INSTALL, project, "tiny.iso", "wrappers", "build")
    shutil.rmtree(made.environment)
    made.says(project / "bin" / "boinc2docker_validator_init", first)
    made.says(project / "bin" / "boinc2docker_assimilator", "42", first)
    assert (project / "results/boinc2docker/s/boinc2docker_s_7/results/a.csv").read_bytes() == b"n\n1\n"
    assert "IMAGE" in made.says(project / "bin" / "boinc2docker_create_work.py", "--help")
    (own,) = (project / "boinc2docker" / "environments").iterdir()
    package = own / distributions.SITE / "boinc2docker"
    assert (package / "data" / "app_template" / "app.toml").is_file()
    assert not (package / "data" / "guest").exists()


def test_it_writes_here_and_to_the_cache_only(installed: Installation) -> None:
    before = {path: path.stat().st_mtime_ns for path in installed.site_packages.rglob("*")}
    (installed.here / "other.tar").write_bytes(tar(old_docker(Sample(name="example/other:1"))))
    installed.says("boinc2docker", "submit", "--dry-run", "other.tar", "--", "/bin/first")
    after = {path: path.stat().st_mtime_ns for path in installed.site_packages.rglob("*")}
    assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} == set()
    written = [path.relative_to(installed.home).parts for path in installed.home.rglob("*")]
    assert {parts[:2] for parts in written} <= {(".cache",), (".cache", "boinc2docker")}


def test_a_users_program_is_typed(installed: Installation) -> None:
    program = installed.here / "program.py"
    call = 'made = submit("python:3-slim", Job(command=("true",)), project=Path("/p"))\nnumber: {} = made.outcome.id\n'
    head = "from pathlib import Path\n\nfrom boinc2docker import Job, submit\n\n"
    argv = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary"]
    argv += ["--python-executable", str(installed.python), str(program)]
    for kind, code in (("int | None", 0), ("str", 1)):
        program.write_text(head + call.format(kind))
        done = subprocess.run(argv, cwd=installed.here, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
    assert "Incompatible types in assignment" in done.stdout


def test_a_clone_installed_for_editing_uses_its_own_files(room: Path) -> None:
    (room / "editing").mkdir(mode=0o755)
    made = Installation.make(room / "editing")
    made.borrow_libraries()
    made.pip_install("--no-index", "--no-deps", "--no-build-isolation", "-e", PROJECT_ROOT)
    program = "from boinc2docker import places; print(places.CHECKOUT, places.GUEST)"
    found = subprocess.run([made.python, "-c", program], cwd=made.here, capture_output=True, text=True, check=True)
    assert found.stdout.split() == [str(PROJECT_ROOT), str(PROJECT_ROOT / "guest")]


@pytest.mark.exhaustive
@pytest.mark.timeout(1800)
def test_from_the_network_it_builds_the_same_iso(room: Path, wheel: Path, built: dict[str, object]) -> None:
    (room / "network").mkdir(mode=0o755)
    made = Installation.make(room / "network")
    made.pip_install("--require-hashes", "-r", PROJECT_ROOT / "ci" / "requirements.lock")
    made.pip_install("--no-index", "--no-deps", wheel)
    cache = made.home / ".cache" / "boinc2docker"
    for package in Sources().debian().current_lock(locked=True).packages:
        target = Cache(cache).path(package.digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Cache.of_user().path(package.digest), target)
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", made.home], check=True)
    done = made.call("boinc2docker", "build-iso", "--locked", "--json", timeout=1500)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["sha256"] == built["sha256"]
    assert Path(told["iso"]) == made.here / f"boinc2docker-{__version__}.iso"
