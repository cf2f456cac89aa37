"""Two clean systems that differ in all they can: what the README prints works there, and they make the same release."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from boinc2docker import __version__, console
from boinc2docker.base import mirrors
from boinc2docker.cli import release_verdict as verify_command
from boinc2docker.release.checkout import git
from boinc2docker.release.contents import MEASUREMENTS
from tests.conftest import needs
from tests.equipment.checkout import PROJECT_ROOT
from tests.release import sample_release
from tests.release.clean_root import CleanRoot, debootstrap, sources

CLONE = "/srv/boinc2docker"
OTHER_CLONE = "/opt/another place/böinc2docker"
TURKISH = "tr_TR.UTF-8"
"""Where the small form of I is another letter: a trap for whoever changes the case of a name by the locale."""
REPORT = "/root/tests.xml"
MISSING = re.compile(r"not on this machine|not installed")
NOT_LISTED = re.compile(r"(?:not on this machine: node, npm\b|(?:pigz|unpigz) is not installed)")
"""Skips for what ci/test-packages.txt leaves out on purpose."""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that other users can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="boinc2docker-clean-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def each_file_changed(release: Path) -> Iterator[str]:
    """The names of its files, each while one byte of that file is another one."""
    for path in sorted(release.iterdir()):
        at = path.stat().st_size * 2 // 3
        with path.open("r+b") as file:
            file.seek(at)
            before = file.read(1)
            file.seek(at)
            file.write(bytes([before[0] ^ 1]))
            file.flush()
            yield path.name
            file.seek(at)
            file.write(before)


def judge_tests(report: str, last_line: str, machine_tests: str) -> None:
    """Holds what `ci/invoke test` wrote and said last against a list of node names that must not have been skipped."""
    assert re.search(r"\b\d+ passed\b", last_line), last_line
    assert not re.search(r"\b(failed|errors?)\b", last_line), last_line
    cases = {
        (case.get("classname"), case.get("name")): case for case in ElementTree.fromstring(report).iter("testcase")
    }
    skipped = {key: str(skip.get("message")) for key, case in cases.items() for skip in case.iter("skipped")}
    for_want = {key: why for key, why in skipped.items() if MISSING.search(why) and not NOT_LISTED.search(why)}
    assert not for_want, for_want
    wanted = [line.split("::", 1) for line in machine_tests.splitlines() if "::" in line]
    keys = [(path.removesuffix(".py").replace("/", "."), name) for path, name in wanted if "boot2docker" not in path]
    assert len(keys) > 10, machine_tests
    unproven = {key: skipped.get(key, "was not run") for key in keys if key not in cases or key in skipped}
    assert not unproven, unproven


def case(name: str, skip: str = "") -> str:
    inside = f'<skipped type="pytest.skip" message="{skip}" />' if skip else ""
    return f'<testcase classname="tests.e2e.test_x" name="{name}">{inside}</testcase>'


ALL = [f"test_{number}[a]" for number in range(12)]


@pytest.mark.parametrize(
    ("last_line", "changed", "wrong"),
    [
        ("== 12 passed in 3.00s ==", {}, None),
        ("== 11 passed, 1 skipped in 3.00s ==", {"": "part of the long fault matrix"}, None),
        ("== 11 passed, 1 skipped in 3.00s ==", {"": "not on this machine: node, npm (…)"}, None),
        ("== 11 passed, 1 skipped in 3.00s ==", {"": "not on this machine: mariadbd (…)"}, "mariadbd"),
        ("== 11 passed, 1 skipped in 3.00s ==", {"": "QEMU is not installed (…)"}, "QEMU"),
        ("== 11 passed, 1 skipped in 3.00s ==", {ALL[3]: "no Debian mirror can be reached"}, "no Debian mirror"),
        ("== 11 passed in 3.00s ==", {ALL[3]: None}, "was not run"),
        ("== 1 failed, 11 passed in 3.00s ==", {}, "1 failed"),
        ("== 12 passed, 1 error in 3.00s ==", {}, "1 error"),
        ("no tests ran in 0.01s", {}, "no tests ran"),
    ],
)
def test_a_run_of_the_tests_is_judged(last_line: str, changed: dict[str, str | None], wrong: str | None) -> None:
    wanted = dict.fromkeys(ALL, "") | changed
    report = "".join(case(name, skip) for name, skip in wanted.items() if skip is not None)
    names = "".join(f"tests/e2e/test_x.py::{name}\n" for name in ALL)
    with pytest.raises(AssertionError, match=wrong) if wrong else contextlib.nullcontext():
        judge_tests(f"<testsuites><testsuite>{report}</testsuite></testsuites>", last_line, names)


def test_a_machine_whose_apt_names_no_mirror_of_debian_takes_a_public_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ubuntu's, as GitHub's machines have it."""
    for variable in mirrors.VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "sources.list").write_text("deb https://mirror.example.org/ubuntu noble main\n")
    found = sources("trixie", tmp_path)
    assert found.keys() == {"trixie", "trixie-security"}
    assert found["trixie"].startswith("https://")
    assert found["trixie"].endswith("/debian")
    assert found["trixie-security"].endswith("/debian-security")


