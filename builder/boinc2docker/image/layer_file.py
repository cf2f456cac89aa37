"""Writes a layer to a file and hashes it as received, uncompressed and as stored, in one pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from boinc2docker.console import Advance
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError
from boinc2docker.formats.compression import MAGIC_BYTES, Undo, detect
from boinc2docker.formats.gzip_writer import Packer
from boinc2docker.image.image import MEDIA_TYPES


@dataclass(frozen=True)
class Written:
    """Digests of a written layer: ``came`` of the bytes received, ``plain`` of the tar, the rest of the file."""

    came: Digest
    plain: Digest
    digest: Digest
    size: int
    compression: str


class _Keep:
    """Counts and hashes the bytes written to a file."""

    def __init__(self, path: Path) -> None:
        self.hash, self.size, self._output = hashlib.sha256(), 0, path.open("wb")

    def __call__(self, data: bytes) -> None:
        self.hash.update(data)
        self.size += self._output.write(data)

    def close(self) -> None:
        self._output.close()


def write_layer(pieces: Iterable[bytes], target: Path, what: str, advance: Advance, *, pack: bool) -> Written:
    """Writes a layer to ``target``: as it is, or with ``pack`` as gzip, which every Docker reads.

    A layer that is gzip already stays as it is, byte for byte. ``what`` names the layer in errors. Raises InputError
    for damaged compression and kinds that are not allowed in images; OSError.
    """
    came, plain = hashlib.sha256(), hashlib.sha256()
    kind, undo, packer = "none", None, None
    with ExitStack() as stack:
        keep = _Keep(target)
        stack.callback(keep.close)
        for piece in pieces:
            if undo is None:
                kind = layer_compression(piece, what)
                undo = Undo(kind, what)
                if pack and kind != "gzip":
                    packer = stack.enter_context(Packer(keep))
            if packer is None:
                keep(piece)
            else:
                came.update(piece)
            for part in undo.feed(piece):
                plain.update(part)
                if packer is not None:
                    packer.write(part)
            advance(len(piece))
        if undo is not None:
            undo.close()
    kept = Digest(keep.hash.hexdigest())
    return Written(
        came=Digest(came.hexdigest()) if packer else kept,
        plain=Digest(plain.hexdigest()),
        digest=kept,
        size=keep.size,
        compression="gzip" if packer else kind,
    )


def layer_compression(head: bytes, what: str) -> str:
    """``gzip``, ``zstd`` or ``none``, from a layer's first bytes. Raises InputError for any other kind."""
    kind = detect(head[:MAGIC_BYTES])
    if kind not in MEDIA_TYPES:
        raise InputError("unsupported-image", f"{what} is compressed with {kind}, which no image format allows")
    return kind
