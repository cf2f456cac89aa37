"""Why two ISOs differ: files, packages, boot configuration, and what is inside initramfs and squashfs files."""

from __future__ import annotations

import difflib
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from boinc2docker import leftovers
from boinc2docker.digest import CHUNK, Digest
from boinc2docker.errors import BuilderError
from boinc2docker.iso import squashfs_tree, tree_difference, volume
from boinc2docker.iso.identity import IDENTITY_PATH, OVERLAY_PATH, SITE_PATH, parse_identity
from boinc2docker.iso.image import IDENTITY_LIMIT, Image, open_image, read_image
from boinc2docker.iso.initramfs import list_initramfs
from boinc2docker.iso.tree_difference import Change, Leaf
from boinc2docker.iso.volume import SECTOR, IsoFile

_SQUASHFS = b"hsqs"
_DIFFOSCOPE_SECONDS = 1800
_SHOWN = 40


@dataclass(frozen=True)
class Difference:
    """The differences between two ISOs. An empty list means no difference of that kind.

    ``inside`` holds the changed paths of each changed file that could be looked into; ``elsewhere`` are places outside
    of files; ``notes`` tell what could not be looked at; ``diffoscope`` is that program's report, if it is there.
    """

    digests: tuple[Digest, Digest]
    volume: tuple[str, ...]
    files: tuple[Change, ...]
    packages: tuple[str, ...]
    boot: tuple[str, ...]
    inside: Mapping[str, tuple[Change, ...]]
    elsewhere: tuple[str, ...]
    notes: tuple[str, ...]
    diffoscope: str | None

    @property
    def same(self) -> bool:
        return self.digests[0] == self.digests[1]


@dataclass(frozen=True)
class _Side:
    path: Path
    stream: BinaryIO
    image: Image
    files: Mapping[str, Leaf]

    def file(self, path: str) -> IsoFile:
        return self.image.volume.files[path]


def compare(first: Path, second: Path, *, deep: bool = True) -> Difference:
    """Compares two ISOs; ``deep`` also looks into squashfs files and asks diffoscope. Raises InputError."""
    with open_image(first) as one, open_image(second) as other:
        before, after = _side(first, one), _side(second, other)
        files = tree_difference.compare(before.files, after.files)
        changed = [change.path for change in files if change.before and change.after]
        inside: dict[str, tuple[Change, ...]] = {}
        notes: list[str] = []
        for path in changed:
            found, note = _inside(before, after, path, deep=deep)
            if found is not None:
                inside[path] = tuple(found)
            if note:
                notes.append(note)
        digests = (_whole(before), _whole(after))
        report = _diffoscope(first, second, notes) if deep and digests[0] != digests[1] else None
        return Difference(
            digests=digests,
            volume=tuple(_volume(before.image, after.image)),
            files=tuple(files),
            packages=tuple(_packages(before, after, notes)),
            boot=tuple(_boot(before.image, after.image)),
            inside=inside,
            elsewhere=tuple(_elsewhere(before, after)),
            notes=tuple(notes),
            diffoscope=report,
        )


def _side(path: Path, stream: BinaryIO) -> _Side:
    image = read_image(stream, path)
    files = {name: _leaf(stream, file) for name, file in image.volume.files.items()}
    return _Side(path, stream, image, files)


def _leaf(stream: BinaryIO, file: IsoFile) -> Leaf:
    kind = stat.filemode(file.mode) if file.mode is not None else "?"
    return Leaf(kind, file.bytes, volume.digest(stream, file).hex)


def _whole(side: _Side) -> Digest:
    side.stream.seek(0)
    return Digest.of_stream(side.stream)


def _volume(before: Image, after: Image) -> Iterator[str]:
    for name in ("volume_id", "application_id", "space_bytes", "rock_ridge", "joliet", "udf"):
        old, new = getattr(before.volume, name), getattr(after.volume, name)
        if old != new:
            yield f"{name.replace('_', ' ')}: {old} → {new}"
    if before.layout.kind != after.layout.kind:
        yield f"boots: {before.layout.kind.value} → {after.layout.kind.value}"


def _packages(before: _Side, after: _Side, notes: list[str]) -> list[str]:
    old, new = (_named(side, notes) for side in (before, after))
    if old is None or new is None:
        return []
    names = sorted(old.keys() | new.keys())
    return [f"{name}: {old.get(name, '-')} → {new.get(name, '-')}" for name in names if old.get(name) != new.get(name)]


def _named(side: _Side, notes: list[str]) -> dict[str, str] | None:
    """Package → version, from the ISO's identity; None if it has none or does not say."""
    file = side.image.volume.files.get(IDENTITY_PATH)
    if file is None:
        notes.append(f"{side.path} does not tell which packages it is made of")
        return None
    try:
        facts = parse_identity(volume.read_file(side.stream, file, limit=IDENTITY_LIMIT)).base.facts
        listed: Any = facts.get("packages", [])
        return {str(one["name"]): str(one["version"]) for one in listed}
    except (BuilderError, KeyError, TypeError) as error:
        notes.append(f"the identity of {side.path} cannot be read: {error}")
        return None


def _boot(before: Image, after: Image) -> Iterator[str]:
    for path in sorted(before.configs.keys() | after.configs.keys()):
        old, new = (
            image.configs[path].text.decode("latin-1").splitlines() if path in image.configs else []
            for image in (before, after)
        )
        yield from difflib.unified_diff(old, new, f"first{path}", f"second{path}", lineterm="", n=1)


def _initrds(image: Image) -> set[str]:
    found = {file.path for label in image.labels for name in label.initrds if (file := image.volume.find(name))}
    return found | {OVERLAY_PATH, SITE_PATH}


