"""Two clean systems that differ in all they can: what the README prints works there, and they make the same release."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder import PROJECT_ROOT, __version__
from ci.release import verify_command
from ci.release.checkout import git
from ci.release.contents import MEASUREMENTS
from tests.conftest import needs
from tests.release import sample_release
from tests.release.clean_root import CleanRoot, debootstrap

CLONE = "/srv/boinc2docker"
OTHER_CLONE = "/opt/another place/böinc2docker"


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


@pytest.mark.machine
@pytest.mark.exhaustive
@pytest.mark.timeout(7200)
def test_the_readme_and_a_release_in_two_clean_systems(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of two Debian releases: other Python, other libraries, other user, home, directory, time zone, umask, locale,
    number of cores. The first makes the release, boots and signs it; the second one builds it again."""
    needs("minisign")
    commit = git(PROJECT_ROOT, "rev-parse", "HEAD").strip()
    first = CleanRoot(debootstrap(place / "first", "bookworm"))
    first.clone(CLONE, commit)
    built = first.run(["ci/invoke", "build-iso"], at=CLONE)
    assert f"build/boinc2docker-{__version__}.iso" in built
    tested = first.run(["ci/invoke", "test", "--", "tests/e2e/test_job.py"], at=CLONE)
    assert "1 passed" in tested, tested

    secret = sample_release.new_key(first.path / "root" / "key")
    key = (secret.parent / "minisign.pub").read_text()
    first.run(["ci/invoke", "release", "--version", __version__, "--key", "/root/key/minisign.key"], at=CLONE)
    release = place / "release"
    shutil.move(first.path / CLONE[1:] / "dist" / __version__, release)
    shutil.rmtree(first.path)
    assert json.loads((release / MEASUREMENTS).read_text())["run"]["exit_code"] == 0
    said = next(line.split()[-1] for line in built.splitlines() if "sha256" in line)
    assert said in (release / "SHA256SUMS").read_text()

    second = CleanRoot(
        debootstrap(place / "second", "trixie"),
        user=1234,
        umask=0o077,
        cores=1,
        environment={"TZ": "Asia/Kathmandu", "LC_ALL": "C", "LANG": "tr_TR.UTF-8", "PYTHONHASHSEED": "4711"},
    )
    second.clone(OTHER_CLONE, commit)
    shutil.copytree(release, second.path / "srv" / "release")
    judged = second.run(["ci/invoke", "verify-release", "/srv/release", "--rebuild", "--json"], at=OTHER_CLONE)
    assert json.loads(judged)["rebuilt"] is True
    shutil.rmtree(second.path)

    (place / "minisign.pub").write_text(key)
    assert verify_command.verify(release, key=str(place / "minisign.pub"), rebuild=False) == 0
    for name in each_file_changed(release):
        capsys.readouterr()
        assert verify_command.verify(release, key=str(place / "minisign.pub"), rebuild=False) == 1
        assert f"  {name}: " in capsys.readouterr().out
