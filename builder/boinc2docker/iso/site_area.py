"""The embed area ``/boot/site.img``: a project's own settings and files, as an initramfs archive of fixed size.

256 KiB of zeros boot as nothing and are the released state. In use it holds one archive with
``opt/boinc2docker/site/{settings,files/…,hooks/…}``, padded with zeros. Pure: bytes in, bytes out.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from boinc2docker.digest import Digest
from boinc2docker.errors import InputError
from boinc2docker.formats import newc
from boinc2docker.formats.newc import Entry
from boinc2docker.iso.overlay import parents

AREA_BYTES = 256 * 1024
RELEASED_DIGEST = Digest.of(bytes(AREA_BYTES))
"""The digest of the area as released: zeros."""
UNFINISHED = b"boinc2docker: an interrupted customize; run customize --reset\n"
"""Begins an area that is being written. No archive begins like this: the kernel logs "invalid magic" and skips it."""

ROOT = "opt/boinc2docker/site"
_SETTINGS = f"{ROOT}/settings"
_FILES = f"{ROOT}/files/"
_HOOKS = f"{ROOT}/hooks/"

SETTINGS: Mapping[str, str] = {
    "REGISTRY_MIRROR": "URL of a registry that is asked before the public one; several, divided by blanks",
    "HTTP_PROXY": "URL of the proxy for http",
    "HTTPS_PROXY": "URL of the proxy for https",
    "NO_PROXY": "hosts that are reached without a proxy, divided by commas",
    "STORE_BUDGET_MB": "largest size of a host's layer store in MB",
}
"""The settings the guest knows, with what they mean."""
HOOKS = ("before-job", "after-job")

_URLS = re.compile(r"https?://[^\s/]+\S*( https?://[^\s/]+\S*)*")
_RESERVED = ("proc", "sys", "dev", "opt/boinc2docker")
_LINE = re.compile(r"([A-Z_]+)='((?:[^']|'\\'')*)'\n")


@dataclass(frozen=True)
class SiteFile:
    """A file that the guest copies to ``/<path>``; ``path`` is relative to the root."""

    data: bytes
    executable: bool = False


@dataclass(frozen=True)
class Site:
    """A project's settings and files in an ISO."""

    settings: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, SiteFile] = field(default_factory=dict)
    hooks: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return not (self.settings or self.files or self.hooks)

    def with_setting(self, key: str, value: str) -> Site:
        """Adds a setting. Raises InputError for an unknown key or a value the guest cannot use."""
        check_setting(key, value)
        return replace(self, settings={**self.settings, key: value})

    def with_file(self, path: str, file: SiteFile) -> Site:
        """Adds a file at a guest path, absolute or relative to the root. Raises InputError for an unsafe path."""
        return replace(self, files={**self.files, guest_path(path): file})

    def with_hook(self, name: str, script: bytes) -> Site:
        """Adds a hook script. Raises InputError for an unknown name."""
        if name not in HOOKS:
            raise InputError("unknown-hook", f"unknown hook {name!r}; known are {', '.join(HOOKS)}")
        return replace(self, hooks={**self.hooks, name: script})

    def without(self, name: str) -> Site:
        """Removes a setting, a file (by guest path) or a hook. Raises InputError if it is missing."""
        for kind in ("settings", "files", "hooks"):
            present: Mapping[str, object] = getattr(self, kind)
            key = name.lstrip("/") if kind == "files" else name
            if key in present:
                rest = {other: value for other, value in present.items() if other != key}
                return Site(**{**vars(self), kind: rest})
        there = [*self.settings, *(f"/{path}" for path in self.files), *self.hooks]
        raise InputError(
            "not-there", f"there is no {name!r} to remove", hint=f"present: {', '.join(there) or 'nothing'}"
        )


def check_setting(key: str, value: str) -> None:
    """Raises InputError for an unknown key, naming the known ones, and for a value of the wrong form."""
    if key not in SETTINGS:
        raise InputError("unknown-setting", f"unknown setting {key!r}; known are {', '.join(SETTINGS)}")
    if "\0" in value:
        raise InputError("bad-setting", f"{key}: a value cannot hold a NUL")
    if key == "STORE_BUDGET_MB" and not re.fullmatch(r"0|[1-9][0-9]{0,8}", value):
        raise InputError("bad-setting", f"{key}: expected a whole number of MB, found {value!r}")
    if key == "REGISTRY_MIRROR" or key.startswith("HTTP"):
        several = key == "REGISTRY_MIRROR"
        if not _URLS.fullmatch(value) or (" " in value and not several):
            raise InputError("bad-setting", f"{key}: expected http://HOST… or https://HOST…, found {value!r}")


