"""A run's directory: what a container's root leaves there must not serve other users of this host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from boinc2docker.errors import MachineError
from boinc2docker.vm import Settings, run, run_job
from boinc2docker.vm.acceleration import TCG
from boinc2docker.vm.run_directory import disarm, new_directory
from boinc2docker.vm.watch import Ending


def mode(path: Path) -> int:
    return path.lstat().st_mode & 0o7777


def test_nobody_else_enters_a_run(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        first, second = new_directory(tmp_path / "run"), new_directory(tmp_path / "run")
    finally:
        os.umask(old)
    assert [first.own.name, second.own.name] == ["1", "2"]
    assert mode(first.own) == mode(second.own) == 0o700


def test_bits_that_run_a_file_as_its_owner_go(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "shared"
    outside.touch()
    outside.chmod(0o4755)
    (folder / "closed").mkdir(parents=True)
    (folder / "link").symlink_to(outside)
    for name, bits in {"a": 0o4777, "closed/b": 0o6111, "c": 0o1640}.items():
        (folder / name).touch()
        (folder / name).chmod(bits)
    (folder / "closed").chmod(0o011)
    folder.chmod(0)
    disarm(folder)
    assert mode(folder) == 0o700, "or nobody but root can look for the others"
    assert mode(folder / "closed") == 0o711
    assert [mode(folder / name) for name in ("a", "closed/b", "c")] == [0o777, 0o111, 0o1640]
    assert mode(outside) == 0o4755


def test_it_is_done_after_every_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared, link, iso = tmp_path / "shared", tmp_path / "link", tmp_path / "iso"
    iso.write_bytes(bytes(32769) + b"CD001")
    shared.mkdir()
    link.symlink_to(shared)
    (shared / "boinc_app").touch()

    def machine(*_: object) -> Ending:
        (shared / "boinc_app").chmod(0o4755)
        shared.chmod(0)
        return Ending.TIMEOUT

    monkeypatch.setattr(run._Run, "until_it_ends", machine)
    settings = Settings(acceleration=TCG, timeout=1)
    with pytest.raises(MachineError):
        run_job(link, None, iso, settings, results=tmp_path / "results", log=tmp_path / "log")
    assert mode(shared) == 0o700
    assert mode(shared / "boinc_app") == 0o755
