"""The app that jobs are for, as its project has it: templates, machine, versions. Checked before anything is made.

``create_work`` checks none of this: it creates work units that nobody can ever get, and reports a missing output
template as success.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from builder.errors import InputError
from builder.work.boinc import xml_document
from builder.work.boinc.documents import VBOX_JOB, Outputs, parse_output_template
from builder.work.boinc.options import IN_TEMPLATE
from builder.work.boinc.project import Project

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}")
_MAX_TEMPLATE_PATH = 62
"""Characters of the database's column, less the zero that BOINC's structure adds."""
_INSTALL = "`invoke package-app --project DIR` installs the app with its templates"


@dataclass(frozen=True)
class AppFiles:
    """An app's name, the machine it gets, the limits of its input template, what its jobs may hand back.

    ``result_template`` is relative to the project's root.
    """

    name: str
    vbox_job: ET.Element
    limits: dict[str, float]
    outputs: Outputs
    result_template: str

    @property
    def memory_mb(self) -> int:
        """MiB of its machine."""
        found = xml_document.text(self.vbox_job, "memory_size_mb")
        return int(float(found)) if re.fullmatch(r"\d{1,8}(\.\d*)?", found) else 2048

    @property
    def data_disk(self) -> bool:
        """Whether its machines have a disk for the image."""
        found = self.vbox_job.find("enable_cache_disk")
        return found is not None and (found.text or "1").strip() != "0"


def check_name(name: str) -> None:
    """Raises InputError for what cannot be the name of an app."""
    if not _NAME.fullmatch(name):
        raise InputError("bad-app", f"--appname: expected letters, digits, _ and -, found {name[:80]!r}")


def without_project(name: str) -> AppFiles:
    """What package-app installs unless told otherwise."""
    check_name(name)
    return AppFiles(
        name, xml_document.parse(VBOX_JOB, "vbox_job.xml"), {}, Outputs(1_020_000_000), f"templates/{name}_out"
    )


def load(
    project: Project, name: str, *, wu_template: str | None = None, result_template: str | None = None
) -> AppFiles:
    """Reads the app's templates. ``wu_template`` is a path, ``result_template`` relative to the project's root.

    Raises InputError for what is missing or not as BOINC wants it.
    """
    check_name(name)
    given = Path(wu_template) if wu_template else project.root / "templates" / f"{name}_in"
    machine = project.root / "templates" / f"{name}_vbox_job.xml"
    unit = xml_document.read(given, "the input template", hint=_INSTALL)
    unit = unit if unit.tag == "workunit" else _only(unit, "workunit", given)
    output = result_template or f"templates/{name}_out"
    return AppFiles(
        name=name,
        vbox_job=xml_document.read(machine, "the app's vbox_job.xml", hint=_INSTALL),
        limits=dict(_limits(unit, given)),
        outputs=parse_output_template(_output_template(project, output), output),
        result_template=output,
    )


def require_version(project: Project, app: str, number: int | None) -> None:
    """Raises InputError unless the project's directories have a version of the app that hosts can be sent.

    ``number`` None is any version. Each version's plan class has to be in plan_class_spec.xml if there is such a file:
    it is the only source then.
    """
    directory = project.root / "apps" / app
    versions = {path.name: path for path in directory.glob("*") if _number(path.name) is not None}
    if not versions:
        raise InputError("no-app-version", f"{directory} has no version of the app {app}", hint=_INSTALL)
    if number:
        versions = {name: path for name, path in versions.items() if _number(name) == number}
        if not versions:
            raise InputError("no-app-version", f"--app-version-num {number}: {directory} has no such version")
    classes = {one.name.split("__")[1] for path in versions.values() for one in path.glob("*__*")}
    specification = project.root / "plan_class_spec.xml"
    if classes and specification.is_file():
        text = specification.read_text(encoding="utf-8", errors="replace")  # BOINC's own sample is not well-formed
        known = set(re.findall(r"<name>\s*([^<\s]+)\s*</name>", text))
        if not classes & known:
            shown = ", ".join(sorted(classes))
            raise InputError(
                "no-plan-class",
                f"{specification} has none of the plan classes of {app}: {shown}; no host would get the job",
                hint=_INSTALL,
            )


def _number(version: str) -> int | None:
    """``1.02`` is 102."""
    found = re.fullmatch(r"(\d{1,5})(?:\.(\d{1,2}))?", version)
    return int(found[1]) * 100 + int(found[2] or 0) if found else None


def _output_template(project: Project, name: str) -> bytes:
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or not re.fullmatch(r"[A-Za-z0-9_./-]+", name):
        raise InputError("bad-template", f"--result-template: expected a path below the project, found {name[:80]!r}")
    if len(name) > _MAX_TEMPLATE_PATH:
        raise InputError("bad-template", f"{name}: longer than the {_MAX_TEMPLATE_PATH} characters of BOINC's database")
    try:
        return (project.root / name).read_bytes()
    except OSError as error:
        raise InputError(
            "missing-file", f"cannot read the output template {project.root / name}: {error.strerror}", hint=_INSTALL
        ) from error


def _only(root: ET.Element, name: str, path: Path) -> ET.Element:
    found = root.find(name)
    if found is None:
        raise InputError("bad-template", f"{path} has no <{name}>", hint=_INSTALL)
    return found


def _limits(unit: ET.Element, path: Path) -> list[tuple[str, float]]:
    """The limits that the app's own input template sets."""
    found = []
    for element in unit:
        if element.tag in IN_TEMPLATE:
            try:
                found.append((element.tag, float(element.text or "")))
            except ValueError:
                raise InputError("bad-template", f"{path}: {element.tag}: found {element.text!r}") from None
    return found
