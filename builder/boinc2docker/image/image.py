"""An image: a config and layers, each named by the SHA-256 of its bytes."""

from __future__ import annotations

from dataclasses import dataclass

from boinc2docker.digest import Digest
from boinc2docker.errors import InputError

MEDIA_TYPES = {
    "none": "application/vnd.oci.image.layer.v1.tar",
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}
"""Compression of a layer to its OCI media type (image-spec, layer.md)."""
MOST_LAYERS = 125
"""Docker loads no image with more: "max depth exceeded" (moby, layer/layer_store.go; seen with 20.10 and overlay2)."""
FEWER_LAYERS = (
    "build it with fewer layers: join RUN lines, use a multi-stage build, or `docker export` a container and "
    "`docker import` the result"
)


@dataclass(frozen=True)
class Layer:
    """A layer: a tar, compressed or not, that is stored, sent and loaded unchanged.

    ``digest`` and ``size`` are of the bytes as stored; ``diff_id`` is the digest of the uncompressed tar.
    """

    digest: Digest
    size: int
    diff_id: Digest
    compression: str

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[self.compression]


@dataclass(frozen=True)
class BlobSource:
    """A server where anyone can fetch layers: GET ``blobs_url``/sha256:<hex>.

    ``token_url`` gives the anonymous token that it requires; ``""`` if it requires none. Neither contains credentials.
    """

    blobs_url: str
    token_url: str = ""


@dataclass(frozen=True)
class Image:
    """A verified image for linux/amd64.

    ``name`` is for display only. ``config`` has the config's exact bytes. ``layers`` are listed from the lowest up; one
    may occur twice. ``entrypoint`` and ``command`` are the config's. ``pinned`` is the full name with digest in the
    registry, ``""`` if the image is not from one. ``sources`` say where hosts fetch the layers, best first; empty if
    the layers travel with the job.
    """

    name: str
    config: bytes
    layers: tuple[Layer, ...]
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    pinned: str = ""
    sources: tuple[BlobSource, ...] = ()

    @property
    def config_digest(self) -> Digest:
        """What Docker calls the image's ID."""
        return Digest.of(self.config)

    @property
    def size(self) -> int:
        """Bytes of the config and the layers as stored, each layer counted once."""
        return len(self.config) + sum({layer.digest: layer.size for layer in self.layers}.values())


def same_number(found: int, wanted: int, name: str, where: str = "archive") -> None:
    """Raises InputError unless an archive or manifest lists as many layers as the config of its image."""
    if found != wanted:
        raise InputError(
            "bad-archive",
            f"image {name}: the config lists {wanted} layers, the {where} {found}",
            hint="save or push the image again",
        )


def require_loadable(image: Image) -> None:
    """Raises InputError if the image has more layers than Docker loads."""
    if len(image.layers) > MOST_LAYERS:
        raise InputError(
            "too-many-layers",
            f"image {image.name}: it has {len(image.layers)} layers; Docker loads at most {MOST_LAYERS}",
            hint=FEWER_LAYERS,
        )
