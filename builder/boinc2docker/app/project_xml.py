"""What a version does to a project's XML files: platforms, app, plan class and daemons; and what to tell about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from boinc2docker.app import daemons, merge
from boinc2docker.app.installed import Installed
from boinc2docker.app.merge import Entry, Merged
from boinc2docker.app.settings import SAFE_PATH, Settings
from boinc2docker.app.template import Templates
from boinc2docker.app.wrapper_catalogue import Platform
from boinc2docker.errors import InputError
from boinc2docker.project.project import Project, read_file


def merges(
    project: Project,
    settings: Settings,
    platforms: Sequence[Platform],
    templates: Templates,
    without: Sequence[str],
    ours: Installed,
) -> Iterator[tuple[str, tuple[Path, Merged]]]:
    """Each part of an installation that is an XML file, with that file after it. Raises InputError."""
    name, root = settings.name, project.root
    entries = [
        Entry("platform", one.name, templates.render("platform.xml", platform=one.name, platform_title=one.title))
        for one in platforms
    ]
    entries.append(Entry("app", name, templates.render("app.xml")))
    path = root / "project.xml"
    yield "project", (path, merge.merge_project(read_file(path), entries, ours.owns))
    path = root / merge.PLAN_CLASSES
    spec = Entry("plan_class", settings.plan_class, templates.render("plan_class.xml"))
    yield "plan_class", (path, merge.merge_plan_classes(read_file(path), [spec], ours.owns))
    path = root / "config.xml"
    roles = [role for role in ("validator", "assimilator") if role not in without]
    wanted = [Entry("daemon", f"{role} {name}", templates.render(f"{role}.xml")) for role in roles]
    yield "config", (path, merge.merge_config(read_file(path) or b"", wanted, ours.owns))


def told(path: Path, found: Merged) -> Iterator[str]:
    """The entries that are not as this version would write them, with both values."""
    for one in found.updated:
        yield f"{path.name}: {one.entry} is updated: {one}"
    for one in found.foreign:
        yield f"{path.name}: {one.entry} stays, since package-app did not write it as it is; this version has {one}"


def notes(merges: Mapping[str, tuple[Path, Merged]], settings: Settings, users: Sequence[str]) -> Iterator[str]:
    """What an operator has to look after: daemons that run under other names, or not; a class that others use."""
    if "config" in merges:
        found = merges["config"][1]
        if found.updated:
            yield (
                f"the daemons of {settings.name} get log, lock and pid files of their own: bin/stop, then bin/start; "
                "started without a stop, they would run beside the old ones"
            )
        yield from daemons.collisions(merge.read_root(found.data, "config.xml"), settings.name)
    if "plan_class" in merges and merges["plan_class"][1].updated and users:
        yield f"the plan class {settings.plan_class} changes for {', '.join(users)} too"


def class_needed(project: Project, settings: Settings) -> bool:
    """False if making plan_class_spec.xml would take the built-in classes from other apps' versions."""
    if (project.root / merge.PLAN_CLASSES).exists():
        return True
    return not {found for _, found in _classes(project)} - {settings.plan_class}


def users(project: Project, settings: Settings) -> list[str]:
    """Other apps whose versions have this plan class."""
    return sorted({app for app, found in _classes(project) if found == settings.plan_class} - {settings.name})


def _classes(project: Project) -> Iterator[tuple[str, str]]:
    """Each app with each plan class of its versions."""
    for path in project.apps.glob("*/*/*__*"):
        parts = path.relative_to(project.apps).parts
        if not any(part.startswith(".") for part in parts):
            yield parts[0], parts[-1].split("__")[1]


def require_safe_paths(project: Project) -> None:
    """Raises InputError for a project whose paths BOINC's programs would break at."""
    for used in (project.root, project.download, project.keys):
        if not SAFE_PATH.fullmatch(str(used)):
            raise InputError(
                "unsafe-path",
                f"{str(used)!r}: BOINC's programs put paths unquoted into shell commands; "
                "expected letters, digits and _./+@,:=%- only",
                hint="move the project, or reach it by another path (a symbolic link will not do)",
            )


def require_no_strays(project: Project, apps: Sequence[str]) -> None:
    """Raises InputError for anything in ``apps/`` that is no app: it would stop ``update_versions`` altogether."""
    there = sorted(path.name for path in project.apps.glob("*")) if project.apps.is_dir() else []
    strays = [name for name in there if not name.startswith(".") and name not in apps]
    if strays:
        raise InputError(
            "stray-app",
            f"{project.apps / strays[0]} is no app of project.xml, and update_versions would stop at it",
            hint="move it away, or add the app to project.xml",
        )
