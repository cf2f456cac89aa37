"""The kernel modules that an image needs: the wanted ones and, transitively, their dependencies.

A module lists these in ``.modinfo``: ``depends=`` (modules whose symbols it uses) and ``softdep=`` (modules to load
before or after it, e.g. a checksum that is looked up by name). Source: depmod(8), modprobe.d(5).
"""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from boinc2docker.errors import InputError


@dataclass(frozen=True)
class Module:
    """A module and its dependencies. ``hard`` and ``soft`` are names as the module gives them."""

    name: str
    hard: tuple[str, ...]
    soft: tuple[str, ...]
    aliases: tuple[str, ...]


def module_name(path: str) -> str:
    """``kernel/net/9p/9pnet-virtio.ko.xz`` is the module ``9pnet_virtio``: the kernel uses no hyphens."""
    return canonical(posixpath.basename(path).partition(".ko")[0])


def canonical(name: str) -> str:
    return name.replace("-", "_")


def described(name: str, facts: Mapping[str, list[str]]) -> Module:
    """A module from its ``.modinfo``."""
    hard = tuple(canonical(word) for text in facts.get("depends", []) for word in text.split(",") if word)
    return Module(canonical(name), hard, tuple(_soft(facts.get("softdep", []))), tuple(facts.get("alias", [])))


def _soft(texts: Iterable[str]) -> Iterator[str]:
    """``pre: a b post: c`` names a, b and c."""
    for text in texts:
        yield from (word for word in text.split() if not word.endswith(":"))


def closure(
    wanted: Iterable[str],
    read: Callable[[str], Module | None],
    *,
    builtin: Collection[str],
    without: Collection[str] = (),
) -> list[Module]:
    """``wanted`` and all dependencies, each once, in loading order.

    ``read`` gives a module or None if the kernel has no such file; ``builtin`` names modules compiled into the kernel;
    ``without`` names soft dependencies to leave out. Soft dependencies may name an alias; one that no module of the
    result answers to raises InputError, as does a wanted or hard dependency that does not exist.
    """
    found: dict[str, Module] = {}
    loose: dict[str, str] = {}

    def visit(name: str, why: str, above: tuple[str, ...] = ()) -> None:
        if name in found or name in builtin or name in above:
            return
        module = read(name)
        if module is None:
            raise InputError("module-missing", f"the kernel has no module {name}, wanted {why}")
        for soft in module.soft:
            if read(canonical(soft)) is None:
                loose[soft] = name
            else:
                visit(canonical(soft), f"by {name} (soft)", (*above, name))
        for hard in module.hard:
            visit(hard, f"by {name}", (*above, name))
        found[name] = module

    for name in wanted:
        visit(canonical(name), "by the image")
    aliases = [alias for module in found.values() for alias in module.aliases]
    for soft, asking in loose.items():
        answered = any(_answers(soft, alias) for alias in aliases)
        if not answered and soft not in without and canonical(soft) not in builtin:
            raise InputError("module-missing", f"{asking} asks for {soft}, which no module of the image is")
    return list(found.values())


def _answers(name: str, alias: str) -> bool:
    return fnmatch.fnmatchcase(canonical(name), canonical(alias)) or canonical(alias) == f"crypto_{canonical(name)}"
