"""Assembles a bootable ISO from packages: all steps, in order."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from boinc2docker import atomic, console, leftovers
from boinc2docker.base.debian import image_faults, initrd, maintainer, media, reading, recipe, squashfs, toolbox
from boinc2docker.base.debian.kernel import Kernel
from boinc2docker.base.debian.reading import Contents, Debs
from boinc2docker.base.debian.recipe import Recipe
from boinc2docker.base.debian.tree import Node, Spool, Tree, file


def assemble(debs: Debs, files: Path, output: Path, *, epoch: int) -> dict[str, object]:
    """Assembles the debian base into ``output`` from ``debs``, each locked package with its file, and ``guest/debian``.

    Every time stamp is ``epoch``; the same packages and files give the same bytes on any machine. Needs no privileges
    and about 600 MB in TMPDIR, which is left empty in any case. Returns what is known of the result: ``kernel`` and
    ``docker`` versions, ``packages`` as a list of name, version, architecture and source. Raises BuilderError, and
    leaves ``output`` as it was.
    """
    rules = recipe.read(files / "image.toml")
    try:
        with leftovers.scratch() as work, tempfile.TemporaryFile() as stream:
            on_cd, kernel = _on_cd(debs, files, rules, Spool(stream), work, epoch)
            with console.step("writing the ISO"), atomic.replacing(output) as temporary:
                media.write(temporary, on_cd, volume=rules.volume, epoch=epoch)
    except OSError as error:
        raise atomic.explain(error, f"assemble {output} in {tempfile.gettempdir()}") from error
    return _facts(debs, kernel)


def _on_cd(
    debs: Debs, files: Path, rules: Recipe, spool: Spool, work: Path, epoch: int
) -> tuple[dict[str, Path | bytes], str]:
    """The files of the ISO by path, and the kernel's version."""
    with console.step("unpacking the tools"):
        tools = sorted((locked.name, path) for locked, path in debs.items() if "tools" in locked.sections)
        box = toolbox.unpack(tools, work / "tools", spool)
    with console.step("reading the packages"):
        contents = reading.read(debs, rules.selection, spool)
    with console.step("choosing the kernel's modules"):
        kernel = Kernel(contents.kernel, spool)
        tree = contents.tree
        modules = kernel.install(tree, rules.modules, box, work / "modules")
        first = [
            (item.module.name, item.content) for item in kernel.choose(rules.modules.initrd, rules.modules.without)
        ]
    applets = box.run("usr/bin/busybox", "--list-full").decode().split()
    finish(contents, rules, files / "rootfs", applets, spool)
    image_faults.require_none(tree, spool)
    with console.step(f"compressing the root file system ({len(tree)} entries, {len(modules)} kernel modules)"):
        squashfs.write(tree, spool, work / "rootfs.squashfs", box, epoch=epoch)
    busybox, isolinux, ldlinux = (spool.read(contents.aside[key].content) for key in reading.ASIDE)
    small = initrd.archive(busybox, (files / "initrd" / "init").read_bytes(), first, epoch=epoch)
    on_cd: dict[str, Path | bytes] = {
        "/boot/initrd.img": initrd.compress(small, box),
        "/boot/rootfs.squashfs": work / "rootfs.squashfs",
        "/boot/vmlinuz": kernel.image,
        "/isolinux/isolinux.bin": isolinux,
        "/isolinux/isolinux.cfg": (files / "isolinux.cfg").read_bytes(),
        "/isolinux/ldlinux.c32": ldlinux,
    }
    return on_cd, kernel.version


def finish(contents: Contents, rules: Recipe, own: Path, applets: Iterable[str], spool: Spool) -> None:
    """Completes the root file system: does what the packages' scripts would have done, and adds our own files."""
    tree: Tree = contents.tree
    maintainer.merge_usr(tree)
    maintainer.make_directories(tree, rules.directories)
    maintainer.bundle_certificates(tree, spool)
    maintainer.record_packages(tree, contents.controls)
    for where, node in own_files(own):
        tree.add(where, node, replace=True)
    maintainer.set_modes(tree, rules.modes)
    tree.add("etc/modules-load.d/boot.conf", file("".join(f"{name}\n" for name in rules.modules.boot).encode()))
    maintainer.link_applets(tree, applets, rules.applets_without)
    maintainer.make_links(tree, rules.links)


def own_files(top: Path) -> list[tuple[str, Node]]:
    """Adds this repository's files; executable ones stay so, whatever the umask."""
    found = []
    for path in sorted(top.rglob("*")):
        if path.is_file():
            mode = 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644
            found.append((path.relative_to(top).as_posix(), file(path.read_bytes(), mode)))
    return found


def _facts(debs: Debs, kernel: str) -> dict[str, object]:
    inside = reading.in_image(debs)
    docker = [locked.version for locked in inside if locked.name == "docker.io"]
    packages = [
        {"name": item.name, "version": item.version, "architecture": item.architecture, "source": item.source}
        for item in inside
    ]
    return {"kernel": kernel, "docker": docker[0] if docker else "", "packages": packages}
