"""Files of a project that are written all together: each kept beside its old content, and put back if a step fails."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from boinc2docker import atomic, console
from boinc2docker.app import environment, tree
from boinc2docker.app.environment import Environment
from boinc2docker.app.tree import Directory
from boinc2docker.app.version import Version
from boinc2docker.errors import BuilderError, HostError
from boinc2docker.project.project import Project, read_file

_SECRET = re.compile(r"(<(\w*(?:passwd|password|secret|private_key|akismet_key|token))\s*>)(.*?)(</\2\s*>)", re.DOTALL)
"""Elements of config.xml that are for the project's own programs (BOINC ``html/inc``, ``sched/sched_config.cpp``)."""


def masked(text: str) -> str:
    """A project file's text as it may be shown: each line keeps its place, passwords and keys do not."""
    return _SECRET.sub(lambda one: one[1] + re.sub(r"[^\n]+", "(hidden)", one[3]) + one[4], text)


@dataclass(frozen=True)
class Change:
    """A file that gets other bytes; ``before`` is None for a new one. One that is ``told`` is not worth a diff."""

    path: Path
    before: bytes | None
    after: bytes
    mode: int = 0o644
    told: bool = False

    def diff(self, root: Path) -> str:
        """A unified diff, as ``patch`` reads it, without passwords and keys."""
        name = str(self.path.relative_to(root))
        before, after = (
            masked(data.decode("utf-8", "replace")).splitlines() for data in (self.before or b"", self.after)
        )
        old = "/dev/null" if self.before is None else name
        return "\n".join(difflib.unified_diff(before, after, old, name, lineterm=""))


@dataclass(frozen=True)
class Plan:
    """All that an installation will do. ``told`` are entries that were there and differ; ``notes`` are warnings;
    ``environment`` is what its scripts run from, None if it writes no script."""

    project: Project
    app: str
    version: Version
    directories: tuple[Directory, ...]
    changes: tuple[Change, ...]
    told: tuple[str, ...]
    notes: tuple[str, ...]
    environment: Environment | None = None


@dataclass
class Done:
    """What an installation has made so far: enough to name it all, and to take it back.

    ``published`` are the files that are new in the download directory, ``environment`` the one that was made, in
    ``outermost`` of the directories that are new for it. What is ``final`` is not taken back: the database may name it.
    """

    environment: Path | None = None
    outermost: Path | None = None
    made: list[Path] = field(default_factory=list)
    published: list[Path] = field(default_factory=list)
    backups: dict[Path, Path] = field(default_factory=dict)
    written: list[Change] = field(default_factory=list)
    final: bool = False

    def roll_back(self) -> None:
        """Removes what is new, which frees room, and puts the backup of every file back that is still as it was
        written here. Goes on past errors: more restored is better than less; a backup that is still needed stays."""
        for path in self.published:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        tree.remove(self.made)
        for change in reversed(self.written):
            with contextlib.suppress(OSError, BuilderError):
                self._restore(change)
        self._remove_environment()
        for path, backup in self.backups.items():
            console.warn(f"{path} could not be put back: it was changed meanwhile, or cannot be written; see {backup}")

    def _remove_environment(self) -> None:
        """Unless a script that could not be restored names it."""
        if self.environment is not None:
            root = self.environment.parents[len(environment.DIRECTORY.parts)]
            if self.environment in environment.unused(root, set())[0]:
                environment.remove(self.environment)
            for directory in (root / one for one in (environment.DIRECTORY, environment.DIRECTORY.parent)):
                with contextlib.suppress(OSError):
                    directory.rmdir()

    def _restore(self, change: Change) -> None:
        backup = self.backups.get(change.path)
        now = read_file(change.path)
        if now == change.after and backup is not None:
            backup.replace(change.path.resolve())
        elif now == change.after and change.before is None:
            change.path.unlink()
        elif now == change.before and backup is not None:
            backup.unlink()  # it had not been written yet
        else:
            return
        self.backups.pop(change.path, None)


@contextlib.contextmanager
def carried_out(planned: Plan) -> Iterator[Done]:
    """Does what is planned. What is raised inside the ``with`` block, or while doing it, takes all of it back."""
    done = Done()
    try:
        for change in planned.changes:
            if change.before is not None:
                _require_writable(change.path)
        if planned.environment is not None and not planned.environment.is_there():
            with console.step(f"Copy the Python environment to {planned.environment.path}"):
                done.environment = planned.environment.path
                done.outermost = next(path for path in planned.environment.directories if not path.exists())
                planned.environment.make()
        if planned.directories:
            done.made += tree.write(planned.project.apps, planned.app, planned.version, planned.directories)
        for change in planned.changes:
            _require_unchanged(change)
            done.written.append(change)
            if change.before is not None:
                done.backups[change.path] = _back_up(change.path, f"{planned.app}-{planned.version}")
            with _replacing(change.path.resolve(), change.path, change.mode) as temporary:
                temporary.write_bytes(change.after)
        yield done
    except BaseException:
        if done.final:
            console.warn("the installation stays, since update_versions may have added versions of it: run this again")
        else:
            done.roll_back()
        raise


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777 if path.exists() else 0o644


def _require_writable(path: Path) -> None:
    if not path.stat().st_mode & 0o200:
        raise HostError("read-only", f"cannot change {path}: it is read-only", hint=f"chmod u+w {path}, if it is meant")


def _require_unchanged(change: Change) -> None:
    if read_file(change.path) != change.before:
        raise HostError("changed-meanwhile", f"{change.path} was changed by another", hint="run it again")


def _back_up(path: Path, mark: str) -> Path:
    """A copy beside the file, as closed to others as it is, under a name that is free."""
    path = path.resolve()
    names = (path.with_name(f"{path.name}.before-{mark}{'' if n == 1 else f'-{n}'}") for n in range(1, 1000))
    target = next(name for name in names if not name.exists())
    with _replacing(target, path, mode_of(path)) as temporary:
        shutil.copyfile(path, temporary)
    return target


@contextlib.contextmanager
def _replacing(target: Path, like: Path, mode: int) -> Iterator[Path]:
    """``atomic.replacing`` that keeps the owner and the group of ``like``, if there is one: BOINC's daemons and the web
    server may be other users than the operator."""
    with atomic.replacing(target, mode=mode) as temporary:
        yield temporary
        if not like.exists():
            return
        wanted, made = like.stat(), temporary.stat()
        if (wanted.st_uid, wanted.st_gid) != (made.st_uid, made.st_gid):
            try:
                os.chown(temporary, wanted.st_uid, wanted.st_gid)
            except PermissionError:
                console.warn(f"{target} cannot keep owner and group {wanted.st_uid}:{wanted.st_gid}: chown it")
