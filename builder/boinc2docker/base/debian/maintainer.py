"""Does to the tree what the packages' maintainer scripts would have done.

Nothing of a package is ever run as its installer. What this does instead, and which package would have done it:
merged ``/usr`` (usr-is-merged), the bundle of certificates (ca-certificates), alternatives (iptables), applet links
(busybox) and dpkg's own record of what is installed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import replace

from debian.deb822 import Deb822

from boinc2docker.base.debian.tree import MERGED, Kind, Spool, Tree, directory, file, link, normalised
from boinc2docker.errors import InputError

CERTIFICATES = "usr/share/ca-certificates"
BUNDLE = "etc/ssl/certs/ca-certificates.crt"
STATUS = "var/lib/dpkg/status"
_BINARIES = ("usr/bin", "usr/sbin")


def merge_usr(tree: Tree) -> None:
    """Adds the top-level links of a merged ``/usr``, which ``Tree.add`` would put below ``usr``."""
    for name in MERGED:
        tree.add(f"usr/{name}", directory())
        tree.link_top_level(name, f"usr/{name}")


def make_directories(tree: Tree, modes: Mapping[str, int]) -> None:
    """Adds directories that no package ships, with their modes; an existing one gets the mode."""
    for path, mode in sorted(modes.items()):
        tree.add(path, directory(mode), replace=True)


def set_modes(tree: Tree, modes: Mapping[str, int]) -> None:
    """Sets the modes of existing files. Raises InputError for a missing one."""
    for path, mode in sorted(modes.items()):
        node = tree.get(path)
        if node is None or node.kind is not Kind.FILE:
            raise InputError("stale-recipe", f"image.toml gives a mode to /{path}, which is not in the image")
        tree.add(path, replace(node, mode=mode), replace=True)


def bundle_certificates(tree: Tree, spool: Spool) -> int:
    """Joins the certificates into the bundle that OpenSSL and Go look for, drops the files, returns their number."""
    single = [
        (path, node) for path, node in tree.items() if path.startswith(CERTIFICATES + "/") and path.endswith(".crt")
    ]
    if not single:
        raise InputError(
            "no-certificates", "the image would have no certificate authorities: is ca-certificates in it?"
        )
    parts = [spool.read(node.content).strip() + b"\n" for _, node in single]
    tree.remove(CERTIFICATES)
    tree.add(BUNDLE, file(b"".join(parts), package="ca-certificates"))
    return len(parts)


def make_links(tree: Tree, links: Mapping[str, str]) -> None:
    """Adds links such as alternatives: path to target. A target inside the tree must exist."""
    for path, target in sorted(links.items()):
        tree.add(path, link(target))
        if not target.startswith(("/proc/", "/run", "../run")) and tree.resolve(path) is None:
            raise InputError("dangling-link", f"/{path} would point to {target}, which is not in the image")


def link_applets(tree: Tree, applets: Iterable[str], without: Iterable[str]) -> list[str]:
    """A link to busybox for every applet (path as in ``busybox --list-full``) that no package provides as a program.

    Returns the linked paths.
    """
    taken = {posixpath.basename(path) for path in tree if posixpath.dirname(path) in _BINARIES} | set(without)
    linked = sorted(normalised(path) for path in applets if posixpath.basename(path) not in taken)
    for path in linked:
        tree.add(path, link("busybox" if path.startswith("usr/bin/") else "../bin/busybox"))
    return linked


def record_packages(tree: Tree, controls: Iterable[Deb822]) -> None:
    """``/var/lib/dpkg/status``: a paragraph for every package of the image, sorted by name. Format: deb-control(5)."""
    paragraphs = []
    for control in sorted(controls, key=lambda paragraph: str(paragraph["Package"])):
        fields = [f"Package: {control['Package']}", "Status: install ok installed"]
        fields += [f"{key}: {value}" for key, value in control.items() if key not in ("Package", "Status")]
        paragraphs.append("\n".join(fields) + "\n")
    tree.add(STATUS, file("\n".join(paragraphs).encode()))


def unfinished(tree: Tree) -> list[str]:
    """Links whose target is missing in the tree, except targets that are mounted at boot."""
    mounted = ("/proc/", "/run", "/dev/", "/sys/")
    return [
        path
        for path, node in tree.items()
        if node.kind is Kind.LINK and not node.target.startswith(mounted) and tree.resolve(path) is None
    ]