def _inside(before: _Side, after: _Side, path: str, *, deep: bool) -> tuple[list[Change] | None, str | None]:
    """The changed paths inside a file of both; None if it contains no files or cannot be read."""
    files = [(side, side.file(path)) for side in (before, after)]
    try:
        if path in _initrds(before.image) & _initrds(after.image):
            trees = [_initramfs(side, file) for side, file in files]
        elif all(_begins(side, file) == _SQUASHFS for side, file in files):
            if not deep:
                return None, None
            if not squashfs_tree.available():
                return None, f"{path} was not looked into: unsquashfs is not on this machine (squashfs-tools)"
            trees = [_squashfs(side, file) for side, file in files]
        else:
            return None, None
    except BuilderError as error:
        return None, f"{path} cannot be looked into: {error.message}"
    changes = tree_difference.compare(*trees)
    note = None if changes else f"{path} holds the same files in both: headers, times, order or compression differ"
    return changes, note


def _begins(side: _Side, file: IsoFile) -> bytes:
    return next(iter(volume.chunks(side.stream, file)), b"")[:4]


def _initramfs(side: _Side, file: IsoFile) -> dict[str, Leaf]:
    entries = list_initramfs(volume.open_file(side.stream, file), keep=lambda _: True)
    return {
        name: Leaf(
            stat.filemode(entry.mode),
            len(entry.data),
            entry.data.decode("utf-8", "replace") if stat.S_ISLNK(entry.mode) else Digest.of(entry.data).hex,
        )
        for name, entry in entries.items()
    }


def _squashfs(side: _Side, file: IsoFile) -> dict[str, Leaf]:
    with leftovers.scratch() as work:
        with (work / "squashfs").open("wb") as copy:
            for chunk in volume.chunks(side.stream, file):
                copy.write(chunk)
        return squashfs_tree.read(work / "squashfs")


def _elsewhere(before: _Side, after: _Side) -> list[str]:
    """Bytes that differ outside files, by region; only for images of the same size."""
    if before.image.size != after.image.size:
        return []
    owned = sorted(
        {extent for side in (before, after) for file in side.image.volume.files.values() for extent in file.extents}
    )
    regions: dict[str, list[int]] = {}
    for offset in _different_sectors(before.stream, after.stream):
        if any(start <= offset < start + length for start, length in owned):
            continue
        name = "system area" if offset < 16 * SECTOR else "descriptors, directories and padding"
        regions.setdefault(name, []).append(offset)
    return [f"{name}: {len(found)} sectors, the first at byte {found[0]}" for name, found in regions.items()]


def _different_sectors(one: BinaryIO, other: BinaryIO) -> Iterator[int]:
    one.seek(0)
    other.seek(0)
    at = 0
    while first := one.read(CHUNK):
        second = other.read(CHUNK)
        if first != second:
            for start in range(0, len(first), SECTOR):
                if first[start : start + SECTOR] != second[start : start + SECTOR]:
                    yield at + start
        at += len(first)


def _diffoscope(first: Path, second: Path, notes: list[str]) -> str | None:
    """diffoscope's report as text; its exit status is 1 if it finds differences."""
    if shutil.which("diffoscope") is None:
        notes.append("diffoscope, which would tell more, is not on this machine")
        return None
    argv = ["diffoscope", "--text", "-", "--max-text-report-size", "100000", str(first), str(second)]
    try:
        done = subprocess.run(argv, capture_output=True, timeout=_DIFFOSCOPE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        notes.append(f"diffoscope found no end in {_DIFFOSCOPE_SECONDS} s")
        return None
    if done.returncode > 1:
        notes.append(f"diffoscope failed: {done.stderr.decode(errors='replace').strip()[-200:]}")
        return None
    return done.stdout.decode(errors="replace")


def as_json(found: Difference) -> dict[str, Any]:
    """The object that ``diff --json`` prints."""
    return {
        "same": found.same,
        "sha256": [digest.hex for digest in found.digests],
        "volume": list(found.volume),
        "files": [_change_json(change) for change in found.files],
        "packages": list(found.packages),
        "boot": list(found.boot),
        "inside": {path: [_change_json(change) for change in changes] for path, changes in found.inside.items()},
        "elsewhere": list(found.elsewhere),
        "notes": list(found.notes),
        "diffoscope": found.diffoscope,
    }


def _change_json(change: Change) -> dict[str, Any]:
    sides = {"before": change.before, "after": change.after}
    return {"path": change.path, **{name: vars(leaf) if leaf else None for name, leaf in sides.items()}}


def render(found: Difference) -> str:
    """The difference as text."""
    if found.same:
        return f"the same bytes: {found.digests[0]}"
    sections = [
        ("volume", list(found.volume)),
        ("files", [str(change) for change in found.files]),
        ("packages", list(found.packages)),
        ("boot configuration", list(found.boot)),
        *((f"inside {path}", [str(change) for change in changes]) for path, changes in found.inside.items()),
        ("outside of files", list(found.elsewhere)),
        ("notes", list(found.notes)),
    ]
    lines = [f"first  {found.digests[0]}", f"second {found.digests[1]}"]
    for title, body in sections:
        if body:
            lines += [f"{title}:", *(f"  {line}" for line in body[:_SHOWN])]
            if len(body) > _SHOWN:
                lines.append(f"  … and {len(body) - _SHOWN} more (--json lists all)")
    if found.diffoscope:
        lines += ["diffoscope:", found.diffoscope.rstrip()]
    return "\n".join(lines)