def guest_path(path: str) -> str:
    """A guest path relative to the root. Raises InputError for paths outside the root or of the machine."""
    relative = path.removeprefix("/")
    if any(part in ("", ".", "..") for part in relative.split("/")) or any(ord(letter) < 32 for letter in relative):
        raise InputError("bad-guest-path", f"expected a path like /etc/ssl/b2d/ca.crt, found {path!r}")
    if any(relative == reserved or relative.startswith(reserved + "/") for reserved in _RESERVED):
        raise InputError("bad-guest-path", f"/{relative} belongs to the machine itself", hint="choose another path")
    return relative


def shell_lines(settings: Mapping[str, str]) -> str:
    """``KEY='value'`` lines that any POSIX shell reads back byte for byte, sorted. Raises InputError for a NUL."""
    for key, value in settings.items():
        if "\0" in value:
            raise InputError("bad-setting", f"{key}: a value cannot hold a NUL")
    return "".join(f"{key}={shell_word(settings[key])}\n" for key in sorted(settings))


def shell_word(text: str) -> str:
    """``text`` as one single-quoted word of a POSIX shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def parse_shell_lines(text: str) -> dict[str, str]:
    """Parses settings that ``shell_lines`` wrote. Raises InputError for anything else."""
    found = {}
    at = 0
    while at < len(text):
        match = _LINE.match(text, at)
        if match is None:
            raise InputError("bad-site-area", f"the settings cannot be read after character {at}")
        found[match[1]] = match[2].replace("'\\''", "'")
        at = match.end()
    return found


def render(site: Site, *, existing: Iterable[str] = ()) -> bytes:
    """The area of ``site``: zeros if it is empty. ``existing`` are directories the ISO's other archives bring.

    Raises InputError if it does not fit, telling how much it is.
    """
    if site.empty:
        return bytes(AREA_BYTES)
    data = newc.archive(_entries(site, frozenset(existing)))
    if len(data) > AREA_BYTES:
        sizes = {
            **{path: len(file.data) for path, file in site.files.items()},
            **{n: len(s) for n, s in site.hooks.items()},
        }
        largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
        raise InputError(
            "site-area-full",
            f"settings and files take {len(data)} bytes; there is room for {AREA_BYTES}",
            hint="the largest: " + ", ".join(f"{name} ({sizes[name]} bytes)" for name in largest) if largest else None,
        )
    return data.ljust(AREA_BYTES, b"\0")


def used_bytes(area: bytes) -> int:
    """The used bytes of an area."""
    return len(area.rstrip(b"\0"))


def parse(area: bytes) -> Site:
    """Reads the site in an area. Raises InputError for one that is unfinished, damaged or of another origin."""
    if not area.strip(b"\0"):
        return Site()
    if area.startswith(UNFINISHED):
        raise InputError(
            "unfinished-site-area",
            "a customize was interrupted; the ISO boots without settings",
            hint="run customize --reset, then set everything again",
        )
    try:
        return _site(area)
    except InputError as error:
        raise InputError(
            "bad-site-area", f"the site area is damaged: {error.message}", hint="run customize --reset, then set again"
        ) from error


def _entries(site: Site, existing: frozenset[str]) -> list[Entry]:
    files = [
        newc.regular(_FILES + path, file.data, 0o755 if file.executable else 0o644) for path, file in site.files.items()
    ]
    files += [newc.regular(_HOOKS + name, script, 0o755) for name, script in site.hooks.items()]
    if site.settings:
        files.append(newc.regular(_SETTINGS, newc.encoded(shell_lines(site.settings))))
    above = {name for entry in files for name in parents(entry.name)}
    inside = {name for name in above if name.startswith(ROOT)} - existing
    return [*files, *(newc.directory(name) for name in inside)]


def _site(area: bytes) -> Site:
    entries, used = newc.parse(area)
    if area[used:].strip(b"\0"):
        raise InputError("bad-site-area", f"{len(area) - used} bytes after the archive")
    settings: dict[str, str] = {}
    files, hooks = {}, {}
    for entry in entries:
        if entry.is_directory:
            continue
        if not stat.S_ISREG(entry.mode):
            raise InputError("bad-site-area", f"/{entry.name} is no file")
        if entry.name == _SETTINGS:
            settings = parse_shell_lines(entry.data.decode("utf-8", "surrogateescape"))
        elif entry.name.startswith(_FILES):
            files[entry.name.removeprefix(_FILES)] = SiteFile(entry.data, bool(entry.mode & stat.S_IXUSR))
        elif entry.name.startswith(_HOOKS):
            hooks[entry.name.removeprefix(_HOOKS)] = entry.data
        else:
            raise InputError("bad-site-area", f"/{entry.name} is none of ours")
    return Site(settings, files, hooks)
