"""Copies an image out of an archive into verified files named by digest.

Reads what `docker save` of any Docker since 1.10 writes, OCI archives, and OCI layouts as directories.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from boinc2docker import atomic, console
from boinc2docker.atomic import explain
from boinc2docker.digest import Digest, require
from boinc2docker.errors import InputError
from boinc2docker.formats.compression import chunks
from boinc2docker.image.archive_files import ArchiveFiles, opened
from boinc2docker.image.archive_manifest import Blob, Candidate, Contents, list_images, read_blob
from boinc2docker.image.image import Image, Layer, same_number
from boinc2docker.image.image_config import Config, parse_config
from boinc2docker.image.layer_file import write_layer

_DAMAGED = "the archive is damaged: save the image again"
_PRINTABLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,254}")


@dataclass(frozen=True)
class _Readable:
    """A candidate whose config has been read and verified."""

    candidate: Candidate
    config_bytes: bytes
    config: Config


def read_archive(
    path: Path, into: Path, *, name: str | None = None, shown: str | None = None, pack: bool = False
) -> Image:
    """Writes an image's config and layers into the directory ``into`` as files ``<hex>``, and returns the image.

    ``name`` (NAME[:TAG]) chooses among several images in one archive; ``shown`` is the image's name for humans if the
    archive's own is not wanted. With ``pack`` layers are kept as gzip (see ``packing``), else as they are. Every digest
    is verified, layers are streamed. Raises InputError for what is damaged, hostile, for another architecture or no
    archive, VerificationError for wrong digests, HostError for a full disk.
    """
    into.mkdir(parents=True, exist_ok=True)
    with opened(path, into) as files:
        chosen = _choose(files, list_images(files, str(path)), name, str(path))
        same_number(len(chosen.candidate.layers), len(chosen.config.diff_ids), shown or str(path))
        layers = _stage_layers(files, chosen, into, pack=pack)
    image = Image(
        name=shown or _display_name(chosen.candidate, path),
        config=chosen.config_bytes,
        layers=layers,
        entrypoint=chosen.config.entrypoint,
        command=chosen.config.command,
    )
    atomic.write_bytes(into / image.config_digest.hex, image.config)
    return image


def _choose(files: ArchiveFiles, contents: Contents, name: str | None, shown: str) -> _Readable:
    named = [candidate for candidate in contents.candidates if name is None or _is_called(candidate, name)]
    if not named and contents.candidates and name is not None:
        raise InputError(
            "no-such-image", f"{shown} holds no image {name}", hint=f"it holds: {_listing(contents.candidates)}"
        )
    readable = {}
    for candidate in named:
        data = read_blob(files, candidate.config, "the image's config")
        readable[Digest.of(data)] = _Readable(candidate, data, parse_config(data, "the image's config"))
    usable = [image for image in readable.values() if image.config.runs_here]
    if len(usable) == 1:
        return usable[0]
    if usable:
        raise InputError(
            "several-images",
            f"{shown} holds {len(usable)} images: {_listing(image.candidate for image in usable)}",
            hint="choose one: PATH:NAME:TAG",
        )
    platforms = sorted({image.config.platform for image in readable.values()} | set(contents.other_platforms))
    if not platforms:
        raise InputError("not-an-archive", f"{shown} holds no image", hint="save the image again")
    raise InputError(
        "wrong-architecture",
        f"{shown}: expected an image for linux/amd64, found {', '.join(platforms)[:200]}",
        hint="pull it with --platform linux/amd64 and save it again",
    )


def familiar(name: str) -> str:
    """An image name as Docker shows it: without ``docker.io/library/``, with a tag."""
    short = name.removeprefix("docker.io/").removeprefix("library/")
    return short if ":" in short.rpartition("/")[2] or "@" in short else f"{short}:latest"


def _is_called(candidate: Candidate, name: str) -> bool:
    return any(familiar(own) == familiar(name) or own == name for own in candidate.names)


def _listing(candidates: Iterable[Candidate]) -> str:
    shown = [", ".join(familiar(name) for name in candidate.names) or "(without a name)" for candidate in candidates]
    return "; ".join(ascii(text)[1:-1][:200] for text in shown[:20])


def _display_name(candidate: Candidate, path: Path) -> str:
    """A name that is safe to show, whatever the archive says."""
    for name in candidate.names:
        if _PRINTABLE_NAME.fullmatch(name):
            return familiar(name)
    return ascii(path.name)[1:-1]


def _stage_layers(files: ArchiveFiles, chosen: _Readable, into: Path, *, pack: bool) -> tuple[Layer, ...]:
    """Copies each distinct layer once; Docker lists a repeated layer each time."""
    pairs = list(zip(chosen.candidate.layers, chosen.config.diff_ids, strict=True))
    staged: dict[tuple[Blob, Digest], Layer] = {}
    total = sum(files.size(blob.path) for blob in {blob for blob, _ in pairs})
    with console.progress("compressing layers" if pack else "verifying layers", total) as advance:
        for number, (blob, diff_id) in enumerate(pairs, 1):
            if (blob, diff_id) not in staged:
                what = f"layer {number} of {len(pairs)} ({blob.path})"
                staged[blob, diff_id] = _stage_layer(files, blob, diff_id, into, what, advance, pack=pack)
    return tuple(staged[pair] for pair in pairs)


def _stage_layer(
    files: ArchiveFiles, blob: Blob, diff_id: Digest, into: Path, what: str, advance: console.Advance, *, pack: bool
) -> Layer:
    """Streams one layer to ``into/<hex>`` and verifies it."""
    try:
        with tempfile.TemporaryDirectory(prefix=".layer.", dir=into) as scratch, files.open(blob.path) as source:
            target = Path(scratch) / "layer"
            written = write_layer(chunks(source), target, what, advance, pack=pack)
            if blob.digest is not None:
                require(blob.digest, written.came, what, hint=_DAMAGED)
            require(diff_id, written.plain, f"{what}, uncompressed", hint=_DAMAGED)
            target.chmod(0o644)
            target.replace(into / written.digest.hex)
    except OSError as error:
        raise explain(error, f"write a layer into {into}") from error
    return Layer(written.digest, written.size, diff_id, written.compression)
