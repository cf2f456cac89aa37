"""Names of images in registries, by Docker's own grammar (distribution/reference, through docker-image-py). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from docker_image.digest import InvalidDigest
from docker_image.reference import InvalidReference, Reference

from boinc2docker.digest import Digest
from boinc2docker.errors import InputError

DOCKER_HUB = "docker.io"
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_HINT = "image names look like python:3-slim, ghcr.io/owner/name:tag, localhost:5000/name or name@sha256:…"


@dataclass(frozen=True)
class ImageName:
    """A normalised name: ``domain`` (host[:port]), ``path`` (the repository there), a tag, a digest, or both.

    A digest decides, a tag beside it is decoration. Without either the tag is ``latest``.
    """

    domain: str
    path: str
    tag: str | None = None
    digest: Digest | None = None

    @property
    def repository(self) -> str:
        """Domain and path, as ``docker.io/library/python``."""
        return f"{self.domain}/{self.path}"

    @property
    def wanted(self) -> str:
        """What to ask a registry for: the digest, else the tag."""
        return str(self.digest) if self.digest else self.tag or "latest"

    @property
    def familiar(self) -> str:
        """The name as Docker shows it: ``python:3-slim``, ``quay.io/a/b:latest``, ``x@sha256:…``."""
        short = self.path.removeprefix("library/") if self.path.count("/") == 1 else self.path
        name = short if self.domain == DOCKER_HUB else self.repository
        tag = f":{self.tag}" if self.tag else ""
        return f"{name}{tag}@{self.digest}" if self.digest else f"{name}:{self.wanted}"

    def pinned(self, digest: Digest) -> str:
        """The full name of exactly this image: ``docker.io/library/python@sha256:…``."""
        return f"{self.repository}@{digest}"


def parse_name(text: str) -> ImageName:
    """Reads what ``docker run`` accepts. Raises InputError that says what is wrong with it."""
    if _HEX.fullmatch(text):
        raise _bad(text, "64 hexadecimal digits are an image's ID, and registries know images by name")
    try:
        # A final line feed would slip through the grammar's `$`.
        parsed = Reference.parse_normalized_named(text if text.isprintable() else "")
    except (InvalidReference, InvalidDigest, ValueError) as error:
        raise _bad(text, _reason(text, str(error))) from error
    domain, path = parsed.split_docker_domain(parsed["name"])
    return ImageName(domain, path, parsed["tag"], _digest(text, parsed["digest"]))


def _digest(text: str, found: str | None) -> Digest | None:
    if found is None:
        return None
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", found):
        raise _bad(text, f"expected a digest sha256:<64 lower-case hex digits>, found {found[:90]}")
    return Digest.parse(found)


def _reason(text: str, said: str) -> str:
    """The library's message, or a better one for common mistakes."""
    name = text.partition("@")[0]
    if text.startswith(("http://", "https://")):
        return "an image name does not begin with http:// or https://"
    if "lowercase" in said or (name != name.lower() and re.fullmatch(r"[\w.:/-]+", name, re.ASCII)):
        return "the repository's name must be lower case; only tags and host names may have capitals"
    return said or "not a name"


def _bad(text: str, reason: str) -> InputError:
    return InputError("bad-reference", f"{ascii(text[:200])[1:-1]} is no image name: {reason}", hint=_HINT)
