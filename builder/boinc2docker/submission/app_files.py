"""The installed app that jobs are for: templates, machine, versions. Checked before anything is created.

``create_work`` checks none of this: it creates work units that no host can get, and reports success for a missing
output template.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from boinc2docker.app import settings
from boinc2docker.app.template import Templates
from boinc2docker.errors import InputError, UsageError
from boinc2docker.iso import reads_zstd
from boinc2docker.places import APP_TEMPLATE
from boinc2docker.project import xml_document
from boinc2docker.project.database import AppVersion
from boinc2docker.project.project import Project, find
from boinc2docker.submission.documents import Outputs, parse_output_template
from boinc2docker.submission.options import IN_TEMPLATE
from boinc2docker.submission.shape import Runner

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}")
_MAX_TEMPLATE_PATH = 62
"""Characters in the database column, less the zero byte of BOINC's structure."""
_RUN_BY = {Runner.MACHINE: "vboxwrapper", Runner.CONTAINER: "docker_wrapper"}
_INSTALL = "`package-app --project DIR` installs the app with its templates"


@dataclass(frozen=True)
class AppFiles:
    """An app: its name, its machine, the limits in its input template, and the outputs its jobs may return.

    ``result_template`` is relative to the project's root. ``disk_mb`` is the size of the machine's data disk in MiB,
    None if the project's ``apps`` directory does not show it.
    """

    name: str
    vbox_job: ET.Element
    limits: dict[str, float]
    outputs: Outputs
    result_template: str
    disk_mb: int | None = None

    @property
    def memory_mb(self) -> int:
        """The machine's memory in MiB."""
        size = xml_document.text(self.vbox_job, "memory_size_mb")
        return int(float(size)) if re.fullmatch(r"\d{1,8}(\.\d*)?", size) else 2048

    @property
    def data_disk(self) -> bool:
        """Whether its machines have a disk for the image."""
        enabled = self.vbox_job.find("enable_cache_disk")
        return enabled is not None and (enabled.text or "1").strip() != "0"


def check_name(name: str) -> None:
    """Raises UsageError unless ``name`` can be the name of an app."""
    if not _NAME.fullmatch(name):
        raise UsageError("bad-app", f"--appname: expected letters, digits, _ and -, found {name[:80]!r}")


def without_project(name: str) -> AppFiles:
    """The app as package-app installs it by default. Raises InputError if the templates cannot be read."""
    check_name(name)
    chosen = settings.read(APP_TEMPLATE / "app.toml", {})
    filled = Templates(APP_TEMPLATE, chosen.values()).render("vbox_job.xml")
    outputs = Outputs((chosen.results_mb + chosen.log_mb) * 1_000_000)
    machine = xml_document.parse(filled.encode(), "vbox_job.xml")
    return AppFiles(name, machine, {}, outputs, f"templates/{name}_out", chosen.disk_mb)


def load(
    project: Project,
    name: str,
    *,
    wu_template: str | None = None,
    result_template: str | None = None,
    number: int | None = None,
) -> AppFiles:
    """Reads the app's templates. ``wu_template`` is a path, ``result_template`` is relative to the project's root, and
    ``number`` is the version that jobs are for, None for any.

    Raises UsageError, or InputError for a missing or faulty template.
    """
    check_name(name)
    own = project.root / "templates" / f"{name}_in"
    given = Path(wu_template) if wu_template else own
    machine = project.root / "templates" / f"{name}_vbox_job.xml"
    limits = dict(_limits(given)) if wu_template or own.exists() else {}
    output = result_template or f"templates/{name}_out"
    return AppFiles(
        name=name,
        vbox_job=xml_document.read(machine, "the app's vbox_job.xml", hint=_INSTALL),
        limits=limits,
        outputs=parse_output_template(_output_template(project, output), output),
        result_template=output,
        disk_mb=_disk_mb(project.root / "apps" / name, number),
    )


