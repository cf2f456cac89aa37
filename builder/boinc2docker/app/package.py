"""``package-app``: settings, binaries and ISO in; a tree, a tarball and perhaps an installation out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from boinc2docker import console, extras, places
from boinc2docker.app import (
    boot_image,
    distributions,
    download,
    settings,
    tarball,
    template,
    tree,
    vdi,
    wrapper_catalogue,
)
from boinc2docker.app import environment as project_environment
from boinc2docker.app.changes import Done, Plan, carried_out
from boinc2docker.app.environment import Environment
from boinc2docker.app.history import environments
from boinc2docker.app.install import PARTS, plan_roll_back
from boinc2docker.app.install import plan as plan_installation
from boinc2docker.app.package_report import Built, Tidied, report, report_downloads, report_roll_back
from boinc2docker.app.project_signatures import signed
from boinc2docker.app.project_xml import require_safe_paths
from boinc2docker.app.server_tools import Outcome, require_programs, run_update, run_xadd, unsigned
from boinc2docker.app.settings import Settings
from boinc2docker.app.template import Templates
from boinc2docker.app.tree import Directory, File
from boinc2docker.app.version import Version
from boinc2docker.app.wrapper import Source, Wrapper
from boinc2docker.app.wrapper_catalogue import Catalogue
from boinc2docker.digest import Digest
from boinc2docker.errors import HostError, InputError, UsageError
from boinc2docker.fetch import Downloader
from boinc2docker.locks import exclusively
from boinc2docker.project.project import Project, from_environment

HEARTBEAT = b" " * 20 + b"\n"
"""The first content of ``shared/heartbeat``, which every task gets with the app's version, so that no job has to name
it. vboxwrapper ends a task without that *file* after a third of ``heartbeat_seconds``, however slowly its host boots; a
file that is there may stand still for three looks more. The agent overwrites its 21 bytes in place.
Source: ``samples/vboxwrapper/vboxwrapper.cpp``."""


@dataclass(frozen=True)
class Options:
    """The command line of ``package-app``; ``settings`` are the options of ``settings.FIELDS`` by name.

    ``check_results`` judges the tables about results and names the extras that they need. ``version`` may be None
    with ``roll_back`` only.
    """

    version: str | None
    iso: Path
    check_results: Callable[[Mapping[str, Any], Path], Sequence[str]]
    settings: Mapping[str, str | None] = field(default_factory=dict)
    own_settings: Path | None = None
    wrapper: str | None = None
    platform: Sequence[str] = ()
    project: Path | None = None
    dont_install: Sequence[str] = ()
    dry_run: bool = False
    run: bool = False
    download_only: bool = False
    offline: bool = False
    roll_back: bool = False
    build: Path = field(default_factory=places.output)
    templates: Path = template.DIRECTORY

    def words(self) -> tuple[str, ...]:
        """The command line that builds the same version again, into the same project or none."""
        listed: list[tuple[str, object]] = [("version", self.version), ("settings", self.own_settings)]
        listed += [("iso", self.iso if self.iso.parent != self.build else None), ("wrapper", self.wrapper)]
        listed += [*(("platform", one) for one in self.platform), *self.settings.items()]
        words = [word for name, value in listed if value is not None for word in (_option(name), str(value))]
        return (*words, *(["--offline"] if self.offline else []))


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def package_app(options: Options) -> int:
    """Does it all and reports; 1 if ``--run`` left a platform's version out of the database. Raises BuilderError."""
    if options.roll_back:
        return _roll_back(options)
    if options.version is None:
        raise UsageError("no-version", "the version is missing", hint="two digits after the dot: --version 1.02")
    version = Version.parse(options.version)
    chosen = settings.read(options.templates / "app.toml", options.settings, options.own_settings)
    needed = options.check_results(chosen.about_results(), Path.cwd())
    catalogue = wrapper_catalogue.read(options.templates / "wrappers.toml")
    for name in options.platform:
        catalogue.platform(name)
    project = _project(options)
    with _alone(options, options.build):
        trees = [options.build / "apps", *([project.apps] if project else [])]
        packaged = [apps / chosen.name / str(version) for apps in trees if not options.download_only]
        wrappers = obtain_wrappers(options, chosen, catalogue, packaged)
        if options.download_only:
            report_downloads(wrappers)
            return 0
        templates = Templates(options.templates, chosen.values())
        with boot_image.prepared(options.iso, chosen.store_budget_mb) as image:
            built = _build(options, chosen, version, compose(chosen, wrappers, image, templates))
            if project is None:
                report(built, None, None, (), dry_run=options.dry_run)
                return 0
            with _alone(options, project.root):
                planned = plan_installation(
                    project,
                    chosen,
                    version,
                    built.directories,
                    [one.platform for one in wrappers],
                    templates,
                    _parts(options),
                    runs_from=Environment.of(project.root, distributions.contents()),
                )
                return _install(options, built, planned, needed)


