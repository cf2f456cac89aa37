"""URLs of registries, from an image's name and the user's options. Pure.

URLs: OCI distribution-spec, "Endpoints". Docker Hub's API lives on another host than its name says.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from boinc2docker.digest import Digest
from boinc2docker.errors import InputError
from boinc2docker.image.image_name import DOCKER_HUB, ImageName

_HUB_API = "https://registry-1.docker.io"


@dataclass(frozen=True)
class Endpoint:
    """A server that may have a repository: the registry itself, or a mirror."""

    root: str
    """``https://host[:port][/prefix]`` without a trailing slash."""
    path: str
    """The repository on this server."""

    @property
    def blobs_url(self) -> str:
        """``…/blobs``; ``/sha256:<hex>`` after it is a blob."""
        return f"{self.root}/v2/{self.path}/blobs"

    @property
    def host(self) -> str:
        """Host and port, for messages."""
        return urlsplit(self.root).netloc

    def blob_url(self, digest: Digest) -> str:
        return f"{self.blobs_url}/{digest}"

    def manifest_url(self, wanted: str) -> str:
        """``wanted`` is a tag or a digest."""
        return f"{self.root}/v2/{self.path}/manifests/{wanted}"


def endpoints(name: ImageName, mirrors: Iterable[str], *, plain_http: bool) -> tuple[Endpoint, ...]:
    """Where to ask for ``name``: the mirrors in their order, then its registry. Raises InputError for a bad mirror.

    A registry on this machine's loopback is asked by HTTP, as Docker does, others only with ``plain_http``.
    """
    own = _HUB_API
    if name.domain != DOCKER_HUB:
        scheme = "http" if plain_http or is_loopback(_hostname(name.domain)) else "https"
        own = f"{scheme}://{name.domain}"
    return tuple(Endpoint(root, name.path) for root in dict.fromkeys([*map(_mirror, mirrors), own]))


def is_loopback(host: str) -> bool:
    """True for ``localhost``, 127.0.0.0/8 and ::1, without asking a name server."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_private(host: str) -> bool:
    """True for addresses of private networks. Names are not looked up."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return is_loopback(host)


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: credentials are sent again only where these are equal."""
    parts = urlsplit(url)
    default = 443 if parts.scheme == "https" else 80
    return (parts.scheme, (parts.hostname or "").lower(), parts.port or default)


def _hostname(domain: str) -> str:
    return urlsplit(f"//{domain}").hostname or ""


def _mirror(text: str) -> str:
    """A mirror's root. Raises InputError."""
    hint = "a mirror is the root URL of a registry: https://mirror.example.org"
    if "://" not in text:
        text = f"{'http' if is_loopback(_hostname(text.partition('/')[0])) else 'https'}://{text}"
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = None
    if not usable or parts.query or parts.fragment or parts.username is not None or not re.fullmatch("[!-~]+", text):
        raise InputError("bad-mirror", f"--mirror: {text[:200]!a} is no URL of a registry", hint=hint)
    return text.rstrip("/").removesuffix("/v2")
