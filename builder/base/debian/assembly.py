"""From packages to a bootable ISO: the steps in their order, and the only place of this part that knows them all."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from builder import atomic, console
from builder.base.debian import check, initrd, maintainer, media, package, recipe, squashfs, toolbox
from builder.base.debian.kernel import Kernel
from builder.base.debian.toolbox import Toolbox
from builder.base.debian.tree import Node, Spool, Tree, file
from builder.base.lock import LockedPackage
from builder.errors import InputError

Debs = Mapping[LockedPackage, Path]
IN_IMAGE = ("boot", "kernel", "rootfs")
"""The lock's sections whose packages leave something in the ISO; ``tools`` stay with the build."""


@dataclass
class _Work:
    """What the steps share."""

    debs: Debs
    files: Path
    rules: recipe.Recipe
    spool: Spool
    directory: Path

    def section(self, *names: str) -> list[tuple[LockedPackage, Path]]:
        return sorted((locked, path) for locked, path in self.debs.items() if set(names) & set(locked.sections))

    def one(self, name: str, path: str) -> bytes:
        """One file of a package."""
        for locked, deb in self.debs.items():
            if locked.name == name:
                for where, node in package.nodes(deb, name, lambda where: where == path, self.spool):
                    if where == path:
                        return self.spool.read(node.content)
        raise InputError("bad-package", f"the locked packages have no {name} with the file {path}")


def assemble(debs: Debs, files: Path, output: Path, *, epoch: int) -> dict[str, object]:
    """Assembles the debian base from ``debs`` (each locked package with its file) and ``files`` (``guest/debian``) into ``output``.

    Every time stamp is ``epoch``; the same packages and files give the same bytes on any machine. Needs no privileges; works in
    TMPDIR (about 600 MB), which is left empty in any case. Returns what is known of the result: ``kernel`` and ``docker``
    versions, ``packages`` as a list of name, version, architecture and source. Raises BuilderError, and leaves ``output``
    as it was.
    """
    rules = recipe.read(files / "image.toml")
    try:
        with tempfile.TemporaryDirectory(prefix="boinc2docker-") as name, tempfile.TemporaryFile() as stream:
            work = _Work(debs, files, rules, Spool(stream), Path(name))
            contents, kernel_version = _contents(work, epoch)
            with console.step("writing the ISO"), atomic.replacing(output) as temporary:
                media.write(temporary, contents, volume=rules.volume, epoch=epoch)
    except OSError as error:
        raise atomic.explain(error, f"assemble {output} in {tempfile.gettempdir()}") from error
    return _facts(debs, kernel_version)


def _contents(work: _Work, epoch: int) -> tuple[dict[str, Path | bytes], str]:
    """The files of the ISO by path, and the kernel's version."""
    with console.step("unpacking the tools"):
        tools = [(locked.name, path) for locked, path in work.section("tools")]
        box = toolbox.unpack(tools, work.directory / "tools", work.spool)
    with console.step("reading the packages"):
        applets = box.run("usr/bin/busybox", "--list-full").decode().split()
        tree = _root_file_system(work, applets)
        kernel = _kernel(work)
    with console.step("choosing the kernel's modules"):
        chosen = kernel.install(tree, work.rules.modules, box, work.directory / "modules")
        small = _initrd(work, kernel, box, epoch)
    check.whole(tree, work.spool)
    image = work.directory / "rootfs.squashfs"
    with console.step(f"compressing the root file system ({len(tree)} entries, {len(chosen)} kernel modules)"):
        squashfs.write(tree, work.spool, image, box, epoch=epoch)
    contents: dict[str, Path | bytes] = {
        "/boot/initrd.img": small,
        "/boot/rootfs.squashfs": image,
        "/boot/vmlinuz": kernel.image,
        "/isolinux/isolinux.bin": work.one("isolinux", "usr/lib/ISOLINUX/isolinux.bin"),
        "/isolinux/isolinux.cfg": (work.files / "isolinux.cfg").read_bytes(),
        "/isolinux/ldlinux.c32": work.one("syslinux-common", "usr/lib/syslinux/modules/bios/ldlinux.c32"),
    }
    return contents, kernel.version


def _root_file_system(work: _Work, applets: Iterable[str]) -> Tree:
    """Everything but the kernel's modules."""
    tree = Tree()
    controls = []
    packages = work.section(*IN_IMAGE)
    with console.progress("packages", len(packages), unit="packages") as advance:
        for locked, path in packages:
            _add_package(work, tree, locked, path)
            controls.append(package.control(path, locked.name))
            advance(1)
    maintainer.merge_usr(tree)
    maintainer.make_directories(tree, work.rules.directories)
    maintainer.bundle_certificates(tree, work.spool)
    maintainer.record_packages(tree, controls)
    for where, node in own_files(work.files / "rootfs"):
        tree.add(where, node, replace=True)
    tree.add("etc/modules-load.d/boot.conf", file("".join(f"{name}\n" for name in work.rules.modules.boot).encode()))
    maintainer.link_applets(tree, applets, work.rules.applets_without)
    maintainer.make_links(tree, work.rules.links)
    return tree


def _add_package(work: _Work, tree: Tree, locked: LockedPackage, path: Path) -> None:
    chosen = work.rules.selection.of(locked.name)
    of_kernel = "kernel" in locked.sections

    def wanted(where: str) -> bool:
        inside = where.startswith(("boot/", "usr/lib/modules/")) or where in ("boot", "usr/lib/modules")
        return chosen(where) and not (of_kernel and inside)

    for where, node in package.nodes(path, locked.name, wanted, work.spool):
        tree.add(where, node)
    if chosen.unused:
        raise InputError("stale-recipe", f"image.toml: {locked.name} has nothing that matches {', '.join(chosen.unused)}")


def _kernel(work: _Work) -> Kernel:
    nodes: list[tuple[str, Node]] = []
    for locked, path in work.section("kernel"):
        nodes += package.nodes(path, locked.name, lambda where: where.startswith(("boot/", "usr/lib/modules/")), work.spool)
    return Kernel(nodes, work.spool)


def _initrd(work: _Work, kernel: Kernel, box: Toolbox, epoch: int) -> bytes:
    modules = [(item.module.name, item.content) for item in kernel.choose(work.rules.modules.initrd, work.rules.modules.without)]
    busybox = work.one("busybox-static", "usr/bin/busybox")
    init = (work.files / "initrd" / "init").read_bytes()
    return initrd.compress(initrd.archive(busybox, init, modules, epoch=epoch), box)


def own_files(top: Path) -> list[tuple[str, Node]]:
    """The files of this repository that go into the root file system, executable if they are so here, whatever the umask."""
    found = []
    for path in sorted(top.rglob("*")):
        if path.is_file():
            mode = 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644
            found.append((path.relative_to(top).as_posix(), file(path.read_bytes(), mode)))
    return found


def _facts(debs: Debs, kernel: str) -> dict[str, object]:
    inside = sorted(locked for locked in debs if set(locked.sections) & set(IN_IMAGE))
    docker = [locked.version for locked in inside if locked.name == "docker.io"]
    packages = [
        {"name": item.name, "version": item.version, "architecture": item.architecture, "source": item.source} for item in inside
    ]
    return {"kernel": kernel, "docker": docker[0] if docker else "", "packages": packages}