def _roll_back(options: Options) -> int:
    """Goes back to an earlier installation of the app on this server. Raises BuilderError."""
    version = Version.parse(options.version) if options.version else None
    project = _project(options)
    if project is None:
        raise UsageError("no-project", "--roll-back needs --project DIR, $PROJHOME or $BOINC_PROJECT_DIR")
    app = settings.read(options.templates / "app.toml", options.settings, options.own_settings).name
    with _alone(options, project.root):
        planned, was = plan_roll_back(project, app, version)
        _show(planned)
        if options.dry_run:
            report_roll_back(planned, was, None)
            return 0
        with carried_out(planned) as done:
            pass
    report_roll_back(planned, was, done)
    return 0


def _project(options: Options) -> Project | None:
    """The project to install into. Raises UsageError for options that need one, InputError for what is none."""
    if unknown := [part for part in _parts(options) if part not in PARTS]:
        raise UsageError("bad-option", f"--dont-install {unknown[0]}: expected one of {', '.join(PARTS)}")
    where = options.project or from_environment()
    if (options.run or options.dont_install) and where is None:
        raise UsageError("no-project", "--run and --dont-install need --project DIR, $PROJHOME or $BOINC_PROJECT_DIR")
    project = Project.open(where) if where else None
    if project:
        require_safe_paths(project)
    if project and options.run:
        require_programs(project)
    return project


def _parts(options: Options) -> list[str]:
    return [part.replace("-", "_") for part in options.dont_install]


def _alone(options: Options, directory: Path) -> contextlib.AbstractContextManager[None]:
    """Only one package-app at a time writes into a directory; a dry run writes nothing."""
    if options.dry_run:
        return contextlib.nullcontext()
    waiting = f"another package-app works in {directory}; waiting for it"
    return exclusively(directory / ".package-app.lock", waiting=waiting)


def obtain_wrappers(
    options: Options, chosen: Settings, catalogue: Catalogue, packaged: Sequence[Path] = ()
) -> list[Wrapper]:
    """vboxwrapper for every platform asked for; new digests are pinned unless it is a dry run. Raises BuilderError.

    A version has one vboxwrapper for ever: unless ``--wrapper`` says otherwise, it is that of the first of its trees
    ``packaged`` that is there, and the platforms are that tree's.
    """
    pins_file = options.templates / "wrapper-pins.toml"
    pins = wrapper_catalogue.read_pins(pins_file)
    before = dict(pins)
    source = Source(catalogue, pins, Downloader(offline=options.offline), options.build / "vboxwrapper")
    there = _packaged(chosen, catalogue, packaged) if not options.wrapper else {}
    names = list(dict.fromkeys(options.platform)) or list(there) or list(chosen.wrapper)
    for name in names:
        catalogue.platform(name)
    given = options.wrapper
    if given and not given.isdigit():
        return source.local(names, Path(given))
    rest = [name for name in names if name not in there]
    if unset := [name for name in rest if not given and name not in chosen.wrapper]:
        raise UsageError("no-release", f"app.toml names no vboxwrapper for {unset[0]}; give --wrapper VERSION")
    again = {name: source.local([name], there[name])[0] for name in names if name in there}
    found = {one.platform.name: one for one in source.releases({name: given or chosen.wrapper[name] for name in rest})}
    if pins != before and not options.dry_run:
        wrapper_catalogue.write_pins(pins_file, pins)
        console.info(f"new digests are in {pins_file}; commit it")
    return [{**again, **found}[name] for name in names]


def _packaged(chosen: Settings, catalogue: Catalogue, trees: Sequence[Path]) -> dict[str, Path]:
    """The directories, by platform, of the version's first tree that is there, if they have a vboxwrapper."""
    for tree_of_version in trees:
        found = {name: tree_of_version / f"{name}__{chosen.plan_class}" for name in sorted(catalogue.platforms)}
        there = {
            name: path
            for name, path in found.items()
            if path.is_dir() and any(catalogue.platform(name).version_of(one.name) for one in path.iterdir())
        }
        if there:
            return there
    return {}


def compose(chosen: Settings, wrappers: Sequence[Wrapper], image: File, templates: Templates) -> tuple[Directory, ...]:
    """The directories of a version, one a platform."""
    data = vdi.blank(chosen.disk_mb)
    disk = File(f"vm_cache_{chosen.disk_mb}_{Digest.of(data).hex[:12]}.vdi", data, Digest.of(data))
    beat = File.of_bytes(f"heartbeat_{Digest.of(HEARTBEAT).hex[:12]}", HEARTBEAT)
    names = {"iso_file": image.name, "disk_file": disk.name, "heartbeat_file": beat.name}
    found = []
    for one in wrappers:
        text = templates.render("version.xml", wrapper_file=one.name, **names)
        files = [
            File(one.name, one.path, one.digest, executable=True),
            image,
            disk,
            beat,
            File.of_bytes("version.xml", text.encode()),
        ]
        name = f"{one.platform.name}__{chosen.plan_class}"
        found.append(Directory(name, tuple(sorted(files, key=lambda file: file.name))))
    return tuple(found)


