"""Reads registries' manifests and indexes, of every kind. Pure.

Sources: OCI image-spec, manifest.md, image-index.md, descriptor.md, layer.md; distribution, manifest-v2-2.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from boinc2docker.digest import Digest
from boinc2docker.errors import InputError
from boinc2docker.image.image_config import MAX_JSON, a_digest, a_list, a_text, an_object, load_json

_DOCKER = "application/vnd.docker.distribution.manifest."
_OCI = "application/vnd.oci.image."
_INDEXES = (_DOCKER + "list.v2+json", _OCI + "index.v1+json")
_MANIFESTS = (_DOCKER + "v2+json", _OCI + "manifest.v1+json")
_OLD = (_DOCKER + "v1+json", _DOCKER + "v1+prettyjws")
ACCEPT = ", ".join((*_INDEXES, *_MANIFESTS))
"""The Accept header, without schema 1: a registry might convert to it."""
_LAYERS = {
    "application/vnd.docker.image.rootfs.diff.tar": "none",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": "zstd",
    _OCI + "layer.v1.tar": "none",
    _OCI + "layer.v1.tar+gzip": "gzip",
    _OCI + "layer.v1.tar+zstd": "zstd",
}
_CONFIGS = ("application/vnd.docker.container.image.v1+json", _OCI + "config.v1+json")
MAX_BLOB = 1 << 40
"""Bytes of the largest layer accepted."""


@dataclass(frozen=True)
class Descriptor:
    """A blob by its digest, with its size in bytes and its media type."""

    digest: Digest
    size: int
    media_type: str


@dataclass(frozen=True)
class Manifest:
    """One image: its config, and its layers from the lowest up with their compression."""

    config: Descriptor
    layers: tuple[tuple[Descriptor, str], ...]


@dataclass(frozen=True)
class Choice:
    """An entry of an index that may lead to a linux/amd64 image."""

    target: Descriptor
    platform: str
    """Such as ``linux/amd64``; ``""`` if the index does not say."""


@dataclass(frozen=True)
class Index:
    """The images of one name: those that may run here, best first, and the platforms of the others."""

    choices: tuple[Choice, ...]
    others: tuple[str, ...]


def parse_manifest(data: bytes, media_type: str) -> Manifest | Index:
    """Reads a manifest or an index. ``media_type`` is what the server says; the document's own overrides it.

    Raises InputError for what is no image, damaged, or of a kind that cannot be run.
    """
    top = an_object(load_json(data, "the manifest"), "the manifest")
    own = a_text(top.get("mediaType"), "mediaType of the manifest")
    kind = own or media_type.partition(";")[0].strip().lower()
    if kind in _OLD or top.get("schemaVersion") == 1:
        raise InputError(
            "old-manifest",
            "it was pushed in the format of Docker before 1.10 (schema 1), which cannot be verified",
            hint="pull and push it again with a current Docker",
        )
    if kind in _INDEXES or (kind not in _MANIFESTS and "manifests" in top):
        return _index(top)
    if kind in _MANIFESTS or "layers" in top:
        return _manifest(top)
    raise InputError("bad-manifest", f"expected a manifest, found {kind[:100]!a}")


def _index(top: dict[str, Any]) -> Index:
    choices: list[Choice] = []
    others: list[str] = []
    for item in a_list(top.get("manifests"), "manifests of the index"):
        entry = an_object(item, "an entry of the index")
        platform = _platform(entry)
        if platform.startswith("unknown/"):
            continue  # attestations and the like
        if platform and platform != "linux/amd64" and not platform.startswith("linux/amd64/"):
            others.append(platform)
        elif _leads_on(entry):
            choices.append(Choice(_descriptor(entry, "an entry of the index"), platform))
    # Known platforms before unknown ones, plain amd64 before v2 and v3, which not every volunteer's computer has.
    choices.sort(key=lambda one: (not one.platform, one.platform))
    return Index(tuple(choices), tuple(dict.fromkeys(others)))


def _leads_on(entry: dict[str, Any]) -> bool:
    return a_text(entry.get("mediaType"), "mediaType of an entry") in (*_INDEXES, *_MANIFESTS, "")


def _platform(entry: dict[str, Any]) -> str:
    platform = an_object(entry.get("platform") or {}, "platform of an entry of the index")
    parts = (a_text(platform.get(key), f"platform {key}") for key in ("os", "architecture", "variant"))
    return "/".join(part for part in parts if part)


def _manifest(top: dict[str, Any]) -> Manifest:
    config = _descriptor(an_object(top.get("config"), "config of the manifest"), "the config")
    if config.media_type not in _CONFIGS:
        raise InputError("not-an-image", f"it is not a container image but {ascii(config.media_type[:100])[1:-1]}")
    if config.size > MAX_JSON:
        raise InputError("bad-manifest", f"its config is larger than {MAX_JSON >> 20} MB")
    return Manifest(config, tuple(_layers(top)))


def _layers(top: dict[str, Any]) -> Iterator[tuple[Descriptor, str]]:
    for number, item in enumerate(a_list(top.get("layers"), "layers of the manifest"), 1):
        layer = _descriptor(an_object(item, f"layer {number}"), f"layer {number}")
        if layer.media_type not in _LAYERS:
            raise InputError("unsupported-image", f"layer {number} {_why(layer.media_type)}")
        yield layer, _LAYERS[layer.media_type]


def _why(media_type: str) -> str:
    if ".foreign." in media_type or "nondistributable" in media_type:
        return "may not be distributed by registries: a foreign layer, as Windows images have"
    if media_type.endswith("+encrypted"):
        return "is encrypted: no host can run it"
    return f"has a type that Docker does not read: {media_type[:100]!a}"


def _descriptor(value: dict[str, Any], what: str) -> Descriptor:
    size = value.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= MAX_BLOB:
        raise InputError("bad-manifest", f"{what} has no size that makes sense: {ascii(size)[:60]}")
    digest = a_digest(value.get("digest"), f"the digest of {what}")
    return Descriptor(digest, size, a_text(value.get("mediaType"), f"mediaType of {what}"))
