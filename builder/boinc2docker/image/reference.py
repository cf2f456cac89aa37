"""Decides where the IMAGE of a command line comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from boinc2docker.errors import InputError
from boinc2docker.image.image_name import ImageName, parse_name

_DAEMON = "docker-daemon:"
_REGISTRY = "docker://"
_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2", ".oci")
_FORMS = (
    "expected a name such as python:3-slim or ghcr.io/owner/name@sha256:…, docker-daemon:NAME[:TAG], "
    "or the path of an archive made by `docker save` or in OCI format"
)


@dataclass(frozen=True)
class LocalDocker:
    """An image of the Docker engine on this machine."""

    name: str


@dataclass(frozen=True)
class Archive:
    """An image archive or OCI layout on the disk, and which of its images."""

    path: Path
    name: str | None = None


@dataclass(frozen=True)
class InRegistry:
    """An image in a registry."""

    name: ImageName


Source = LocalDocker | Archive | InRegistry


def parse(text: str) -> Source:
    """Reads IMAGE: what ``docker run`` accepts, ``docker-daemon:NAME[:TAG]``, or ``PATH[:NAME[:TAG]]`` of an archive.

    A file, or a directory with an OCI layout, goes before a registry; ``docker://NAME`` is always a registry's. Raises
    InputError.
    """
    if not text.strip() or not text.isprintable():
        raise InputError("bad-image", f"expected an image, found {text!r}", hint=_FORMS)
    if text.startswith(_DAEMON):
        name = text.removeprefix(_DAEMON)
        if not name:
            raise InputError("bad-image", "docker-daemon: expected the name of an image after it", hint=_FORMS)
        return LocalDocker(name)
    if text.startswith(_REGISTRY):
        return InRegistry(parse_name(text.removeprefix(_REGISTRY)))
    if (archive := _existing(text)) is not None:
        return archive
    if text.endswith(_SUFFIXES) or text.startswith((".", "/", "~")):
        raise InputError("no-such-file", f"there is no file {text}", hint=_FORMS)
    return InRegistry(parse_name(text))


def _existing(text: str) -> Archive | None:
    """The part of ``text`` that is an existing path: all of it, or up to one of its colons."""
    if _can_be_archive(text):
        return Archive(Path(text))
    for position, character in enumerate(text):
        if character == ":" and position and _can_be_archive(text[:position]):
            name = text[position + 1 :]
            if not name:
                raise InputError("bad-image", f"{text}: expected the name of an image after the colon")
            return Archive(Path(text[:position]), name)
    return None


def _can_be_archive(text: str) -> bool:
    """Whether a directory is meant: one that has an image's name counts only if it is written as a path."""
    path = Path(text)
    if path.is_dir() and not text.startswith((".", "/", "~")) and not text.endswith("/"):
        return (path / "index.json").is_file() or (path / "manifest.json").is_file()
    return path.exists()
