"""Fewer, larger layers: neighbours of an image are made one where a work unit could not name them all.

A merged layer says what its layers said together (OCI image-spec, layer.md): a whiteout hides what is below the merged
layer and takes away what the layers under it had; a directory that was taken away and came back is opaque. The image's
config lists other diff ids then, so its ID changes.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from boinc2docker import console
from boinc2docker.digest import CHUNK, Digest, require
from boinc2docker.errors import InputError
from boinc2docker.formats.gzip_writer import Packer
from boinc2docker.formats.layer_compression import Undo, chunks
from boinc2docker.image.image import Image, Layer

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
PathOf = Callable[[Layer], Path]


def merge_layers(image: Image, most: int, path_of: PathOf, into: Path) -> Image:
    """``image`` with at most ``most`` layers; merged ones are written into ``into`` under their digests.

    The fewest bytes are packed again. Raises InputError for a layer that is no tar, VerificationError for
    one that is not what the image says.
    """
    groups = group([layer.size for layer in image.layers], most)
    layers: list[Layer] = []
    with console.progress("merging layers", sum(image.layers[n].size for g in groups if len(g) > 1 for n in g)) as bar:
        for numbers in groups:
            some = [image.layers[number] for number in numbers]
            layers.append(some[0] if len(some) == 1 else _merge(some, path_of, into))
            bar(sum(one.size for one in some) if len(some) > 1 else 0)
    return replace(image, layers=tuple(layers), config=_config(image.config, groups, layers))


def group(sizes: Sequence[int], most: int) -> list[list[int]]:
    """Numbers of layers, in order, in at most ``most`` groups of neighbours: small ones join first. Pure."""
    groups = [[number] for number in range(len(sizes))]
    totals = list(sizes)
    while len(groups) > max(most, 1):
        best = min(range(len(groups) - 1), key=lambda at: totals[at] + totals[at + 1])
        groups[best] += groups.pop(best + 1)
        totals[best] += totals.pop(best + 1)
    return groups


def _config(config: bytes, groups: Iterable[Sequence[int]], layers: Iterable[Layer]) -> bytes:
    """The config with the new diff ids; in its history only the last step of a group has a layer."""
    document = json.loads(config)
    document["rootfs"]["diff_ids"] = [str(layer.diff_id) for layer in layers]
    last = {numbers[-1] for numbers in groups}
    number = 0
    for step in document.get("history") or []:
        if not step.get("empty_layer"):
            if number not in last:
                step["empty_layer"] = True
            number += 1
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass
class Merger:
    """Which entries of some layers, lowest first, are in the merged one. Pure.

    ``kept`` maps a path to its layer's number and whether it is a directory; ``hidden`` and ``opaque`` are the merged
    layer's whiteouts and opaque directories.
    """

    kept: dict[str, tuple[int, bool]] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    opaque: set[str] = field(default_factory=set)

    def add(self, number: int, entries: Iterable[tuple[str, bool]]) -> None:
        """Puts a layer on top: its entries' paths, and whether they are directories."""
        marks: list[tuple[str, bool]] = []
        plain: list[tuple[str, bool]] = []
        for path, is_directory in entries:
            (marks if path.rpartition("/")[2].startswith(_WHITEOUT) else plain).append((path, is_directory))
        for path, _ in marks:
            self._mark(path)
        for path, is_directory in plain:
            self._put(path, number, is_directory)

    def _mark(self, path: str) -> None:
        above, _, name = path.rpartition("/")
        if name == _OPAQUE:
            self._drop_below(above)
            self.opaque.add(above)
        else:
            target = f"{above}/{name.removeprefix(_WHITEOUT)}".lstrip("/")
            self._drop_below(target)
            self.kept.pop(target, None)
            self.opaque.discard(target)
            self.hidden.add(target)

    def _put(self, path: str, number: int, is_directory: bool) -> None:
        before = self.kept.get(path)
        if not is_directory:
            if before is not None and before[1]:
                self._drop_below(path)
            self.opaque.discard(path)
            self.hidden.discard(path)
        elif path in self.hidden or (before is not None and not before[1]):
            self.hidden.discard(path)
            self.opaque.add(path)
        for above in _parents(path):
            if above in self.hidden:
                self.hidden.discard(above)
                self.opaque.add(above)
        self.kept[path] = number, is_directory

    def _drop_below(self, path: str) -> None:
        inside = f"{path}/" if path else ""
        for gone in [one for one in self.kept if one.startswith(inside)]:
            del self.kept[gone]
        for marks in (self.hidden, self.opaque):
            marks.difference_update([one for one in marks if one.startswith(inside) and one != path])

    def marks(self) -> list[str]:
        """The whiteouts of the merged layer, as names in a tar."""
        found = [f"{above}/{_OPAQUE}".lstrip("/") for above in self.opaque]
        for target in self.hidden:
            above, _, name = target.rpartition("/")
            found.append(f"{above}/{_WHITEOUT}{name}".lstrip("/"))
        return sorted(found)


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _merge(layers: Sequence[Layer], path_of: PathOf, into: Path) -> Layer:
    merger = Merger()
    for number, layer in enumerate(layers):
        with _opened(layer, path_of) as tar:
            merger.add(number, [(_path(one), one.isdir()) for one in tar if _path(one)])
    part = into / "merged.part"
    with part.open("wb") as file:
        sink = _Kept(file.write)
        with Packer(sink.packed) as packer:
            sink.packer = packer
            with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT) as output:
                _write(output, merger, layers, path_of)
    made = Layer(sink.digest, part.stat().st_size, sink.diff_id, "gzip")
    part.chmod(0o644)
    part.replace(into / made.digest.hex)
    return made


