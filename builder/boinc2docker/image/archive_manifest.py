"""Which images an archive says it holds.

Docker's form: ``manifest.json``, a list of {Config, RepoTags, Layers} with paths (docker/docker image/spec v1.2).
OCI's: ``index.json`` and blobs (image-spec: image-layout.md, image-index.md, manifest.md).
Docker 25 and later write both: the first is read then, because it has the names that people use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from boinc2docker.digest import Digest, require
from boinc2docker.errors import InputError
from boinc2docker.image.archive_files import ArchiveFiles, read_small
from boinc2docker.image.image_config import a_digest, a_list, a_text, an_object, load_json, texts

_MAX_DEPTH = 4
_MAX_IMAGES = 1000
_DIGEST_IN_NAME = re.compile(r"(?:^|/)([0-9a-f]{64})(?:\.json)?$")
_DIGEST_OF_BLOB = re.compile(r"^blobs/sha256/([0-9a-f]{64})$")
_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")


@dataclass(frozen=True)
class Blob:
    """A file of the archive, and the digest that the archive promises, if any."""

    path: str
    digest: Digest | None


@dataclass(frozen=True)
class Candidate:
    """One image of an archive, unverified: its names, its config, and its layers, lowest first."""

    names: tuple[str, ...]
    config: Blob
    layers: tuple[Blob, ...]


@dataclass(frozen=True)
class Contents:
    """The images found, and the platforms of those skipped because they cannot run here."""

    candidates: tuple[Candidate, ...]
    other_platforms: tuple[str, ...] = ()


def list_images(files: ArchiveFiles, shown: str) -> Contents:
    """Reads an archive's manifests; ``shown`` names the archive. Raises InputError or VerificationError."""
    if "manifest.json" in files:
        return Contents(tuple(_docker_images(files)))
    if "index.json" in files:
        return _oci_images(files)
    if "repositories" in files:
        raise InputError(
            "not-an-archive",
            f"{shown} was saved by a Docker older than 1.10",
            hint="load and save it with a newer one",
        )
    raise InputError(
        "not-an-archive",
        f"{shown} is no image archive: expected a file manifest.json or index.json in it",
        hint="make one with `docker save IMAGE -o FILE` (`docker export` writes another format)",
    )


def _docker_images(files: ArchiveFiles) -> Iterator[Candidate]:
    listed = a_list(load_json(read_small(files, "manifest.json"), "manifest.json"), "manifest.json")
    for item in listed[:_MAX_IMAGES]:
        entry = an_object(item, "an entry of manifest.json")
        config = _path(a_text(entry.get("Config"), "Config in manifest.json"))
        in_name = _DIGEST_IN_NAME.search(config)
        yield Candidate(
            names=texts(entry.get("RepoTags"), "RepoTags in manifest.json"),
            config=Blob(config, Digest(in_name[1]) if in_name else None),
            layers=tuple(_docker_layer(path) for path in texts(entry.get("Layers"), "Layers in manifest.json")),
        )


def _docker_layer(path: str) -> Blob:
    blob = _DIGEST_OF_BLOB.match(_path(path))
    return Blob(path, Digest(blob[1]) if blob else None)


def _path(text: str) -> str:
    """``text`` if it is safe to show: it comes from an untrusted archive and goes into messages."""
    if not text.isprintable() or len(text) > 1000:
        raise InputError("bad-archive", f"manifest.json names a file {text[:100]!a}, which is not printable")
    return text


def _oci_images(files: ArchiveFiles) -> Contents:
    found: list[Candidate] = []
    others: list[str] = []
    index = an_object(load_json(read_small(files, "index.json"), "index.json"), "index.json")
    _walk_index(files, index, (), 0, found, others)
    return Contents(tuple(found), tuple(others))


def _walk_index(
    files: ArchiveFiles,
    index: dict[str, Any],
    names: tuple[str, ...],
    depth: int,
    found: list[Candidate],
    others: list[str],
) -> None:
    for item in a_list(index.get("manifests"), "manifests of an index"):
        descriptor = an_object(item, "an entry of an index")
        if _is_attestation(descriptor):
            continue
        platform = _platform(descriptor)
        if platform and platform != "linux/amd64" and not platform.startswith("linux/amd64/"):
            others.append(platform)  # its blobs may well be absent: Docker saves what it has
            continue
        if depth >= _MAX_DEPTH or len(found) >= _MAX_IMAGES:
            raise InputError("bad-archive", "the archive's indexes are nested too deeply or list too many images")
        blob = _blob(descriptor)
        manifest = an_object(load_json(read_blob(files, blob, "a manifest"), "a manifest"), "a manifest")
        names_here = _names(descriptor) or names
        if "manifests" in manifest or descriptor.get("mediaType") in _INDEXES:
            _walk_index(files, manifest, names_here, depth + 1, found, others)
        elif manifest.get("config") is not None:
            found.append(_oci_image(manifest, names_here))


def _oci_image(manifest: dict[str, Any], names: tuple[str, ...]) -> Candidate:
    layers = [
        an_object(item, "a layer of a manifest") for item in a_list(manifest.get("layers"), "layers of a manifest")
    ]
    for layer in layers:
        if a_text(layer.get("mediaType"), "mediaType of a layer").endswith("+encrypted"):
            raise InputError("unsupported-image", "the image has encrypted layers, which no host can run")
    return Candidate(
        names=names,
        config=_blob(an_object(manifest.get("config"), "config of a manifest")),
        layers=tuple(_blob(layer) for layer in layers),
    )


def _blob(descriptor: dict[str, Any]) -> Blob:
    digest = a_digest(descriptor.get("digest"), "the digest of a descriptor")
    return Blob(f"blobs/sha256/{digest.hex}", digest)


def _names(descriptor: dict[str, Any]) -> tuple[str, ...]:
    annotations = an_object(descriptor.get("annotations") or {}, "annotations of an index")
    for key in ("io.containerd.image.name", "org.opencontainers.image.ref.name"):
        if name := a_text(annotations.get(key), f"annotation {key}"):
            return (name,)
    return ()


def _platform(descriptor: dict[str, Any]) -> str:
    platform = an_object(descriptor.get("platform") or {}, "platform of an index entry")
    parts = (a_text(platform.get(key), f"platform {key}") for key in ("os", "architecture", "variant"))
    return "/".join(part for part in parts if part)


def _is_attestation(descriptor: dict[str, Any]) -> bool:
    annotations = an_object(descriptor.get("annotations") or {}, "annotations of an index")
    return "vnd.docker.reference.type" in annotations or _platform(descriptor) == "unknown/unknown"


def read_blob(files: ArchiveFiles, blob: Blob, what: str) -> bytes:
    """A small file of the archive, verified if the archive gives its digest."""
    data = read_small(files, blob.path)
    if blob.digest is not None:
        require(blob.digest, Digest.of(data), f"{what} ({blob.path})", hint="the archive is damaged: save it again")
    return data
