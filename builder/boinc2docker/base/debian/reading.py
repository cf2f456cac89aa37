"""Reads all packages once, into the root file system, the kernel's part, and the CD's other files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from debian.deb822 import Deb822

from boinc2docker import console
from boinc2docker.base.debian import package
from boinc2docker.base.debian.recipe import Selection
from boinc2docker.base.debian.tree import Node, Spool, Tree
from boinc2docker.base.lock import LockedPackage
from boinc2docker.errors import InputError

Debs = Mapping[LockedPackage, Path]
"""Each locked package with its ``.deb``."""

IN_IMAGE = ("boot", "kernel", "rootfs")
"""The lock's sections whose packages are in the ISO; ``tools`` are not."""

BUSYBOX = ("busybox-static", "usr/bin/busybox")
ISOLINUX = ("isolinux", "usr/lib/ISOLINUX/isolinux.bin")
LDLINUX = ("syslinux-common", "usr/lib/syslinux/modules/bios/ldlinux.c32")
ASIDE = (BUSYBOX, ISOLINUX, LDLINUX)
"""Package and path of the files that are not in the root file system."""

_OF_KERNEL = ("boot", "usr/lib/modules")


@dataclass
class Contents:
    """The parts of the packages that the image needs."""

    tree: Tree = field(default_factory=Tree)
    kernel: dict[str, Node] = field(default_factory=dict)
    aside: dict[tuple[str, str], Node] = field(default_factory=dict)
    controls: list[Deb822] = field(default_factory=list)


def in_image(debs: Debs) -> list[LockedPackage]:
    """The packages that are in the ISO, sorted."""
    return sorted(locked for locked in debs if set(IN_IMAGE) & set(locked.sections))


def read(debs: Debs, selection: Selection, spool: Spool) -> Contents:
    """Reads the packages in the order of their names. Raises InputError for a damaged package or a stale recipe."""
    contents = Contents()
    packages = in_image(debs)
    with console.progress("packages", sum(locked.size for locked in packages)) as advance:
        for locked in packages:
            _read_one(contents, locked, debs[locked], selection, spool)
            advance(locked.size)
    missing = [f"{path} of {name}" for name, path in ASIDE if (name, path) not in contents.aside]
    if missing:
        raise InputError("bad-package", f"not in the locked packages: {', '.join(missing)}")
    return contents


def _read_one(contents: Contents, locked: LockedPackage, deb: Path, selection: Selection, spool: Spool) -> None:
    name = locked.name
    chosen = selection.of(name)
    of_kernel = "kernel" in locked.sections

    def goes_aside(path: str) -> bool:
        return (name, path) in ASIDE

    def is_kernels(path: str) -> bool:
        return of_kernel and (path in _OF_KERNEL or path.startswith(tuple(f"{top}/" for top in _OF_KERNEL)))

    def wanted(path: str) -> bool:
        return goes_aside(path) or is_kernels(path) or chosen(path)

    for path, node in package.nodes(deb, name, wanted, spool):
        if is_kernels(path):
            contents.kernel[path] = node
            continue
        if goes_aside(path):
            contents.aside[name, path] = node
        if chosen(path):
            contents.tree.add(path, node)
    contents.controls.append(package.control(deb, name))
    if chosen.unused:
        raise InputError("stale-recipe", f"image.toml: {name} has no file that matches {', '.join(chosen.unused)}")
