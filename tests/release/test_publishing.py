"""The scripts that sign, publish and propose: what the workflows leave to ``ci/``."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from boinc2docker.release import checkout
from tests.conftest import needs
from tests.equipment.checkout import PROJECT_ROOT
from tests.release import sample_release
from tests.release.test_make import git


@pytest.fixture
def gh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for GitHub's program that writes down its words; the file ``open`` holds an open request's number."""
    folder = tmp_path / "bin"
    folder.mkdir()
    journal, number = shlex.quote(str(tmp_path / "words")), shlex.quote(str(tmp_path / "open"))
    listed = f'case "$1 $2" in "pr list") [ ! -e {number} ] || cat {number} ;; esac'
    (folder / "gh").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{journal}\n{listed}\n')
    (folder / "gh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return tmp_path / "words"


def test_publish_attaches_every_file(gh: Path, tmp_path: Path) -> None:
    release = sample_release.write(tmp_path / "dist" / "2.0.0")
    subprocess.run([PROJECT_ROOT / "ci" / "publish", release], check=True)
    given = gh.read_text().splitlines()
    assert given[:4] == ["release", "create", "v2.0.0", "--verify-tag"]
    assert {str(path) for path in release.iterdir()} <= set(given)
    failed = subprocess.run([PROJECT_ROOT / "ci" / "publish", tmp_path], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "holds no release" in failed.stderr


def test_without_a_key_a_release_stays_unsigned_if_that_is_wished(tmp_path: Path) -> None:
    release = sample_release.write(tmp_path / "release")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MINISIGN")}
    sign = [str(PROJECT_ROOT / "ci" / "sign")]
    done = subprocess.run([*sign, "--if-key", release], env=environment, capture_output=True, text=True, check=True)
    assert "stays unsigned" in done.stderr
    assert subprocess.run([*sign, release], env=environment, capture_output=True, check=False).returncode == 1
    assert not list(release.glob("*.minisig"))


def test_where_a_key_is_published_a_release_is_signed_with_it_or_not_at_all(tmp_path: Path) -> None:
    needs("minisign")
    (tmp_path / "ci").mkdir()
    sign = [shutil.copy(PROJECT_ROOT / "ci" / "sign", tmp_path / "ci"), "--if-key"]
    release = sample_release.write(tmp_path / "release")
    secret, other = sample_release.new_key(tmp_path / "key"), sample_release.new_key(tmp_path / "other")
    shutil.copy(secret.with_suffix(".pub"), tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MINISIGN")}
    for given, message in (({}, "no key"), ({"MINISIGN_KEY": other.read_text()}, "not that of minisign.pub")):
        failed = subprocess.run([*sign, release], env=environment | given, capture_output=True, text=True, check=False)
        assert failed.returncode == 1
        assert message in failed.stderr
        assert not list(release.glob("*.minisig"))
    subprocess.run([*sign, release], env=environment | {"MINISIGN_KEY": secret.read_text()}, check=True)
    assert len(list(release.glob("*.minisig"))) == 2


def test_a_changed_lock_becomes_a_branch_and_a_pull_request(gh: Path, tmp_path: Path) -> None:
    needs("git")
    remote, clone, report = tmp_path / "remote.git", tmp_path / "clone", tmp_path / "report"
    for name in ("ci/propose-base", checkout.LOCK):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT_ROOT / name, clone / name)
    git(clone, "init", "-q")
    git(clone, "add", ".")
    git(clone, "commit", "-q", "-m", "all")
    git(tmp_path, "clone", "-q", "--bare", str(clone), str(remote))
    git(clone, "remote", "add", "origin", str(remote))
    report.mkdir()
    (report / "summary.md").write_text("what changed\n")
    shutil.copy(clone / checkout.LOCK, report / "packages.lock")
    propose = [str(clone / "ci" / "propose-base"), str(report)]
    subprocess.run(propose, check=True)
    assert not gh.exists(), "an unchanged lock is nothing to propose"
    with (report / "packages.lock").open("a") as stream:
        stream.write("# newer\n")
    subprocess.run(propose, check=True)
    assert git(remote, "show", f"base-update:{checkout.LOCK}").endswith("# newer\n")
    assert git(remote, "diff", "--name-only", "main", "base-update").split() == [checkout.LOCK]
    asked, made = gh.read_text().split("pr\ncreate\n")
    assert asked.splitlines()[:6] == ["pr", "list", "--head", "base-update", "--state", "open"]
    assert made.splitlines()[:2] == ["--head", "base-update"]
    assert made.splitlines()[-2:] == ["--body-file", str(report / "summary.md")]

    gh.unlink()
    (tmp_path / "open").write_text("17\n")
    git(clone, "switch", "-q", "main")
    subprocess.run(propose, check=True)
    asked, changed = gh.read_text().split("api\n")
    assert "create" not in asked
    assert changed.splitlines()[:4] == ["--silent", "-X", "PATCH", "repos/{owner}/{repo}/pulls/17"]
    assert changed.splitlines()[-2:] == ["-F", f"body=@{report / 'summary.md'}"]
