"""The kernel's part of the image: the boot file, and the needed modules with depmod's tables."""

from __future__ import annotations

import lzma
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from boinc2docker.base.debian import elf, modules
from boinc2docker.base.debian.recipe import ModuleLists
from boinc2docker.base.debian.toolbox import Toolbox
from boinc2docker.base.debian.tree import Node, Spool, Tree, file
from boinc2docker.errors import InputError

_TABLES_NEEDED = ("modules.builtin", "modules.builtin.modinfo", "modules.order")
_TABLES_LEFT = ("modules.symbols", "modules.symbols.bin", "modules.devname")
"""Files that depmod writes and the guest does not need."""


@dataclass(frozen=True)
class Chosen:
    """A module of the image: its path below ``lib/modules/<version>`` without compression suffix, its content."""

    module: modules.Module
    path: str
    content: bytes


class Kernel:
    """The files of a kernel package (paths as in the package)."""

    def __init__(self, nodes: Mapping[str, Node], spool: Spool) -> None:
        self._nodes = nodes
        self._spool = spool
        self.version = self._find_version()
        self.root = f"usr/lib/modules/{self.version}"
        self._paths = {modules.module_name(path): path for path in self._nodes if ".ko" in posixpath.basename(path)}
        self._read: dict[str, Chosen] = {}

    def _find_version(self) -> str:
        found = [posixpath.basename(path) for path in self._nodes if path.startswith("boot/vmlinuz-")]
        if len(found) != 1:
            raise InputError("bad-package", f"expected one kernel in the kernel's package, found {found}")
        return found[0].removeprefix("vmlinuz-")

    @property
    def image(self) -> bytes:
        """The file that the boot loader loads."""
        return self._content(f"boot/vmlinuz-{self.version}")

    def choose(self, names: Iterable[str], without: Iterable[str]) -> list[Chosen]:
        """The modules and their dependencies, in loading order."""
        builtin = {modules.module_name(line) for line in self._text("modules.builtin").splitlines()}
        found = modules.closure(names, self._module, builtin=builtin, without=set(without))
        return [self._read[module.name] for module in found]

    def install(self, tree: Tree, lists: ModuleLists, toolbox: Toolbox, work: Path) -> list[Chosen]:
        """Puts modules and depmod's tables into the tree. Returns the modules, in loading order."""
        chosen = self.choose(lists.all, lists.without)
        for item in chosen:
            tree.add(f"{self.root}/{item.path}", file(item.content, package="linux-image"))
        for name, content in self._tables(chosen, toolbox, work).items():
            tree.add(f"{self.root}/{name}", file(content))
        return chosen

    def _tables(self, chosen: Iterable[Chosen], toolbox: Toolbox, work: Path) -> dict[str, bytes]:
        top = work / self.root
        by_path = {item.path: item.content for item in chosen}
        for path, content in sorted(by_path.items()):
            target = top / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        for name in _TABLES_NEEDED:
            (top / name).write_bytes(self._content(f"{self.root}/{name}"))
        ours = [line for line in self._text("modules.order").splitlines() if line in by_path]
        (top / "modules.order").write_text("".join(f"{line}\n" for line in ours))
        (work / "lib").symlink_to("usr/lib")
        toolbox.run("usr/sbin/depmod", "--basedir", work, self.version)
        tables = sorted(path for path in top.iterdir() if path.is_file() and path.name not in _TABLES_LEFT)
        return {path.name: path.read_bytes() for path in tables}

    def _module(self, name: str) -> modules.Module | None:
        path = self._paths.get(name)
        if path is None:
            return None
        if name not in self._read:
            content = self._content(path)
            if path.endswith(".xz"):
                content = lzma.decompress(content)
            below = path.removeprefix(self.root + "/").removesuffix(".xz")
            self._read[name] = Chosen(modules.described(name, elf.module_facts(content)), below, content)
        return self._read[name].module

    def _text(self, table: str) -> str:
        return self._content(f"{self.root}/{table}").decode()

    def _content(self, path: str) -> bytes:
        if path not in self._nodes:
            raise InputError("bad-package", f"the kernel's package has no {path}")
        return self._spool.read(self._nodes[path].content)
