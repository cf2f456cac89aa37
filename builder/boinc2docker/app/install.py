"""An app's version into a project, or back to the installation before it: what will change, before anything does."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from boinc2docker.app import environment, history, installed, merge, project_xml, server_side, tree
from boinc2docker.app.changes import Change, Plan, mode_of
from boinc2docker.app.download import require_publishable
from boinc2docker.app.environment import Environment
from boinc2docker.app.history import History, Stored
from boinc2docker.app.installed import Installed
from boinc2docker.app.project_xml import require_no_strays
from boinc2docker.app.settings import Settings
from boinc2docker.app.template import Templates
from boinc2docker.app.tree import Directory
from boinc2docker.app.version import Version, directory_number
from boinc2docker.app.wrapper_catalogue import Platform
from boinc2docker.errors import InputError
from boinc2docker.project.project import Project, read_file

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


def plan(
    project: Project,
    settings: Settings,
    version: Version,
    directories: Sequence[Directory],
    platforms: Sequence[Platform],
    templates: Templates,
    without: Sequence[str] = (),
    *,
    runs_from: Environment,
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
    changes = [Change(path, read_file(path), found.data, mode_of(path)) for path, found in merges.values()]
    owned = [entry for _, found in merges.values() for entry in found.owned]
    if (text := ours.with_entries(owned)) is not None:
        changes.append(Change(note, read_file(note), text, told=True))
    notes += project_xml.notes(merges, settings, users)
    files = [change for parts, change in _files(project, settings, templates, runs_from) if set(parts) - set(without)]
    changes += files
    needed = runs_from if server_side.needs_python(without) else None
    changes.append(_noted(project, name, version, needed, files))
    wanted = tuple(one for one in changes if one.before != one.after)
    if any(one.path.name == f"{name}_out" and one.before is not None for one in wanted):
        notes.append(f"templates/{name}_out changes: jobs that are under way get their next copies by the new one")
    if needed and (home := environment.home_of(needed.interpreter)):
        notes.append(
            f"the daemons run {needed.interpreter}, which lies in the home directory {home}: they stop when it goes; "
            "PYTHON=/usr/bin/python3 ci/invoke … takes the system's Python"
        )
    if "vbox_job" not in without:
        notes += _left_behind(project, name, {one.name for one in directories})
    told = tuple(line for path, found in merges.values() for line in project_xml.told(path, found))
    return Plan(project, name, version, tuple(directories), wanted, told, tuple(notes), needed)


def _noted(project: Project, app: str, version: Version, runs_from: Environment | None, files: list[Change]) -> Change:
    """The app's history with this installation."""
    path = history.file_of(project.root, app)
    before = read_file(path)
    at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    stored = [Stored.of(str(one.path.relative_to(project.root)), one.mode, one.after) for one in files]
    found = History.read(app, before)
    added = found.with_next(str(version), runs_from.name if runs_from else "", at, stored)
    return Change(path, before, before if added is found and before else added.render(), told=True)


def plan_roll_back(project: Project, app: str, version: Version | None) -> tuple[Plan, str]:
    """What puts the app's files back as the installation before the current one wrote them, or the last installation of
    ``version``; with the version that is current now.

    A program that other apps use too is put back only if it is still the current installation's. Raises InputError.
    """
    path = history.file_of(project.root, app)
    data = read_file(path)
    found = History.read(app, data)
    then = found.earlier(str(version) if version else None)
    now = found.numbered(found.current)
    if then.environment and not environment.is_complete(project.root / environment.DIRECTORY / then.environment):
        where = environment.DIRECTORY / then.environment
        raise InputError("no-roll-back", f"{where}, which {app} {then.version} ran from, is not there any more")
    changes, notes = [], []
    for one in then.files:
        target = project.root / one.path
        before, shared = read_file(target), now.file(one.path) if now else None
        if one.path == f"bin/{server_side.SUBMITTER}" and not (shared and shared.data == before):
            notes.append(f"{one.path} stays: another app's installation wrote it")
            continue
        changes.append(Change(target, before, one.data, one.mode))
    changes = [one for one in changes if one.before != one.after]
    changes.append(Change(path, data, replace(found, current=then.number).render(), told=True))
    was = now.version if now else ""
    return Plan(project, app, Version.parse(then.version), (), tuple(changes), (), tuple(notes)), was


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


def _files(
    project: Project, settings: Settings, templates: Templates, runs_from: Environment
) -> Iterator[tuple[Sequence[str], Change]]:
    name = settings.name
    listed = (
        ("template_in", "in.xml", f"templates/{name}_in"),
        ("template_out", "out.xml", f"templates/{name}_out"),
        ("vbox_job", "vbox_job.xml", f"templates/{name}_vbox_job.xml"),
    )
    for part, source, target in listed:
        path = project.root / target
        yield [part], Change(path, read_file(path), templates.render(source).encode())
    for one in server_side.files(project.root, settings, templates.directory, runs_from.python):
        path = project.root / one.name
        yield one.parts, Change(path, read_file(path), one.data, one.mode)
