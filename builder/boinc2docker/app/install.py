"""An app's version into a project: planned first, shown, then done; taken back if a step fails."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from boinc2docker import atomic, console
from boinc2docker.app import installed, merge, project_xml, server_side, tree
from boinc2docker.app.download import require_publishable
from boinc2docker.app.installed import Installed
from boinc2docker.app.project import Project, read_file, require_no_strays
from boinc2docker.app.settings import Settings
from boinc2docker.app.template import Templates
from boinc2docker.app.tree import Directory
from boinc2docker.app.version import Version, directory_number
from boinc2docker.app.wrapper_catalogue import Platform
from boinc2docker.errors import BuilderError, HostError

PARTS = (
    "template_in",
    "template_out",
    "vbox_job",
    *server_side.SCRIPTS,
    "create_work",
    "project",
    "plan_class",
    "config",
)
"""What ``--dont-install`` takes; the first, second and fourth are the classic tool's names. Without its scripts neither
the assimilator's nor the validator's daemon is registered."""


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
    """All that an installation will do. ``told`` are entries that were there and differ; ``notes`` are warnings."""

    project: Project
    app: str
    version: Version
    directories: tuple[Directory, ...]
    changes: tuple[Change, ...]
    told: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass
class Done:
    """What an installation has made so far: enough to name it all, and to take it back.

    ``published`` are the files that are new in the download directory. What is ``final`` is not taken back: the
    database may name it.
    """

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
        for path, backup in self.backups.items():
            console.warn(f"{path} could not be put back: it was changed meanwhile, or cannot be written; see {backup}")

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


def plan(
    project: Project,
    settings: Settings,
    version: Version,
    directories: Sequence[Directory],
    platforms: Sequence[Platform],
    templates: Templates,
    without: Sequence[str] = (),
) -> Plan:
    """Reads the project and changes nothing. Raises InputError for what BOINC's programs would stop at."""
    name = settings.name
    tree.require_free(project.apps, name, version, directories)
    users = project_xml.users(project, settings)
    shared = [f"plan_class {settings.plan_class}"] if users else []
    note = project.root / installed.file_name(name)
    ours = Installed.read(name, read_file(note), shared)
    merges = dict(project_xml.merges(project, settings, platforms, templates, without, ours))
    notes = []
    if project_xml.class_needed(project, settings) is False:
        del merges["plan_class"]
        notes.append(
            "plan_class_spec.xml is not made: it would switch off BOINC's built-in plan classes, which other apps use"
        )
    project_data = merges["project"][1].data if "project" not in without else read_file(project.root / "project.xml")
    root = merge.read_root(project_data or b"<boinc/>", "project.xml")
    require_no_strays(project, [*merge.names(root, "app"), name])
    notes += [
        f"{path} is an unfinished copy of the version's file: --run completes it, by hand rm {path}"
        for path in require_publishable(project, directories)
    ]
    merges = {part: found for part, found in merges.items() if part not in without}
    changes = [Change(path, read_file(path), found.data, _mode(path)) for path, found in merges.values()]
    owned = [entry for _, found in merges.values() for entry in found.owned]
    if (text := ours.with_entries(owned)) is not None:
        changes.append(Change(note, read_file(note), text, told=True))
    notes += project_xml.notes(merges, settings, users)
    changes += [change for parts, change in _files(project, settings, templates) if set(parts) - set(without)]
    wanted = tuple(one for one in changes if one.before != one.after)
    if any(one.path.name == f"{name}_out" and one.before is not None for one in wanted):
        notes.append(f"templates/{name}_out changes: jobs that are under way get their next copies by the new one")
    if (hidden := server_side.unreachable(project.root.stat().st_uid)) and set(server_side.SCRIPTS) - set(without):
        notes.append(f"{hidden} is closed to the project's owner, whose daemons run programs below it: open or move it")
    if "vbox_job" not in without:
        notes += _left_behind(project, name, {one.name for one in directories})
    told = tuple(line for path, found in merges.values() for line in project_xml.told(path, found))
    return Plan(project, name, version, tuple(directories), wanted, told, tuple(notes))


def _left_behind(project: Project, name: str, covered: Collection[str]) -> Iterator[str]:
    """A sentence for each platform whose hosts keep an agent that does not remove ``init_data.xml``, which jobs of this
    installation bring: versions from before it have no heartbeat file."""
    newest: dict[str, tuple[int, Path]] = {}
    for path in (project.apps / name).glob("*/*__*"):
        number = directory_number(path.parent.name)
        if number is not None and not path.name.startswith(".") and path.name not in covered:
            newest[path.name] = max(newest.get(path.name, (0, path)), (number, path))
    for directory, (_, path) in sorted(newest.items()):
        if not any(path.glob("heartbeat_*")):
            platform = directory.split("__")[0]
            yield (
                f"{platform} keeps version {path.parent.name}, whose agent leaves init_data.xml, with the volunteer's "
                f"account key, where containers can read it: package this version for {platform} too, or deprecate "
                "that one"
            )


@contextlib.contextmanager
def carried_out(planned: Plan) -> Iterator[Done]:
    """Does what is planned. What is raised inside the ``with`` block, or while doing it, takes all of it back."""
    done = Done()
    try:
        for change in planned.changes:
            if change.before is not None:
                _require_writable(change.path)
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


def _files(project: Project, settings: Settings, templates: Templates) -> Iterator[tuple[Sequence[str], Change]]:
    name = settings.name
    listed = (
        ("template_in", "in.xml", f"templates/{name}_in"),
        ("template_out", "out.xml", f"templates/{name}_out"),
        ("vbox_job", "vbox_job.xml", f"templates/{name}_vbox_job.xml"),
    )
    for part, source, target in listed:
        path = project.root / target
        yield [part], Change(path, read_file(path), templates.render(source).encode())
    for one in server_side.files(project.root, settings, templates.directory):
        path = project.root / one.name
        yield one.parts, Change(path, read_file(path), one.data, one.mode)


def _mode(path: Path) -> int:
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
    with _replacing(target, path, _mode(path)) as temporary:
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
