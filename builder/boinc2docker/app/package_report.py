"""What ``package-app`` says when it is done: for programs, for people, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from boinc2docker import console, typed
from boinc2docker.app.changes import Done, Plan
from boinc2docker.app.environment import DIRECTORY
from boinc2docker.app.server_tools import Outcome
from boinc2docker.app.settings import Settings
from boinc2docker.app.tree import Directory
from boinc2docker.app.version import Version
from boinc2docker.app.wrapper import Wrapper


@dataclass(frozen=True)
class Built:
    """A version in the build directory; ``again`` are the words that ``package-app`` made it of."""

    settings: Settings
    version: Version
    root: Path
    tarball: Path
    directories: tuple[Directory, ...]
    again: tuple[str, ...]


@dataclass(frozen=True)
class Tidied:
    """A project's environments: those that stay, by name, with the apps and versions that need them; those that were
    removed; and those that stay only until a process that runs from them ends."""

    kept: Mapping[str, Sequence[str]] = field(default_factory=dict)
    removed: Sequence[Path] = ()
    running: Sequence[Path] = ()

    def lines(self) -> list[str]:
        """For people."""
        return [
            *(f"  keeps    {DIRECTORY / name}   ({', '.join(apps)})" for name, apps in self.kept.items()),
            *(f"  keeps    {DIRECTORY / path.name}   (a process runs from it)" for path in self.running),
            *(f"  removed  {DIRECTORY / path.name}   (not needed any more)" for path in self.removed),
        ]


def report_downloads(wrappers: Sequence[Wrapper]) -> None:
    """Says which binaries are in the cache now."""
    console.report(
        {"wrappers": [{"name": one.name, "path": str(one.path), "sha256": one.digest.hex} for one in wrappers]},
        "\n".join(f"{one.name}  {one.digest}" for one in wrappers),
    )


def report_roll_back(planned: Plan, was: str, done: Done | None) -> None:
    """Says to which installation the app went back, or would; ``was`` is the version that it came from."""
    version = str(planned.version)
    machine = {
        "app": planned.app,
        "version": version,
        "before": was,
        "project": str(planned.project.root),
        "dry_run": done is None,
        "changed": {str(path): str(backup) for path, backup in done.backups.items()} if done else {},
    }
    lines = [f"{planned.app} {version}: {'dry run, nothing was written' if done is None else f'in place of {was}'}"]
    if done is None:
        lines += [f"  would write  {change.path}" for change in planned.changes]
    else:
        lines += [f"  changed  {path} (before: {backup.name})" for path, backup in done.backups.items()]
    lines.append(
        "next: nothing for the daemons, which take the programs with the next result; hosts keep the newest version"
    )
    lines.append("      of the app until you deprecate it (html/ops/manage_app_versions.php)")
    console.report(machine, "\n".join(lines))


def report(
    built: Built,
    planned: Plan | None,
    done: Done | None,
    outcomes: Sequence[Outcome],
    dry_run: bool,
    tidied: Tidied = Tidied(),
) -> None:
    """Says what was built and, with a plan, what was installed; ``done`` is None if nothing was."""
    states = {one.directory: one for one in outcomes}
    platforms = [
        {"directory": one.name, "files": [file.name for file in one.files], "database": _database(states, one.name)}
        for one in built.directories
    ]
    machine = {
        "app": built.settings.name,
        "version": str(built.version),
        "tree": str(built.root),
        "tarball": str(built.tarball),
        "platforms": platforms,
        "project": str(planned.project.root) if planned else None,
        "dry_run": dry_run,
        "created": _created(planned, done),
        "published": [str(path) for path in done.published] if done else [],
        "changed": {str(path): str(backup) for path, backup in done.backups.items()} if done else {},
        "environment": str(planned.environment.path) if planned and planned.environment else None,
        "removed": [str(path) for path in tidied.removed],
    }
    console.report(machine, "\n".join(_human(built, planned, done, states, dry_run, tidied)))


def _database(states: Mapping[str, Outcome], name: str) -> str | None:
    return states[name].state if name in states else None


def _created(planned: Plan | None, done: Done | None) -> list[str]:
    if planned is None or done is None:
        return []
    new = [change.path for change in planned.changes if change.before is None]
    made = [done.outermost] if done.outermost else []
    return [str(path) for path in (*made, *done.made, *new)]


def _environment(planned: Plan) -> list[str]:
    """What the environment would take, if it is not there."""
    wanted = planned.environment
    if wanted is None or wanted.is_there():
        return []
    return [f"  would copy   {wanted.path}   ({wanted.size / 1e6:.0f} MB: the Python packages that its programs need)"]


def _human(
    built: Built,
    planned: Plan | None,
    done: Done | None,
    states: Mapping[str, Outcome],
    dry_run: bool,
    tidied: Tidied,
) -> list[str]:
    title = f"{built.settings.name} {built.version}"
    lines = [f"{title}: dry run, nothing was written" if dry_run else f"{title}\n  tree     {built.root}"]
    lines += [] if dry_run else [f"  tarball  {built.tarball}"]
    for one in built.directories:
        state = states.get(one.name)
        where = {"added": "in", "present": "in", "unusable": "UNUSABLE, though in"}
        told = f": {where.get(state.state, 'NOT IN')} the database ({state.said})" if state else ""
        lines.append(f"  {one.name}{told}")
        lines += [f"    {file.name}" for file in one.files] if dry_run else []
    if planned and dry_run:
        lines += [f"  would write  {change.path}" for change in planned.changes]
        lines += _environment(planned)
    if done:
        lines += [f"  created  {path}" for path in _created(planned, done)]
        lines += [f"  created  {path}   (published)" for path in done.published]
        lines += [f"  changed  {path} (before: {backup.name})" for path, backup in done.backups.items()]
        lines += [] if done.made or done.written else ["  everything was installed already"]
        lines += tidied.lines()
    return lines + _next(built, planned, bool(states), dry_run)


def _next(built: Built, planned: Plan | None, ran: bool, dry_run: bool) -> list[str]:
    """What to do next, in two lines."""
    if dry_run:
        more = "with --run to add it to the database" if planned else "with --project DIR to install it into a project"
        return ["next: run it again without --dry-run", f"      and {more}"]
    if planned is None:
        again = typed.command("package-app", *built.again, "--project", "DIR")
        return [
            f"next: {again}   (on the server)",
            f"      or carry {built.tarball.name} there: tar -xf it in the project",
        ]
    root = planned.project.root
    if not ran:
        commands = f"cd {root} && bin/xadd && bin/update_versions --noconfirm"
        return [
            f"next: {commands}",
            "      read what they print: they exit with 0 when they fail; then bin/stop; bin/start",
        ]
    job = typed.command("submit", "--appname", built.settings.name, "--project", root, "IMAGE", "COMMAND")
    return [f"next: cd {root} && bin/stop; bin/start   (the new daemons)", f"      then {job}"]