def require_version(
    project: Project,
    app: str,
    versions: Iterable[AppVersion],
    number: int | None,
    runners: Collection[Runner] = (Runner.MACHINE,),
) -> None:
    """Raises InputError unless hosts can get one of the app's ``versions``; ``number`` None or 0 is any.

    If plan_class_spec.xml exists it is the only source of plan classes, so it must have the version's.
    """
    usable = [version for version in versions if not version.deprecated]
    if not usable:
        raise InputError("no-app-version", f"the project has no version of the app {app}", hint=_INSTALL)
    if number:
        usable = [version for version in usable if version.number == number]
        if not usable:
            raise InputError("no-app-version", f"--app-version-num {number}: the app {app} has no such version")
    classes = {version.plan_class for version in usable}
    _require_runners(app, classes, runners)
    specification = project.root / "plan_class_spec.xml"
    if "" not in classes and specification.is_file():
        text = specification.read_text(
            encoding="utf-8", errors="replace"
        )  # not parsed: BOINC's own sample is not well-formed
        known = set(re.findall(r"<name>\s*([^<\s]+)\s*</name>", text))
        if not classes & known:
            raise InputError(
                "no-plan-class",
                f"{specification} has none of the plan classes of {app}: {', '.join(sorted(classes))}; "
                "no host would get the job",
                hint=_INSTALL,
            )


def _require_runners(app: str, classes: Collection[str], runners: Collection[Runner]) -> None:
    """Raises InputError unless the app has a version for each of ``runners``, and none for another.

    BOINC's client tells a version for docker_wrapper by its plan class, whose name contains ``docker``.
    """
    here = {Runner.CONTAINER if "docker" in plan_class else Runner.MACHINE for plan_class in classes}
    if missing := sorted(set(runners) - here):
        raise InputError("no-app-version", f"--on {missing[0]}: the app {app} has no version for {_RUN_BY[missing[0]]}")
    if other := sorted(here - set(runners)):
        raise InputError(
            "other-app-version",
            f"the app {app} also has a version for {_RUN_BY[other[0]]}, whose hosts would take this job and fail",
            hint=f"add {other[0]} to --on, or use an app without such a version",
        )


def boot_images(app: str, project: Path | None, number: int | None = None) -> list[Path]:
    """The ISOs that hosts get: of the app's newest version for each platform, or of version ``number``.

    Empty, meaning unknown, if there is no project or no ISO in its ``apps`` directory.
    """
    root = find(project)
    return _sent(root / "apps" / app, "*.iso", number) if root is not None else []


def hosts_read_zstd(app: str, project: Path | None, number: int | None = None) -> bool:
    """Whether every ISO that hosts get (see ``boot_images``) is known to have a Docker that loads zstd layers."""
    images = boot_images(app, project, number)
    return bool(images) and all(map(reads_zstd, images))


def _sent(versions: Path, pattern: str, number: int | None) -> list[Path]:
    """The files that fit ``pattern`` in the app's newest version for each platform, or in version ``number``."""
    newest: dict[str, tuple[int, Path]] = {}
    for path in sorted(versions.glob(f"*/*/{pattern}")):
        major, _, minor = path.parent.parent.name.partition(".")
        if major.isdecimal() and minor.isdecimal():
            version = 100 * int(major) + int(minor)
            if version >= newest.get(path.parent.name, (0, path))[0] and number in (None, 0, version):
                newest[path.parent.name] = version, path
    return [path for _, path in newest.values()]


def _disk_mb(versions: Path, number: int | None) -> int | None:
    """The smallest data disk that hosts get, in MiB; package-app puts the size into the file's name."""
    names = [path.name for path in _sent(versions, "vm_cache_*.vdi", number)]
    return min((int(match[1]) for name in names if (match := re.match(r"vm_cache_(\d{1,9})_", name))), default=None)


def _output_template(project: Project, name: str) -> bytes:
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or not re.fullmatch(r"[A-Za-z0-9_./-]+", name):
        raise UsageError("bad-template", f"--result-template: expected a path below the project, found {name[:80]!r}")
    if len(name) > _MAX_TEMPLATE_PATH:
        raise InputError(
            "bad-template", f"{name}: BOINC's database holds only {_MAX_TEMPLATE_PATH} characters of this path"
        )
    try:
        return (project.root / name).read_bytes()
    except OSError as error:
        raise InputError(
            "missing-file", f"cannot read the output template {project.root / name}: {error.strerror}", hint=_INSTALL
        ) from error


def _limits(path: Path) -> Iterator[tuple[str, float]]:
    """The limits in an input template; its list of files is ignored."""
    root = xml_document.read(path, "the input template", hint=_INSTALL)
    unit = root if root.tag == "workunit" else root.find("workunit")
    if unit is None:
        raise InputError("bad-template", f"{path} has no <workunit>", hint=_INSTALL)
    for element in unit:
        if element.tag in IN_TEMPLATE:
            try:
                yield element.tag, float(element.text or "")
            except ValueError:
                raise InputError("bad-template", f"{path}: {element.tag}: found {element.text!r}") from None