def _write(output: tarfile.TarFile, merger: Merger, layers: Sequence[Layer], path_of: PathOf) -> None:
    """Directories, then whiteouts, then everything else in its layers' order: what a link needs is there before it."""
    found: dict[str, tarfile.TarInfo] = {}
    there: set[tuple[int, str]] = set()
    promoted: dict[tuple[int, str], str] = {}
    links: list[tuple[int, str, str]] = []
    for number, layer in enumerate(layers):
        with _opened(layer, path_of) as tar:
            for member in tar:
                path = _path(member)
                there.add((number, path))
                if merger.kept.get(path) == (number, True):
                    found[path] = member
                elif member.islnk() and merger.kept.get(path) == (number, False):
                    links.append((number, _target(member), path))
    for path in sorted(found):
        output.addfile(found[path])
    for name in merger.marks():
        output.addfile(tarfile.TarInfo(name))
    for number, target, path in links:
        if merger.kept.get(target) != (number, False) and (number, target) in there:
            promoted.setdefault((number, target), path)  # the first link to a file that is gone becomes the file
    for number, layer in enumerate(layers):
        with _opened(layer, path_of) as tar:
            _write_files(output, tar, number, merger, promoted)


def _write_files(
    output: tarfile.TarFile, tar: tarfile.TarFile, number: int, merger: Merger, promoted: dict[tuple[int, str], str]
) -> None:
    for member in tar:
        path = _path(member)
        name = promoted.get((number, path))
        if member.isdir() or (merger.kept.get(path) != (number, False) and name is None):
            continue
        made = copy.copy(member)
        made.pax_headers = {key: one for key, one in member.pax_headers.items() if key not in ("path", "linkpath")}
        if member.islnk():
            heir = promoted.get((number, _target(member)))
            if heir == path:
                continue
            made.linkname = heir or made.linkname
        if name is not None:
            made.name = name
        output.addfile(made, tar.extractfile(member) if member.isreg() else None)


class _Kept(io.RawIOBase):
    """Where the merged tar goes: hashed plain, packed, hashed packed."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write, self._plain, self._packed = write, hashlib.sha256(), hashlib.sha256()
        self.packer: Packer | None = None

    def write(self, data: Any) -> int:
        raw = bytes(data)
        self._plain.update(raw)
        if self.packer is not None:
            self.packer.write(raw)
        return len(raw)

    def packed(self, data: bytes) -> None:
        self._packed.update(data)
        self._write(data)

    @property
    def diff_id(self) -> Digest:
        return Digest(self._plain.hexdigest())

    @property
    def digest(self) -> Digest:
        return Digest(self._packed.hexdigest())


class _Plain(io.RawIOBase):
    """A layer's uncompressed bytes, as tarfile reads them."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._rest) < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._rest += piece
        size = len(self._rest) if size < 0 else size
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


@contextmanager
def _opened(layer: Layer, path_of: PathOf) -> Iterator[tarfile.TarFile]:
    what = f"layer {layer.digest.hex[:12]}…"
    undo = Undo(layer.compression, what)
    state = hashlib.sha256()
    with path_of(layer).open("rb", CHUNK) as stream:
        plain = _Plain(_hashed(state, (piece for chunk in chunks(stream) for piece in undo.feed(chunk))))
        try:
            with tarfile.open(fileobj=plain, mode="r|", bufsize=CHUNK) as tar:
                yield tar
        except tarfile.TarError as error:
            raise InputError("bad-archive", f"{what} is no tar: {error}") from error
        while plain.read(CHUNK):
            pass
        undo.close()
    hint = "the copy is damaged: fetch the image again with --force-reimport"
    require(layer.diff_id, Digest(state.hexdigest()), f"{what}, uncompressed", hint=hint)


def _hashed(state: hashlib._Hash, pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        state.update(piece)
        yield piece


def _path(member: tarfile.TarInfo) -> str:
    return _clean(member.name)


def _target(member: tarfile.TarInfo) -> str:
    return _clean(member.linkname)


def _clean(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))
