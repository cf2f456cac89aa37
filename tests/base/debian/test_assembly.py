"""The whole assembly: what an interruption leaves behind, and that its bytes are the same anywhere."""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from boinc2docker.base import Base
from boinc2docker.base.debian import assemble, reading
from boinc2docker.base.lock import LockedPackage
from boinc2docker.digest import Digest
from boinc2docker.errors import BuilderError, HostError
from tests.equipment.checkout import PROJECT_ROOT

FILES = PROJECT_ROOT / "guest" / "debian"
Debs = Mapping[LockedPackage, Path]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files, of this test alone."""
    made = tmp_path / "tmp"
    made.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    return made


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")], ids=repr)
def test_what_stops_it_leaves_nothing_behind(
    locked_packages: Debs, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    def stopped(*args: object) -> reading.Contents:
        assert list(work.iterdir()), "the tools are unpacked by now"
        raise stop

    monkeypatch.setattr(reading, "read", stopped)
    (tmp_path / "out.iso").write_bytes(b"as it was")
    with pytest.raises((KeyboardInterrupt, HostError)) as caught:
        assemble(locked_packages, FILES, tmp_path / "out.iso", epoch=0)
    assert list(work.iterdir()) == []
    assert (tmp_path / "out.iso").read_bytes() == b"as it was"
    if isinstance(caught.value, BuilderError):
        assert caught.value.code == "disk-full"


def test_a_directory_in_which_nothing_runs_is_named(
    locked_packages: Debs, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: object, **options: object) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("boinc2docker.programs.run", refused)
    with pytest.raises(HostError, match="programs cannot be run from the temporary directory") as caught:
        assemble(locked_packages, FILES, tmp_path / "out.iso", epoch=0)
    assert caught.value.hint is not None
    assert "TMPDIR" in caught.value.hint


def test_another_kind_of_host_is_told_what_to_do(
    locked_packages: Debs, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(HostError, match="this is Linux aarch64"):
        assemble(locked_packages, FILES, tmp_path / "out.iso", epoch=0)


@pytest.mark.exhaustive
@pytest.mark.timeout(3600)
def test_the_same_packages_are_the_same_iso_anywhere(
    debian_iso: Base, locked_packages: Debs, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    umask, cores = os.umask(0o077), os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        backwards = dict(sorted(locked_packages.items(), reverse=True))
        facts = assemble(backwards, FILES, tmp_path / "again.iso", epoch=debian_iso.epoch)
    finally:
        os.umask(umask)
        os.sched_setaffinity(0, cores)
        monkeypatch.undo()
        time.tzset()
    assert Digest.of_file(tmp_path / "again.iso") == debian_iso.digest
    assert facts == debian_iso.facts
