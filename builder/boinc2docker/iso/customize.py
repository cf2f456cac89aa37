"""Writes a project's settings and files into a released ISO in place, shows them, and removes them.

Only the bytes of ``/boot/site.img`` are ever written. A power cut in the middle leaves an area that boots as nothing
and says so: its first sector is marked before the rest changes, and becomes an archive again last of all.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import filelock
from pycdlib import PyCdlib

from boinc2docker import atomic, places
from boinc2docker.digest import Digest
from boinc2docker.errors import HostError, InputError, VerificationError
from boinc2docker.formats import newc
from boinc2docker.formats.iso9660 import errors_named
from boinc2docker.iso import site_area, volume
from boinc2docker.iso.identity import OVERLAY_PATH, SITE_PATH
from boinc2docker.iso.image import Image, open_image, read_image
from boinc2docker.iso.site_area import AREA_BYTES, HOOKS, UNFINISHED, Site, SiteFile

ATOMIC_BYTES = 512
"""Bytes that a disk writes atomically."""
_OVERLAY_LIMIT = 64 << 20
_PATIENCE = 30.0
_HOOK = re.compile(rf"(.+):hook:({'|'.join(HOOKS)})")


@dataclass(frozen=True)
class Customisation:
    """A project's changes to an ISO, and the resulting digest."""

    path: Path
    site: Site
    used_bytes: int
    digest: Digest

    @property
    def customised(self) -> bool:
        return not self.site.empty


def show(iso: Path) -> Customisation:
    """The content of the site area. Raises InputError for an ISO that is not ours, or a damaged or unfinished area."""
    with open_image(iso) as stream:
        offset = _area_offset(iso, read_image(stream, iso))
        area = _read_area(stream, offset)
        return _customisation(iso, stream, area)


def customize(
    iso: Path,
    *,
    settings: Mapping[str, str] | None = None,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
    reset: bool = False,
) -> Customisation:
    """Changes the site area of ``iso`` in place; what earlier calls wrote stays.

    Order: ``reset`` (to the released state), ``remove`` (names of settings, guest paths, hooks), ``settings``, ``add``
    (``FILE:PATH`` or ``FILE:hook:NAME``). Nothing is written unless all of it is right. An area that becomes empty has
    its released bytes again, so the ISO has its released digest. Raises InputError, HostError (read-only, busy).
    """
    with _alone(iso), _open_writable(iso) as stream:
        image = read_image(stream, iso)
        offset = _area_offset(iso, image)
        site = Site() if reset else site_area.parse(_read_area(stream, offset))
        changed = apply(site, settings or {}, add, remove)
        area = site_area.render(changed, existing=_directories(stream, image))
        _write_area(stream, offset, area)
        if _read_area(stream, offset) != area or site_area.parse(area) != changed:
            raise VerificationError("bad-result", f"{iso}: the site area reads back differently")
        return _customisation(iso, stream, area)


def apply(site: Site, settings: Mapping[str, str], add: Iterable[str], remove: Iterable[str]) -> Site:
    """``site`` with a command line's changes; reads the files of ``add``. Raises InputError."""
    for name in remove:
        site = site.without(name)
    for key, value in settings.items():
        site = site.with_setting(key, value)
    for spec in add:
        hook = _HOOK.fullmatch(spec)
        if hook:
            site = site.with_hook(hook[2], _read_addition(Path(hook[1])).data)
        else:
            file, colon, path = spec.rpartition(":")
            if not colon or not file:
                raise InputError("bad-addition", f"expected FILE:PATH or FILE:hook:NAME, found {spec!r}")
            site = site.with_file(path, _read_addition(Path(file)))
    return site


def parse_settings(words: Sequence[str]) -> dict[str, str]:
    """``KEY=VALUE`` words of a command line. Raises InputError for a word without ``=``."""
    found = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign:
            raise InputError("bad-setting", f"expected KEY=VALUE, found {word!r}")
        found[key] = value
    return found


def as_json(done: Customisation) -> dict[str, Any]:
    """The object that ``customize --json`` prints; files by size and digest."""
    return {
        "iso": str(done.path),
        "sha256": done.digest.hex,
        "customised": done.customised,
        "settings": dict(done.site.settings),
        "files": {
            f"/{path}": {"bytes": len(file.data), "sha256": Digest.of(file.data).hex, "executable": file.executable}
            for path, file in sorted(done.site.files.items())
        },
        "hooks": {
            name: {"bytes": len(script), "sha256": Digest.of(script).hex}
            for name, script in sorted(done.site.hooks.items())
        },
        "used_bytes": done.used_bytes,
        "capacity_bytes": AREA_BYTES,
    }


