"""The course of a release: what it refuses, what it leaves behind, that rooms differ."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from boinc2docker import __version__
from boinc2docker.base import Cache
from boinc2docker.cli import release_verdict as verify_command
from boinc2docker.digest import Digest
from boinc2docker.errors import BuilderError, HostError, InputError, UsageError, VerificationError
from boinc2docker.release import checkout, integrity, make, rooms
from boinc2docker.release.contents import MEASUREMENTS, SUMS, Names
from boinc2docker.release.make import Options
from boinc2docker.release.provenance import Source
from boinc2docker.release.rooms import Materials, Room
from tests.conftest import needs
from tests.equipment.checkout import PROJECT_ROOT
from tests.release import sample_release
from tests.release.real_inputs import locked_packages

FIGURES = {"phases": {"power-on → init": 3.5}, "size_bytes": {"total": 79_000_000}}


def git(directory: Path, *words: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "init.defaultBranch=main"]
    argv = ["git", *identity, *words]
    return subprocess.run(argv, cwd=directory, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small repository with the files a release looks at, one release behind it."""
    needs("git")
    root = tmp_path / "repository"
    for name in ("guest/debian/packages.lock", "ci/requirements.lock", "pyproject.toml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT_ROOT / name, root / name)
    (root / "CHANGELOG.md").write_text(f"# Changelog\n\n## {__version__}\n\nNew.\n\n## 1.9.0\n\nOld.\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "all")
    return root


def test_a_clean_checkout_tells_its_commit_and_its_pins(repository: Path) -> None:
    found = checkout.source(repository)
    assert found.commit == git(repository, "rev-parse", "HEAD").strip()
    assert found.files[checkout.LOCK] == Digest.of_file(PROJECT_ROOT / checkout.LOCK)
    assert "ci/requirements.lock" in found.files


@pytest.mark.parametrize("name", ["pyproject.toml", "new-file"])
def test_a_checkout_that_differs_from_its_commit_is_refused(repository: Path, name: str) -> None:
    with (repository / name).open("a") as stream:
        stream.write("\n")
    with pytest.raises(InputError, match=name):
        checkout.source(repository)


def test_the_release_before_is_the_tag_that_the_changelog_names(repository: Path) -> None:
    text = (repository / "CHANGELOG.md").read_text()
    with pytest.raises(InputError, match=r"no tag v1\.9\.0"):
        checkout.previous(__version__, text, repository)
    git(repository, "tag", "v1.9.0")
    found = checkout.previous(__version__, text, repository)
    assert found is not None
    lock, _ = locked_packages()
    assert found.packages == checkout.in_image(lock)
    assert "squashfs-tools" not in found.packages
    assert checkout.previous("1.9.0", text, repository) is None


def test_another_version_than_the_checkouts_is_wrong_usage(repository: Path) -> None:
    checkout.require_version(__version__, repository)
    with pytest.raises(UsageError, match=r"found 9\.9\.9"):
        checkout.require_version("9.9.9", repository)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, iso: Path) -> list[Room]:
    """Rooms that give this session's ISO, a clean checkout, no machine: only the course is under test."""
    seen: list[Room] = []

    def build(room: Room, materials: Materials, work: Path) -> Path:
        seen.append(room)
        target = work / f"{len(seen)}.iso"
        shutil.copy(iso, target)
        return target

    monkeypatch.setattr(rooms, "build", build)
    monkeypatch.setattr(checkout, "source", lambda: Source("a" * 40, "b" * 40, {}))
    monkeypatch.setattr(checkout, "changelog", lambda: f"## {__version__}\n\nNew.\n")
    monkeypatch.setattr(checkout, "archive", lambda: b"")
    return seen


def made(output: Path, *, figures: Mapping[str, Any] = FIGURES, key: Path | None = None) -> Path:
    return make.release(Options(__version__, output, key=key), measure=lambda _: figures)


def test_a_release_is_whole_and_signed(stand_in: list[Room], tmp_path: Path) -> None:
    needs("minisign")
    target = made(tmp_path / "dist" / __version__, key=sample_release.new_key(tmp_path / "key"))
    names = Names(__version__)
    assert {path.name for path in target.iterdir()} == names.possible
    verdict = integrity.judge(target)
    assert verdict.problems == ()
    assert verdict.signer
    assert json.loads((target / MEASUREMENTS).read_text())["phases"] == FIGURES["phases"]
    assert len(stand_in) == 2
    assert stand_in[0].umask != stand_in[1].umask
    assert [path.name for path in (tmp_path / "dist").iterdir()] == [__version__]
    with pytest.raises(InputError, match="a release is made only once"):
        made(target)


def test_what_is_measured_is_not_among_the_digests(stand_in: list[Room], tmp_path: Path) -> None:
    first, second = (made(tmp_path / name, figures={"phases": {"boot": n}}) for n, name in enumerate(("one", "two")))
    assert (first / SUMS).read_bytes() == (second / SUMS).read_bytes()
    assert (first / MEASUREMENTS).read_bytes() != (second / MEASUREMENTS).read_bytes()


def test_two_builds_that_differ_are_no_release(
    stand_in: list[Room], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = rooms.build

    def build(room: Room, materials: Materials, work: Path) -> Path:
        built = honest(room, materials, work)
        if room is rooms.SECOND:
            data = bytearray(built.read_bytes())
            data[data.index(b"B2D_2_0_0")] ^= 32
            built.write_bytes(data)
        return built

    monkeypatch.setattr(rooms, "build", build)
    with pytest.raises(VerificationError, match="volume id: B2D_2_0_0 → b2D_2_0_0"):
        made(tmp_path / "dist" / "x")
    assert list((tmp_path / "dist").iterdir() if (tmp_path / "dist").exists() else []) == []


def test_a_machine_that_fails_is_no_release(stand_in: list[Room], tmp_path: Path) -> None:
    def fail(_: Path) -> Mapping[str, Any]:
        raise HostError("job-failed", "the job failed")

    with pytest.raises(BuilderError, match="the job failed"):
        make.release(Options(__version__, tmp_path / "dist" / "x"), measure=fail)
    assert list((tmp_path / "dist").iterdir()) == []


def test_a_rebuild_compares_every_file(
    stand_in: list[Room], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = made(tmp_path / "release")
    assert verify_command.verify(target, key=None, unsigned=True, rebuild=True) == 0
    assert "the same bytes" in capsys.readouterr().out
    monkeypatch.setattr(checkout, "changelog", lambda: f"## {__version__}\n\nOther words.\n")
    assert verify_command.verify(target, key=None, unsigned=True, rebuild=True) == 1
    assert "RELEASE_NOTES.md: differs from what this checkout builds" in capsys.readouterr().out
    monkeypatch.setattr(checkout, "source", lambda: Source("c" * 40, "b" * 40, {}))
    with pytest.raises(InputError, match="checked out is cccc"):
        verify_command.verify(target, key=None, unsigned=True, rebuild=True)


def test_a_room_differs_from_here_in_everything_and_leaves_nothing_changed(tmp_path: Path) -> None:
    """A stand-in for build-iso tells what it sees."""
    files = tmp_path / "files"
    program = files / "builder" / "boinc2docker" / "cli" / "program.py"
    program.parent.mkdir(parents=True)
    program.write_text(
        "import json, os, sys\n"
        "umask = os.umask(0)\n"
        "seen = {'cores': len(os.sched_getaffinity(0)), 'umask': umask, 'argv': sys.argv[1:], 'cwd': os.getcwd()}\n"
        "seen |= {'environment': dict(os.environ), 'mode': os.stat(__file__).st_mode & 0o777}\n"
        "open(sys.argv[-1], 'w').write(json.dumps(seen))\n"
    )
    archive = subprocess.run(["tar", "-c", "-C", files, "builder"], check=True, capture_output=True).stdout
    materials = Materials(archive, Cache(tmp_path / "cache"), (), 1_700_000_000)
    before = os.sched_getaffinity(0), Path.cwd()
    seen = [json.loads(rooms.build(room, materials, tmp_path).read_text()) for room in (rooms.FIRST, rooms.SECOND)]
    assert (os.sched_getaffinity(0), Path.cwd()) == before
    assert [one["umask"] for one in seen] == [0o022, 0o077]
    assert [one["mode"] & 0o077 for one in seen] == [0o044, 0]
    assert seen[1]["cores"] == 1
    for name in ("HOME", "TZ", "LC_ALL", "PYTHONHASHSEED", "BOINC2DOCKER_CACHE", "TMPDIR"):
        assert seen[0]["environment"][name] != seen[1]["environment"][name]
    assert all(one["environment"]["SOURCE_DATE_EPOCH"] == "1700000000" for one in seen)
    assert all("--locked" in one["argv"] and "--offline" in one["argv"] for one in seen)


def test_a_failing_build_says_why(tmp_path: Path) -> None:
    program = tmp_path / "builder" / "boinc2docker" / "cli" / "program.py"
    program.parent.mkdir(parents=True)
    program.write_text('print(\'{"error": {"message": "no room"}}\'); raise SystemExit(1)')
    archive = subprocess.run(["tar", "-c", "-C", tmp_path, "builder"], check=True, capture_output=True).stdout
    with pytest.raises(HostError, match="no room"):
        rooms.build(rooms.FIRST, Materials(archive, Cache(tmp_path), (), 0), tmp_path / "work")
