"""How large a release is, by part: the table of the notes and the figures that a later release is held against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from boinc2docker.iso import Report

_PARTS = {
    "/boot/vmlinuz": "kernel",
    "/boot/initrd.img": "initrd of the base",
    "/boot/rootfs.squashfs": "root file system",
    "/boot/boinc.img": "agent",
    "/boot/site.img": "room for a project's settings",
}
_REST = "boot loader, directories, the rest"


def of(image: Report) -> dict[str, int]:
    """Bytes by part; the parts add up to ``total``."""
    found = {name: sum(file.bytes for file in image.files if file.path == path) for path, name in _PARTS.items()}
    found = {name: size for name, size in found.items() if size}
    return {**found, _REST: image.bytes - sum(found.values()), "total": image.bytes}


def document(sizes: Mapping[str, int]) -> dict[str, Any]:
    """The content of the sizes file."""
    return {"format": 1, "size_bytes": dict(sizes)}


def table(sizes: Mapping[str, int]) -> str:
    """The sizes as a Markdown table in MB of 10^6 bytes."""
    lines = ["| part | MB |", "|---|---:|"]
    lines += [f"| {name} | {size / 1e6:.2f} |" for name, size in sizes.items()]
    return "\n".join(lines)
