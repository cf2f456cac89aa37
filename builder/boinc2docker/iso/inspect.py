"""Inspects an ISO: whether it is ours, what differs from its base, and whether the recorded digests match."""

from __future__ import annotations

import re
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from boinc2docker.digest import Digest
from boinc2docker.errors import BuilderError, InputError
from boinc2docker.formats import newc
from boinc2docker.formats.newc import Entry
from boinc2docker.iso import site_area, volume
from boinc2docker.iso.boot_layout import BootKind
from boinc2docker.iso.identity import (
    ADDED_PATHS,
    IDENTITY_PATH,
    OVERLAY_PATH,
    SITE_PATH,
    SUMS_PATH,
    UNSUMMED_PATHS,
    Identity,
    parse_identity,
    parse_sums,
)
from boinc2docker.iso.image import IDENTITY_LIMIT, Image, open_image, read_image
from boinc2docker.iso.overlay import IDENTITY_NAME
from boinc2docker.iso.site_area import AREA_BYTES, Site
from boinc2docker.iso.verify import boot_info_checksum
from boinc2docker.iso.volume import SECTOR

_LIMIT = 64 << 20


@dataclass(frozen=True)
class FileReport:
    """A file of the ISO. ``recorded`` is its digest in the list; ``origin`` is base, edited (against it) or added."""

    path: str
    bytes: int
    digest: Digest
    recorded: Digest | None
    origin: str | None

    @property
    def ok(self) -> bool | None:
        """Whether the recorded digest matches; None if none is recorded."""
        return None if self.recorded is None else self.recorded == self.digest


@dataclass(frozen=True)
class Report:
    """The result of ``inspect``. ``problems`` are sentences; one of our ISOs without any is intact."""

    kind: str
    path: Path
    bytes: int
    digest: Digest
    image: Image
    identity: Identity | None
    files: tuple[FileReport, ...]
    overlay: tuple[Entry, ...]
    site: Site | None
    customised: bool
    problems: tuple[str, ...]

    @property
    def ours(self) -> bool:
        return self.kind == "boinc2docker"

    @property
    def intact(self) -> bool | None:
        """None for an ISO that is not ours, which records no digests."""
        return not self.problems if self.ours else None


@dataclass
class _Parts:
    """What one of our ISOs has besides files; ``problems`` collects read errors."""

    identity: Identity | None = None
    identity_text: bytes = b""
    sums: Mapping[str, Digest] = field(default_factory=dict)
    overlay: list[Entry] = field(default_factory=list)
    area: bytes = b""
    site: Site | None = None
    problems: list[str] = field(default_factory=list)


def inspect(path: Path) -> Report:
    """Reads all of an ISO. Raises InputError if it is not an ISO, or truncated."""
    with open_image(path) as stream:
        image = read_image(stream, path)
        parts = _parts(stream, image) if image.ours else _Parts()
        files = tuple(_file(stream, image, name, parts) for name in sorted(image.volume.files))
        problems = [*parts.problems, *_volume_problems(stream, image)]
        if image.ours:
            problems += [*_digest_problems(files, parts), *_content_problems(image, parts)]
        stream.seek(0)
        digest = Digest.of_stream(stream)
    return Report(
        kind=_kind(image),
        path=path,
        bytes=image.size,
        digest=digest,
        image=image,
        identity=parts.identity,
        files=files,
        overlay=tuple(parts.overlay),
        site=parts.site,
        customised=bool(parts.area.strip(b"\0")),
        problems=tuple(problems),
    )


def read_identity(path: Path) -> Identity | None:
    """An ISO's identity, without reading all of it; None if it is not ours. Raises InputError if it is not an ISO."""
    with open_image(path) as stream:
        image = read_image(stream, path)
        return _parts(stream, image).identity if image.ours else None


def reads_zstd(path: Path) -> bool:
    """Whether the Docker in an ISO is known to load zstd layers, as it does from version 23 on."""
    try:
        identity = read_identity(path)
    except InputError:
        return False
    version = re.match(r"\d+", str(identity.base.facts.get("docker", "")) if identity else "")
    return version is not None and int(version[0]) >= 23


def _kind(image: Image) -> str:
    if image.ours:
        return "boinc2docker"
    return "boot2docker-like" if image.has_isolinux and image.labels else "other"


def _parts(stream: BinaryIO, image: Image) -> _Parts:
    parts = _Parts()

    def load(path: str, limit: int) -> bytes:
        file = image.volume.files.get(path)
        if file is None:
            parts.problems.append(f"{path} is missing")
            return b""
        return volume.read_file(stream, file, limit=limit)

    try:
        parts.identity_text = load(IDENTITY_PATH, IDENTITY_LIMIT)
        parts.identity = parse_identity(parts.identity_text)
        parts.sums = parse_sums(load(SUMS_PATH, IDENTITY_LIMIT))
        parts.overlay = newc.parse(load(OVERLAY_PATH, _LIMIT))[0]
        parts.area = load(SITE_PATH, AREA_BYTES)
        parts.site = site_area.parse(parts.area)
    except BuilderError as error:
        parts.problems.append(error.message)
    return parts


def _file(stream: BinaryIO, image: Image, path: str, parts: _Parts) -> FileReport:
    file = image.volume.files[path]
    origin = None
    if parts.identity is not None:
        origin = "added" if path in ADDED_PATHS else "edited" if path in parts.identity.edited else "base"
    return FileReport(path, file.bytes, volume.digest(stream, file), parts.sums.get(path), origin)


