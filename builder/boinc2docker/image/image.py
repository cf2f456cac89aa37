"""What an image is to this project: a config and layers, each named by the SHA-256 of its bytes as they are."""

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
    """One layer: a tar, compressed or not, that is stored, sent and loaded as it is.

    ``digest`` and ``size`` (bytes) are of the bytes as they are, ``diff_id`` is the digest of the uncompressed tar.
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
    """A server where anybody can fetch layers: GET ``blobs_url``/sha256:<hex>.

    ``token_url`` gives the anonymous token it wants to see, ``""`` if it wants none. Neither has a credential in it.
    """

    blobs_url: str
    token_url: str = ""


@dataclass(frozen=True)
class Image:
    """An image for linux/amd64 whose bytes have been verified.

    ``name`` is for humans and identifies nothing. ``config`` are the config's exact bytes. ``layers`` go from the
    lowest up and may name the same layer twice. ``entrypoint`` and ``command`` are the config's. ``pinned`` is the
    registry's full name of these very bits, ``""`` if they are from elsewhere. ``sources`` say where hosts fetch the
    layers, best first; empty if the layers travel with the job.
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
        """Bytes of config and layers as they are, each layer counted once."""
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
