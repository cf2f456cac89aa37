"""How a guest reaches a server on this computer's loopback: QEMU's user network maps it to 10.0.2.2. Pure."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit, urlunsplit

HOST_IN_GUEST = "10.0.2.2"
"""QEMU's default (invocation manual, -netdev user), and that of VirtualBox' NAT."""


def url_in_guest(url: str) -> str:
    """Returns ``url`` as the guest reaches it. A URL that is not on the loopback stays as it is.

    The rest of the URL (e.g. a token's ``service``) belongs to the server and is not touched.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        return url
    port = "" if parts.port is None else f":{parts.port}"
    return urlunsplit(parts._replace(netloc=HOST_IN_GUEST + port))