def _volume_problems(stream: BinaryIO, image: Image) -> list[str]:
    found = [f"the name {name} appears twice" for name in image.volume.duplicates]
    if image.loader is not None and image.has_isolinux:
        loader = volume.read_file(stream, image.loader, limit=_LIMIT)
        expected = (16, image.loader.extents[0][0] // SECTOR, len(loader), boot_info_checksum(loader))
        if len(loader) < 64 or struct.unpack_from("<4I", loader, 8) != expected:
            found.append(f"the boot information table of {image.loader.path} is wrong: it will not boot from CD")
    for label in image.labels:
        named = [label.kernel] if label.kernel else []
        missing = [path for path in (*named, *label.initrds) if image.volume.find(path) is None]
        found += [f"the boot configuration names {path}, which is missing" for path in missing]
    return found


def _digest_problems(files: tuple[FileReport, ...], parts: _Parts) -> list[str]:
    if not parts.sums:
        return []
    found = [f"{file.path} has another digest than recorded" for file in files if file.ok is False]
    unknown = [file.path for file in files if file.recorded is None and file.path not in UNSUMMED_PATHS]
    found += [f"{path} is not among the recorded files" for path in unknown]
    here = {file.path for file in files}
    return found + [f"{path} is recorded and missing" for path in parts.sums if path not in here]


def _content_problems(image: Image, parts: _Parts) -> list[str]:
    found = []
    inside = next((entry.data for entry in parts.overlay if entry.name == IDENTITY_NAME), None)
    if parts.overlay and inside != parts.identity_text:
        found.append("the guest's copy of the identity differs from the ISO's")
    if parts.identity is not None and image.volume.volume_id != parts.identity.volume_id:
        found.append(f"the volume id is {image.volume.volume_id!r}; expected {parts.identity.volume_id!r}")
    without = [label for label in image.labels if not {OVERLAY_PATH, SITE_PATH} <= set(label.initrds)]
    found += [f"boot label {label.name or '(default)'} does not load the agent" for label in without]
    if not image.labels:
        found.append("no boot configuration loads the agent")
    return found


def as_json(report: Report) -> dict[str, Any]:
    """The report as the object that ``inspect --json`` prints."""
    identity, layout = report.identity, report.image.layout
    base = None
    if identity is not None:
        base = {"name": identity.base.name, "sha256": identity.base.digest.hex, **identity.base.facts}
    return {
        "kind": report.kind,
        "ours": report.ours,
        "version": None if identity is None else identity.version,
        "base": base,
        "iso": str(report.path),
        "sha256": report.digest.hex,
        "bytes": report.bytes,
        "intact": report.intact,
        "customised": report.customised,
        "volume_id": report.image.volume.volume_id,
        "application_id": report.image.volume.application_id,
        "boot_layout": {
            "kind": layout.kind.value,
            "loader": None if report.image.loader is None else report.image.loader.path,
            "would_lose": list(layout.would_lose),
        },
        "labels": [
            {
                "name": label.name,
                "kernel": label.kernel,
                "initrds": list(label.initrds),
                "arguments": list(label.arguments),
            }
            for label in report.image.labels
        ],
        "changed_against_base": {
            "added": [file.path for file in report.files if file.origin == "added"],
            "edited": [file.path for file in report.files if file.origin == "edited"],
        },
        "files": [
            {
                "path": file.path,
                "bytes": file.bytes,
                "sha256": file.digest.hex,
                "recorded": None if file.recorded is None else file.recorded.hex,
                "ok": file.ok,
            }
            for file in report.files
        ],
        "overlay": [
            {"path": f"/{entry.name}", "mode": f"{stat.S_IMODE(entry.mode):04o}", "bytes": len(entry.data)}
            for entry in report.overlay
        ],
        "problems": list(report.problems),
    }


def render(report: Report) -> str:
    """The report as text."""
    head = [f"{report.path}: {_title(report)}", f"  sha256   {report.digest.hex}, {report.bytes} bytes"]
    if report.identity is not None:
        facts = report.identity.base.facts
        known = ", ".join(f"{name} {facts[name]}" for name in ("kernel", "docker") if facts.get(name))
        head.append(
            f"  base     {report.identity.base.name}, {report.identity.base.digest}" + (f" ({known})" if known else "")
        )
        head.append(f"  site     {'customised' if report.customised else 'as released'}")
    layout = report.image.layout
    loader = report.image.loader
    cd = f"from CD by {loader.path}" if loader is not None else "not from CD"
    disk = "not from a disk" if layout.kind is BootKind.NONE else f"from a disk ({layout.kind.value})"
    head.append(f"  boots    {cd}, {disk}; volume id {report.image.volume.volume_id}")
    head += [f"           cannot be remastered: {loss}" for loss in layout.would_lose]
    for label in report.image.labels:
        head.append(f"  label    {label.name or '(default)'}: {label.kernel} + {', '.join(label.initrds)}")
        head.append(f"           {' '.join(label.arguments)}")
    lines = [f"  {_mark(file)} {file.bytes:>11}  {file.path}" for file in report.files]
    agent = [f"  {stat.filemode(entry.mode)} {len(entry.data):>7}  /{entry.name}" for entry in report.overlay]
    problems = [f"  {problem}" for problem in report.problems]
    sections = (("files", lines), ("agent", agent), ("problems", problems))
    return "\n".join(head + [line for title, body in sections if body for line in (f"{title}:", *body)])


def _title(report: Report) -> str:
    if not report.ours:
        return "a boot2docker-like ISO" if report.kind == "boot2docker-like" else "an ISO of another kind"
    version = report.identity.version if report.identity else "of unknown version"
    state = "intact" if report.intact else f"{len(report.problems)} problem{'s' * (len(report.problems) != 1)}"
    return f"boinc2docker {version}, {state}"


def _mark(file: FileReport) -> str:
    if file.ok is False:
        return "CHANGED"
    return {"added": "added  ", "edited": "edited "}.get(file.origin or "", "       ")