def render(done: Customisation) -> str:
    """The text that ``customize --show`` prints."""
    if not done.customised:
        return f"{done.path}: as released, sha256 {done.digest.hex}"
    lines = [f"{done.path}: customised, sha256 {done.digest.hex}"]
    lines += [f"  {key}={site_area.shell_word(value)}" for key, value in sorted(done.site.settings.items())]
    lines += [f"  /{path}  ({len(file.data)} bytes)" for path, file in sorted(done.site.files.items())]
    lines += [f"  hook {name}  ({len(script)} bytes)" for name, script in sorted(done.site.hooks.items())]
    return "\n".join([*lines, f"  {done.used_bytes} of {AREA_BYTES} bytes used"])


def _read_addition(path: Path) -> SiteFile:
    try:
        with path.open("rb") as stream:
            data = stream.read(AREA_BYTES + 1)
            info = os.fstat(stream.fileno())
    except OSError as error:
        raise InputError("no-such-file", f"cannot read {path}: {error.strerror}") from error
    if len(data) > AREA_BYTES:
        raise InputError("site-area-full", f"{path} has {info.st_size} bytes; the site area has room for {AREA_BYTES}")
    return SiteFile(data, bool(info.st_mode & stat.S_IXUSR))


def _customisation(iso: Path, stream: BinaryIO, area: bytes) -> Customisation:
    site = site_area.parse(area)
    stream.seek(0)
    return Customisation(iso, site, site_area.used_bytes(area), Digest.of_stream(stream))


def _area_offset(iso: Path, image: Image) -> int:
    """The area's place, on which two readers must agree before anything is written."""
    file = image.volume.files.get(SITE_PATH)
    if not image.ours or file is None:
        raise InputError("not-ours", f"{iso} was not made by this project", hint="make one with build-iso")
    reader = PyCdlib()
    with errors_named(iso, "read"):
        reader.open(str(iso))
        try:
            extents = reader.get_file_byte_extents(rr_path=SITE_PATH)
        finally:
            reader.close()
    if len(extents) != 1 or tuple(extents) != file.extents or file.bytes != AREA_BYTES:
        raise InputError("bad-site-area", f"{iso}: {SITE_PATH} is not one extent of {AREA_BYTES} bytes")
    return int(extents[0][0])


def _directories(stream: BinaryIO, image: Image) -> list[str]:
    """The directories of the agent, which need no record of ours."""
    file = image.volume.files.get(OVERLAY_PATH)
    if file is None:
        raise InputError("bad-iso", f"{OVERLAY_PATH} is missing")
    entries, _ = newc.parse(volume.read_file(stream, file, limit=_OVERLAY_LIMIT))
    return [entry.name for entry in entries if entry.is_directory]


def _read_area(stream: BinaryIO, offset: int) -> bytes:
    stream.seek(offset)
    return stream.read(AREA_BYTES)


def _write_area(stream: BinaryIO, offset: int, area: bytes) -> None:
    """Writes the area so that it is old, new or marked unfinished, whenever the power fails."""
    if _read_area(stream, offset) == area:
        return
    steps = (
        (0, UNFINISHED.ljust(ATOMIC_BYTES, b"\0")),
        (ATOMIC_BYTES, area[ATOMIC_BYTES:]),
        (0, area[:ATOMIC_BYTES]),
    )
    for at, data in steps:
        stream.seek(offset + at)
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


@contextlib.contextmanager
def _open_writable(iso: Path) -> Iterator[BinaryIO]:
    try:
        if iso.exists() and not iso.stat().st_mode & 0o222:
            raise HostError("no-permission", f"cannot change {iso}: it is read-only", hint="customise a copy of it")
        with iso.open("r+b") as stream:
            yield stream
    except FileNotFoundError as error:
        raise InputError("no-such-file", f"cannot read {iso}: {error.strerror}") from error
    except OSError as error:
        raise atomic.explain(error, f"change {iso}") from error


@contextlib.contextmanager
def _alone(iso: Path) -> Iterator[None]:
    """Locks an ISO for one customize at a time; the lock is in the user's cache, not beside the ISO."""
    name = hashlib.sha256(os.fsencode(iso.resolve())).hexdigest()
    path = places.cache() / "locks" / f"{name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path, timeout=_PATIENCE):
            yield
    except filelock.Timeout as error:
        raise HostError("busy", f"another customize is writing {iso}", hint="wait for it to end") from error
    except OSError as error:
        raise atomic.explain(error, f"lock {iso}") from error
