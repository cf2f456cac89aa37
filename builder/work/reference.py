"""The IMAGE of a command line: where an image is to come from. The one place that decides it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builder.errors import InputError
from builder.work.image import Image
from builder.work.image_archive import read_archive
from builder.work.local_docker import read_local

_DAEMON = "docker-daemon:"
_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2", ".oci")


@dataclass(frozen=True)
class LocalDocker:
    """An image of the Docker engine on this machine."""

    name: str


@dataclass(frozen=True)
class Archive:
    """An image archive or OCI layout on the disk, and which of its images if it has several."""

    path: Path
    name: str | None = None


Source = LocalDocker | Archive


def parse(text: str) -> Source:
    """Reads IMAGE: ``docker-daemon:NAME[:TAG]``, or ``PATH[:NAME[:TAG]]`` of an image archive. Raises InputError."""
    if not text.strip() or not text.isprintable():
        raise InputError("bad-image", f"expected an image, found {text!r}", hint=_FORMS)
    if text.startswith(_DAEMON):
        name = text.removeprefix(_DAEMON)
        if not name:
            raise InputError("bad-image", "docker-daemon: wants the name of an image", hint=_FORMS)
        return LocalDocker(name)
    if (archive := _existing(text)) is not None:
        return archive
    if text.endswith(_SUFFIXES) or text.startswith((".", "/", "~")):
        raise InputError("no-such-file", f"there is no file {text}", hint=_FORMS)
    raise InputError(
        "unsupported-reference",
        f"{text}: images from registries come with a later version; there is no file of this name either",
        hint=_FORMS,
    )


_FORMS = "an image is docker-daemon:NAME[:TAG], or the path of an archive made by `docker save` or in OCI format"


def _existing(text: str) -> Archive | None:
    """``text`` as a path that exists, wholly or up to one of its colons."""
    if Path(text).exists():
        return Archive(Path(text))
    for position, character in enumerate(text):
        if character == ":" and position and (path := Path(text[:position])).exists():
            name = text[position + 1 :]
            if not name:
                raise InputError("bad-image", f"{text}: expected the name of an image after the colon")
            return Archive(path, name)
    return None


def obtain(source: Source, into: Path) -> Image:
    """Puts the image's config and layers into ``into`` as files named by their digests, all verified."""
    if isinstance(source, LocalDocker):
        return read_local(source.name, into)
    return read_archive(source.path, into, name=source.name)
