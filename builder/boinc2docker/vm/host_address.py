"""What a server on this machine's loopback is called in the machine: QEMU's user network has it at 10.0.2.2. Pure."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit, urlunsplit

HOST_IN_GUEST = "10.0.2.2"
"""QEMU's default (invocation manual, -netdev user); VirtualBox' NAT has the same."""


def url_in_guest(url: str) -> str:
    """``url`` as the guest reaches it; anything that is not on the loopback stays as it is.

    Everything else in the URL (a token's ``service``, say) is the server's own word and is not touched.
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