@pytest.mark.machine
@pytest.mark.exhaustive
@pytest.mark.timeout(10_800)
def test_the_readme_and_a_release_in_two_clean_systems(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of two Debian releases: other Python, other libraries, other user, home, directory, time zone, umask, locale,
    number of cores. The first runs all tests, makes the release, boots and signs it; the second builds it again."""
    needs("minisign")

    @contextlib.contextmanager
    def step(title: str) -> Iterator[None]:
        """Told at once, and also where pytest keeps what tests print."""
        with capsys.disabled(), console.step(title):
            yield

    commit = git(PROJECT_ROOT, "rev-parse", "HEAD").strip()
    with step("A clean Debian 12"):
        first = CleanRoot(debootstrap(place / "first", "bookworm"))
        first.clone(CLONE, commit)
    with step("The README's first command there: ci/invoke build-iso"):
        built = first.run(["ci/invoke", "build-iso"], at=CLONE)
    assert f"build/boinc2docker-{__version__}.iso" in built
    with step("All tests: ci/invoke test"):
        reporting = replace(first, environment={"PYTEST_ADDOPTS": f"--junit-xml={REPORT}"})
        tested = reporting.run(["ci/invoke", "test"], at=CLONE)
    collect = [".venv/bin/python", "-m", "pytest", "--collect-only", "-q", "-m", "machine and not exhaustive"]
    names = first.run(collect, at=CLONE)
    judge_tests((first.path / REPORT[1:]).read_text(), tested.splitlines()[-1], names)

    secret = sample_release.new_key(first.path / "root" / "key")
    key = (secret.parent / "minisign.pub").read_text()
    with step("A release"):
        first.run(["ci/invoke", "release", "--version", __version__, "--key", "/root/key/minisign.key"], at=CLONE)
    release = place / "release"
    shutil.move(first.path / CLONE[1:] / "dist" / __version__, release)
    shutil.rmtree(first.path)
    assert json.loads((release / MEASUREMENTS).read_text())["run"]["exit_code"] == 0
    said = next(line.split()[-1] for line in built.splitlines() if "sha256" in line)
    assert said in (release / "SHA256SUMS").read_text()

    with step("A clean Debian 13"):
        second = CleanRoot(
            debootstrap(place / "second", "trixie", TURKISH),
            user=1234,
            umask=0o077,
            cores=1,
            environment={"TZ": "Asia/Kathmandu", "LC_ALL": TURKISH, "PYTHONHASHSEED": "4711"},
        )
        second.clone(OTHER_CLONE, commit)
    shows = "import locale; print(locale.setlocale(locale.LC_ALL, ''), locale.localeconv()['decimal_point'])"
    assert second.run(["python3", "-c", shows], at="/") == f"{TURKISH} ,\n", "the system has no such locale"
    with step("The first command there"):
        assert said in second.run(["ci/invoke", "build-iso"], at=OTHER_CLONE)
    shutil.copytree(release, second.path / "srv" / "release")
    with step("The release built again there"):
        judged = second.run(["ci/invoke", "verify-release", "/srv/release", "--rebuild", "--json"], at=OTHER_CLONE)
    assert json.loads(judged)["rebuilt"] is True
    shutil.rmtree(second.path)

    (place / "minisign.pub").write_text(key)
    assert verify_command.verify(release, key=str(place / "minisign.pub"), rebuild=False) == 0
    for name in each_file_changed(release):
        capsys.readouterr()
        assert verify_command.verify(release, key=str(place / "minisign.pub"), rebuild=False) == 1
        assert f"  {name}: " in capsys.readouterr().out
