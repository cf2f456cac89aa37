"""Changed files of a project: who owns them, who may read them, and what comes back when a step fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import cast

import pytest

from boinc2docker import atomic
from boinc2docker.app import changes
from boinc2docker.app.changes import Change, Plan
from boinc2docker.app.tree import Directory, File
from boinc2docker.app.version import Version
from boinc2docker.errors import HostError
from boinc2docker.project.project import Project


class _Project:
    def __init__(self, root: Path) -> None:
        self.root, self.apps = root, root / "apps"


def planned(root: Path) -> Plan:
    """A changed config.xml and project.xml, a new file, and one directory of an app whose name has two underscores."""
    changes = []
    for name in ("config.xml", "project.xml"):
        path = root / name
        path.write_bytes(b"before")
        changes.append(Change(path, b"before", b"after", 0o640))
    changes.append(Change(root / "new", None, b"new"))
    tree = Directory("linux__vbox64", (File.of_bytes("a", b"one"),))
    return Plan(cast(Project, _Project(root)), "my__app", Version(100), (tree,), tuple(changes), (), ())


def test_a_changed_file_and_its_backup_keep_mode_owner_and_link(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    config, project = tmp_path / "config.xml", tmp_path / "project.xml"
    config.chmod(0o640)
    (tmp_path / "etc").mkdir()
    real = project.rename(tmp_path / "etc" / "project.xml")
    project.symlink_to("etc/project.xml")
    wanted = (1, 33) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    if os.geteuid() == 0:
        os.chown(config, *wanted)
    with changes.carried_out(plan) as done:
        pass
    for path in (config, done.backups[config]):
        found = path.stat()
        assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (0o640, *wanted), path
    assert project.is_symlink()
    assert real.read_bytes() == b"after"


def test_an_owner_that_cannot_be_kept_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    plan = planned(tmp_path)
    monkeypatch.setattr(os, "chown", refuse)
    real = Path.stat
    changed = os.stat_result((0o100640, 1, 1, 1, 4242, 4243, 6, 0, 0, 0))
    monkeypatch.setattr(
        Path, "stat", lambda self, **words: changed if self.name == "config.xml" else real(self, **words)
    )
    with changes.carried_out(plan):
        pass
    assert "cannot keep owner and group 4242:4243" in capsys.readouterr().err


def test_a_failure_puts_back_what_is_still_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(tmp_path)
    other = tmp_path / "apps" / "my__app" / "notes"
    with pytest.raises(HostError, match="the cause"), changes.carried_out(plan) as done:  # noqa: PT012
        other.write_text("another's")
        monkeypatch.setattr(atomic, "replacing", lambda *_, **__: pytest.fail("a full disk takes nothing more"))
        raise HostError("cause", "the cause")
    assert [(tmp_path / name).read_bytes() for name in ("config.xml", "project.xml")] == [b"before"] * 2
    assert done.backups == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["apps", "config.xml", "project.xml"]
    assert [path for path in (tmp_path / "apps").rglob("*") if path.is_file()] == [other]


def test_what_another_wrote_meanwhile_stays_with_the_backup_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planned(tmp_path)
    with pytest.raises(KeyboardInterrupt), changes.carried_out(plan) as done:  # noqa: PT012
        (tmp_path / "config.xml").write_bytes(b"another's")
        (tmp_path / "new").write_bytes(b"another's, too")
        raise KeyboardInterrupt
    assert (tmp_path / "config.xml").read_bytes() == b"another's"
    assert (tmp_path / "new").read_bytes() == b"another's, too"
    assert (tmp_path / "project.xml").read_bytes() == b"before"
    (backup,) = done.backups.values()
    assert backup.read_bytes() == b"before"
    assert backup.name in capsys.readouterr().err.replace("\n", "")


def test_a_backup_that_cannot_be_put_back_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(tmp_path)
    with pytest.raises(HostError, match="the cause"), changes.carried_out(plan) as done:  # noqa: PT012
        monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.EROFS, "read-only")))
        raise HostError("cause", "the cause")
    assert [path.read_bytes() for path in done.backups.values()] == [b"before"] * 2
