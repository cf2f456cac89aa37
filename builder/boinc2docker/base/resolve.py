"""Resolves package names to the closure of their dependencies. Pure and deterministic.

Unlike apt it ignores Recommends, Conflicts and Breaks, since packages are unpacked, not installed. It takes:

* the highest version over all indexes that meets the condition;
* of alternatives, one already chosen or wanted, else the first available;
* a real package before one that provides the name, and of providers, the first by name.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from debian.debian_support import Version

from boinc2docker.base.apt_index import Dependency, Package, Relation
from boinc2docker.base.package_list import Section
from boinc2docker.errors import InputError


class Index(Protocol):
    """Where packages are looked up by name."""

    def named(self, name: str) -> list[Package]: ...

    def providing(self, name: str) -> list[Package]: ...


def resolve(section: Section, indexes: Sequence[Index], architecture: str) -> dict[str, Package]:
    """All packages the section needs, by name, sorted.

    Raises InputError that shows the chain from a wanted package to the unavailable one.
    """
    closure = _Closure(section, tuple(indexes), architecture)
    for name in section.packages:
        closure.want(Relation(name), ())
    closure.follow()
    return dict(sorted(closure.chosen.items()))


def merge(sections: Mapping[str, Mapping[str, Package]]) -> dict[str, tuple[Package, tuple[str, ...]]]:
    """Packages of all sections by name, each with the names of its sections. Raises InputError for two versions."""
    merged: dict[str, tuple[Package, tuple[str, ...]]] = {}
    for section, packages in sorted(sections.items()):
        for name, package in packages.items():
            before, where = merged.get(name, (package, ()))
            if before != package:
                raise InputError(
                    "unresolvable",
                    f"{name} is needed as {before.version} in {', '.join(where)} and as {package.version} in {section}",
                )
            merged[name] = (package, (*where, section))
    return dict(sorted(merged.items()))


def satisfies(version: str, relation: Relation) -> bool:
    """Whether ``version`` meets the relation's condition (Policy 7.1)."""
    if relation.operator is None or relation.version is None:
        return True
    found, asked = Version(version), Version(relation.version)
    match relation.operator:
        case "<<":
            return bool(found < asked)
        case "<=":
            return bool(found <= asked)
        case "=":
            return bool(found == asked)
        case ">=":
            return bool(found >= asked)
        case ">>":
            return bool(found > asked)
        case _:
            raise InputError("bad-index", f"unknown operator in the dependency {relation}")


@dataclass
class _Closure:
    """The state of a resolution: the packages chosen, and those whose dependencies are still to be followed."""

    section: Section
    indexes: tuple[Index, ...]
    architecture: str
    chosen: dict[str, Package] = field(default_factory=dict)
    provided: dict[str, list[str]] = field(default_factory=dict)
    """Virtual name → chosen packages that provide it."""
    todo: deque[tuple[Package, tuple[str, ...]]] = field(default_factory=deque)

    def want(self, relation: Relation, chain: tuple[str, ...]) -> None:
        """Chooses a package for the relation, unless one is chosen. Raises InputError if there is none."""
        if self.met(relation):
            return
        package = self.find(relation)
        if package is None:
            raise self.failure(str(relation), chain)
        self.choose(package, chain)

    def follow(self) -> None:
        """Satisfies the dependencies of everything chosen, breadth first."""
        while self.todo:
            package, chain = self.todo.popleft()
            for dependency in package.depends:
                self.depend(dependency, (*chain, package.name))

    def depend(self, dependency: Dependency, chain: tuple[str, ...]) -> None:
        if any(relation.name in self.section.without or self.met(relation) for relation in dependency):
            return
        for relation in dependency:
            if (package := self.find(relation)) is not None:
                self.choose(package, chain)
                return
        raise self.failure(" | ".join(str(relation) for relation in dependency), chain)

    def choose(self, package: Package, chain: tuple[str, ...]) -> None:
        self.chosen[package.name] = package
        for relation in package.provides:
            self.provided.setdefault(relation.name, []).append(package.name)
        self.todo.append((package, chain))

    def met(self, relation: Relation) -> bool:
        """Whether a chosen package meets the relation, itself or by Provides."""
        package = self.chosen.get(relation.name)
        if package is not None and satisfies(package.version, relation):
            return True
        return any(provides(self.chosen[name], relation) for name in self.provided.get(relation.name, ()))

    def find(self, relation: Relation) -> Package | None:
        """The best package for the relation that does not conflict with a chosen version."""
        real = [
            package
            for package in self._usable(index.named(relation.name) for index in self.indexes)
            if satisfies(package.version, relation)
        ]
        if real:
            return highest(real)
        virtual: dict[str, list[Package]] = {}
        for package in self._usable(index.providing(relation.name) for index in self.indexes):
            if provides(package, relation) and package.name not in self.section.without:
                virtual.setdefault(package.name, []).append(package)
        return highest(virtual[min(virtual)]) if virtual else None

    def _usable(self, found: Iterable[list[Package]]) -> list[Package]:
        return [
            package
            for packages in found
            for package in packages
            if package.architecture in (self.architecture, "all") and package.name not in self.chosen
        ]

    def failure(self, wanted: str, chain: tuple[str, ...]) -> InputError:
        way = " → ".join((*chain, wanted))
        return InputError(
            "unresolvable",
            f"no package satisfies {wanted} (asked for by: {way})",
            hint="correct guest/debian/packages.toml; put a dependency that the guest does not need into `without`",
        )


def provides(package: Package, relation: Relation) -> bool:
    """Whether the package provides the relation; an unversioned Provides meets no condition (Policy 7.5)."""
    return any(
        offer.name == relation.name
        and (relation.operator is None or (offer.version is not None and satisfies(offer.version, relation)))
        for offer in package.provides
    )


def highest(packages: Sequence[Package]) -> Package:
    """The package with the highest version; of equal ones, the first."""
    return functools.reduce(
        lambda best, other: other if Version(other.version) > Version(best.version) else best, packages
    )