def _build(options: Options, chosen: Settings, version: Version, wanted: tuple[Directory, ...]) -> Built:
    """The tree and the tarball in the build directory; signatures that lie in the tree count as part of it."""
    apps = options.build / "apps"
    target = options.build / f"{chosen.name}-{version}.tar"
    tree.require_free(apps, chosen.name, version, wanted)
    root = apps / chosen.name / str(version)
    if options.dry_run:
        return Built(chosen, version, root, target, wanted, options.words())
    with console.step(f"Write {root}"):
        tree.write(apps, chosen.name, version, wanted)
        directories = tuple(tree.read_directory(root / one.name) for one in wanted)
        everything = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
        tarball.write(target, chosen.name, version, [tree.read_directory(path) for path in everything])
    return Built(chosen, version, root, target, directories, options.words())


def _warn_of_missing(needed: Sequence[str]) -> None:
    """Names the libraries that the daemons will need; without them the daemons ask again later, and say why."""
    for extra in needed:
        if not extras.has(extra):
            console.warn(
                f"the validator needs {extras.LIBRARIES[extra]}, which is not installed; "
                f"results wait until you run: {extras.how_to_install(extra)}"
            )


def _show(planned: Plan) -> None:
    for change in planned.changes:
        if not change.told:
            console.info(change.diff(planned.project.root))
    for note in planned.notes:
        console.warn(note)
    for line in planned.told:
        console.info(line)


def _install(options: Options, built: Built, planned: Plan, needed: Sequence[str]) -> int:
    project = planned.project
    _show(planned)
    if options.dry_run:
        report(built, planned, None, (), dry_run=True)
        return 0
    try:
        planned = replace(planned, directories=signed(project, built.root, built.directories))
    except InputError as error:
        if options.run or error.code != "unsigned":
            raise
        console.warn(error.message)
    _warn_of_missing(needed)
    with carried_out(planned) as done:
        outcomes = _run(planned, done) if options.run else ()
    report(built, planned, done, outcomes, dry_run=False, tidied=_tidy(project.root))
    return 0 if all(one.ok for one in outcomes) else 1


def _tidy(root: Path) -> Tidied:
    """Removes environments that no installation needs and nobody runs."""
    try:
        known = environments(root)
    except InputError as error:
        console.warn(f"no environment is removed: {error.message}")
        return Tidied()
    idle, running = project_environment.unused(root, set(known))
    for path in idle:
        project_environment.remove(path)
    there = {name: apps for name, apps in known.items() if (root / project_environment.DIRECTORY / name).is_dir()}
    return Tidied(there, tuple(idle), tuple(running))


def _run(planned: Plan, done: Done) -> Sequence[Outcome]:
    """BOINC's two programs. Raises HostError, so that the installation is taken back, if none of the versions is in.

    Once one is in or may be, hosts may get it: then everything stays, and what is missing is told.
    """
    with console.step("bin/xadd"):
        run_xadd(planned.project, planned.app)
    with console.step(f"Publish in {planned.project.download}"):
        for path in download.publish(planned.project, planned.directories):
            done.published.append(path)
    done.final = True
    with console.step("bin/update_versions --noconfirm"):
        names = [one.name for one in planned.directories]
        found = run_update(planned.project, planned.app, planned.version, names)
    if all(one.state == "missing" for one in found):
        done.final = False
        said = "\n".join(f"  {one.directory}: {one.said}" for one in found)
        raise HostError(
            "update-failed",
            f"update_versions added no version, the installation was taken back:\n{said}",
            hint=f"the database keeps the platforms and the app {planned.app} without a version, which does no harm",
        )
    bare = unsigned(planned.project, planned.app, planned.version)
    return [_usable(planned.project, *pair, bare) for pair in zip(planned.directories, found, strict=True)]


def _usable(project: Project, directory: Directory, outcome: Outcome, unsigned: Container[str]) -> Outcome:
    """What the database has is of use only if it has signatures, and hosts get the files that were signed."""
    said = ""
    if wrong := download.first_wrong(project, directory):
        said = f"{wrong} is not the version's file any more; run this again"
    if directory.name in unsigned:
        said = "without signatures, so no host accepts it; package it again as the next version"
    return replace(outcome, state="unusable", said=said) if outcome.ok and said else outcome
