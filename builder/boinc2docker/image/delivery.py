"""How an image's layers reach the hosts: from a registry, or as files of the job through BOINC."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from boinc2docker import atomic, console
from boinc2docker.atomic import explain
from boinc2docker.digest import require
from boinc2docker.errors import InputError, UsageError
from boinc2docker.formats.compression import MAGIC_BYTES, chunks
from boinc2docker.image.image import BlobSource, Image, Layer, require_loadable
from boinc2docker.image.image_archive import read_archive
from boinc2docker.image.layer_file import layer_compression, write_layer
from boinc2docker.image.local_docker import read_local
from boinc2docker.image.reference import InRegistry, LocalDocker, Source
from boinc2docker.image.registry import Access, Registry
from boinc2docker.image.registry_address import is_loopback, is_private


class Via(Enum):
    """The way that layers take."""

    REGISTRY = "registry"
    BOINC = "boinc"


@dataclass(frozen=True)
class Delivery:
    """``via`` None: from the registry if the image is in one, else through BOINC.

    ``seen_by_hosts`` maps a server's URL here to the URL under which the hosts reach it.
    ``reads_zstd``: the hosts' Docker is known to load zstd layers. Otherwise these travel with the job, as gzip.
    """

    via: Via | None = None
    access: Access = field(default_factory=Access)
    seen_by_hosts: Callable[[str], str] = str
    reads_zstd: bool = False


def parse_via(text: str | None) -> Via | None:
    """Reads the option ``--via``. Raises UsageError."""
    if text is None:
        return None
    try:
        return Via(text)
    except ValueError as error:
        raise UsageError("bad-via", f"--via: expected registry or boinc, found {text[:80]!a}") from error


def check(source: Source, delivery: Delivery) -> None:
    """Raises UsageError if ``source`` cannot be delivered in the requested way."""
    if delivery.via is Via.REGISTRY and not isinstance(source, InRegistry):
        raise UsageError(
            "bad-via",
            "--via registry: hosts fetch layers from a registry, and this image is not from one",
            hint="push the image and give its name, or use --via boinc",
        )


def _nothing(_layer: Layer) -> bool:
    return False


def obtain(source: Source, into: Path, delivery: Delivery, *, have: Callable[[Layer], bool] = _nothing) -> Image:
    """Puts the files that travel with a job into ``into``: the config, and the layers if they go through BOINC.

    Files are named by their digests and verified. A registry's layers keep their bytes, except that zstd layers that
    travel with the job are recompressed to gzip, which every Docker reads. Uncompressed layers of a local Docker or an
    archive are compressed. A registry's layers for which ``have`` is true are skipped. Raises UsageError, InputError,
    NetworkError, VerificationError, HostError.
    """
    check(source, delivery)
    if isinstance(source, InRegistry):
        return _from_registry(Registry(source.name, delivery.access), into, delivery, have)
    if isinstance(source, LocalDocker):
        image = read_local(source.name, into, pack=True)
    else:
        image = read_archive(source.path, into, name=source.name, pack=True)
    require_loadable(image)
    return image


def _from_registry(registry: Registry, into: Path, delivery: Delivery, have: Callable[[Layer], bool]) -> Image:
    into.mkdir(parents=True, exist_ok=True)
    image = registry.resolve()
    require_loadable(image)
    if delivery.via is Via.BOINC:
        image = _stage(registry, image, into, lambda layer: not have(layer))
    else:
        public = registry.public_sources(image)
        if any(map(_is_zstd, image.layers)) and not delivery.reads_zstd:
            console.info(
                f"{image.name}: its zstd layers travel with the job, as gzip: the base's Docker may not read zstd"
            )
            image = _stage(registry, image, into, _is_zstd)
        see = delivery.seen_by_hosts
        sources = tuple(
            BlobSource(see(source.blobs_url), source.token_url and see(source.token_url)) for source in public
        )
        image = replace(image, sources=sources)
    atomic.write_bytes(into / image.config_digest.hex, image.config)
    return image


def for_volunteers(image: Image) -> Image:
    """``image`` without the sources that volunteers cannot reach, such as a mirror on this machine.

    A registry with a private address is kept if there is no other: all hosts may be in that network. Raises InputError
    if the only registry is on this machine.
    """
    hosts = {
        source: [urlsplit(url).hostname or "" for url in (source.blobs_url, source.token_url) if url]
        for source in image.sources
    }
    others = [source for source in image.sources if not any(map(is_loopback, hosts[source]))]
    if image.sources and not others:
        raise InputError(
            "private-image",
            f"image {image.name}: its registry is on this machine, which no host can reach",
            hint="use --via boinc, which sends the layers with the job",
        )
    public = [source for source in others if not any(map(is_private, hosts[source]))]
    if others and not public:
        console.warn(f"{image.name}: its registry has a private address: only hosts in its network can fetch layers")
    return replace(image, sources=tuple(public or others))


def _is_zstd(layer: Layer) -> bool:
    return layer.compression == "zstd"


def _stage(registry: Registry, image: Image, into: Path, chosen: Callable[[Layer], bool] = lambda _: True) -> Image:
    """Fetches the chosen layers into ``into``."""
    wanted = tuple(filter(chosen, image.layers))
    files = registry.fetch_layers(replace(image, layers=wanted))
    placed: dict[Layer, Layer] = {}
    with console.progress(f"staging {image.name}", sum(layer.size for layer in set(wanted))) as advance:
        for number, layer in enumerate(image.layers, 1):
            if layer in wanted and layer not in placed:
                what = f"image {image.name}: layer {number} of {len(image.layers)} ({layer.digest.hex[:12]}…)"
                placed[layer] = _place(layer, files[layer.digest], into, what, advance)
    return replace(image, layers=tuple(placed.get(layer, layer) for layer in image.layers))


def _place(layer: Layer, file: Path, into: Path, what: str, advance: console.Advance) -> Layer:
    """Copies a layer, recompressing zstd to gzip; returns the layer that hosts get."""
    try:
        with file.open("rb") as stream:
            kind = layer_compression(stream.read(MAGIC_BYTES), what)  # its bytes count, not its media type
        with tempfile.TemporaryDirectory(prefix=".layer.", dir=into) as scratch:
            target = Path(scratch) / "layer"
            if kind != "zstd":
                _copy(file, target)
                advance(layer.size)
                made = replace(layer, compression=kind)
            else:
                with file.open("rb") as stream:
                    written = write_layer(chunks(stream), target, what, advance, pack=True)
                require(
                    layer.diff_id, written.plain, f"{what}, uncompressed", hint="the image is damaged: push it again"
                )
                made = Layer(written.digest, written.size, layer.diff_id, written.compression)
            target.chmod(0o644)
            target.replace(into / made.digest.hex)
    except OSError as error:
        raise explain(error, f"write a layer into {into}") from error
    return made


def _copy(source: Path, target: Path) -> None:
    """Copies in the kernel; file systems that share blocks copy nothing."""
    if hasattr(os, "copy_file_range"):
        with source.open("rb") as read, target.open("wb") as write:
            try:
                while os.copy_file_range(read.fileno(), write.fileno(), 1 << 30):
                    pass
            except OSError:
                pass  # not supported between these: the plain copy reports other errors
            else:
                return
    shutil.copyfile(source, target)
