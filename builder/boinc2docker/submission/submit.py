"""Submits a job as a work unit; or, in a dry run, writes its files to inspect and try."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boinc2docker import atomic
from boinc2docker.errors import HostError, InputError
from boinc2docker.image.delivery import Delivery
from boinc2docker.image.image import Image
from boinc2docker.image.reference import Source, parse
from boinc2docker.job import remote_input
from boinc2docker.job.job import Job
from boinc2docker.job.job_directory import appearing
from boinc2docker.project.create_work import Creation, Outcome, check_name, create
from boinc2docker.project.database import Database
from boinc2docker.project.project import Project, find
from boinc2docker.project.staging import ToStage, require_ready, stage, submitting
from boinc2docker.submission import app_files
from boinc2docker.submission.app_files import AppFiles
from boinc2docker.submission.bounds import Bounds
from boinc2docker.submission.options import WorkUnitOptions
from boinc2docker.submission.plan import PlannedUnit, Planner, default_name, planning
from boinc2docker.submission.shape import Runner, Shape

APP = "boinc2docker"


@dataclass(frozen=True)
class Submitted:
    """A submitted job. ``outcome`` says whether it is new; ``staged_bytes`` were not on the server before."""

    image: Image
    outcome: Outcome
    bounds: Bounds
    staged_bytes: int

    @property
    def digest(self) -> str:
        """The digest of the image: its manifest's if it is from a registry, else its ID."""
        return digest_of(self.image)

    def as_json(self) -> dict[str, Any]:
        """The output of ``submit --json``."""
        return {
            "image": self.image.name,
            "digest": self.digest,
            "workunits": [{"name": self.outcome.name, "id": self.outcome.id, "outcome": self.outcome.outcome}],
            "staged_bytes": self.staged_bytes,
        }


@dataclass(frozen=True)
class Tried:
    """The files of a dry run: ``job`` is for ``run --job``; ``command`` would create the work unit."""

    image: Image
    name: str
    bounds: Bounds
    job: Path
    command: str
    staged_names: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The output of ``submit --dry-run --json``."""
        return {
            "image": self.image.name,
            "digest": digest_of(self.image),
            "workunits": [{"name": self.name, "id": None}],
            "staged_bytes": 0,
            "job": str(self.job),
            "command": self.command,
        }


def submit(
    image: str | Source,
    job: Job,
    *,
    project: Path | None = None,
    app: str = APP,
    name: str | None = None,
    shape: Shape | None = None,
    delivery: Delivery | None = None,
    wu_template: str | None = None,
    reimport: bool = False,
) -> Submitted:
    """Submits ``job`` as a work unit of ``app``. Checks everything before it stages anything.

    ``image`` is a name as for ``docker run``. ``project`` None: ``$PROJHOME`` and so on, see ``Project.open``. ``name``
    None: a new name; an existing work unit of that name with the same job is success. ``reimport`` fetches even staged
    layers again and replaces damaged files, including inputs. Raises BuilderErrors, and then no work unit was created.
    """
    shape = shape or Shape()
    source = parse(image) if isinstance(image, str) else image
    if name is not None:
        check_name(name)
    where = Project.open(project)
    files = ready(where, app, shape.options, wu_template=wu_template, runners=shape.runners)
    with submitting(where), planning(where, files, source, job, shape, delivery=delivery, reimport=reimport) as planner:
        unit = planner.unit(job, name or default_name(app, job, planner.image))
        files_of_all = (*planner.shared_files(), *unit.files)
        staged = stage(where, files_of_all, mend=True) if reimport else 0

        def prepare(_units: Sequence[Creation]) -> None:
            nonlocal staged
            staged += stage(where, files_of_all)

        [outcome] = create(where, app, shape.options.words(), [unit.creation], prepare=prepare)
        if outcome.outcome == "failed":
            raise InputError("not-created", f"the work unit {outcome.name} was not created: {outcome.reason}")
        return Submitted(planner.image, outcome, unit.bounds, staged)


def ready(
    project: Project,
    app: str,
    options: WorkUnitOptions,
    *,
    wu_template: str | None = None,
    runners: Collection[Runner] = (Runner.MACHINE,),
) -> AppFiles:
    """The app's files, after checking that the project can take jobs for it.

    Checks programs, directories, templates and versions. Raises UsageError, InputError, HostError.
    """
    project.program("create_work")
    files = _load(project, app, options, wu_template)
    require_ready(project)
    with Database(project.database) as database:
        app_files.require_version(project, app, database.versions(app), options.app_version_num, runners)
    return files


def _load(project: Project, app: str, options: WorkUnitOptions, wu_template: str | None) -> AppFiles:
    return app_files.load(
        project,
        app,
        wu_template=wu_template,
        result_template=options.result_template,
        number=options.app_version_num,
    )


def try_out(
    image: str | Source,
    job: Job,
    *,
    output: Path,
    project: Path | None = None,
    app: str = APP,
    name: str | None = None,
    shape: Shape | None = None,
    delivery: Delivery | None = None,
    wu_template: str | None = None,
) -> Tried:
    """Writes the files that ``submit`` would create into the directory ``output``/NAME and changes nothing else.

    A project is optional. ``job`` is what a host's machine would find as its shared directory; ``boinc`` holds the
    input template and vbox_job.xml. Raises BuilderErrors.
    """
    shape = shape or Shape()
    source = parse(image) if isinstance(image, str) else image
    if name is not None:
        check_name(name)
    root = find(project)
    where = Project.open(root) if root is not None else None
    files = app_files.without_project(app) if where is None else _load(where, app, shape.options, wu_template)
    with planning(None, files, source, job, shape, delivery=delivery) as planner:
        unit = planner.unit(job, name or default_name(app, job, planner.image))
        return tried(planner, unit, output, shape.options)


def tried(planner: Planner, unit: PlannedUnit, output: Path, options: WorkUnitOptions) -> Tried:
    """Writes a planned job into the directory ``output``/NAME. Raises HostError if that exists."""
    directory = output / unit.name
    if directory.exists():
        raise HostError("exists", f"{directory} exists already", hint="remove it, or choose another --output")
    with appearing(directory) as part:
        _write(unit, part)
    words = (
        "bin/create_work",
        "--appname",
        planner.app.name,
        *options.words(),
        "--wu_name",
        unit.name,
        "--wu_template",
    )
    command = shlex.join((*words, str((directory / "boinc" / "input_template.xml").absolute()), *unit.line_files))
    names = tuple(file.name for file in (*planner.shared_files(), *unit.files))
    return Tried(planner.image, unit.name, unit.bounds, directory / "job", command, names)


def _write(unit: PlannedUnit, directory: Path) -> None:
    """Writes the job's directory as on a host, and BOINC's files beside it."""
    atomic.write_bytes(directory / "boinc" / "input_template.xml", unit.template)
    for entry in unit.entries:
        place, inside = ("job", entry.open_name[7:]) if entry.open_name.startswith("shared/") else ("boinc", "")
        target = directory / place / (inside or entry.open_name)
        target.parent.mkdir(parents=True, exist_ok=True)
        content = entry.file.content if isinstance(entry.file, ToStage) else remote_input.obtain(entry.file)[1]
        if isinstance(content, bytes):
            target.write_bytes(content)
        else:
            shutil.copyfile(content, target)
    (directory / "job" / "boinc_app").chmod(0o755)


def digest_of(image: Image) -> str:
    """``sha256:<hex>``: the manifest's digest if the image is from a registry, else its ID."""
    return image.pinned.rpartition("@")[2] or str(image.config_digest)
