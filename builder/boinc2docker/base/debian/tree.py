"""A file tree in memory: the content of an image before it is written.

A node is a directory, a file or a symbolic link; owners are always root, times always the build's epoch, so neither is
recorded. Paths are relative (``usr/bin/tar``), and nothing in a tree can lie outside it.
"""

from __future__ import annotations

import enum
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from boinc2docker.errors import InputError


class Kind(enum.Enum):
    """What a node is."""

    DIRECTORY = "directory"
    FILE = "file"
    LINK = "link"


@dataclass(frozen=True)
class Stored:
    """Content in a spool: ``size`` bytes from ``offset``."""

    offset: int
    size: int


Content = bytes | Stored


@dataclass(frozen=True)
class Node:
    """One entry; ``mode`` has the permission bits only."""

    kind: Kind
    mode: int
    content: Content = b""
    target: str = ""
    package: str | None = None
    """The Debian package it is from; None if the build made it."""

    @property
    def size(self) -> int:
        """Bytes of a file's content; 0 for other kinds."""
        return self.content.size if isinstance(self.content, Stored) else len(self.content)


def directory(mode: int = 0o755, *, package: str | None = None) -> Node:
    return Node(Kind.DIRECTORY, mode, package=package)


def file(content: Content, mode: int = 0o644, *, package: str | None = None) -> Node:
    return Node(Kind.FILE, mode, content=content, package=package)


def link(target: str, *, package: str | None = None) -> Node:
    return Node(Kind.LINK, 0o777, target=target, package=package)


MERGED = ("bin", "sbin", "lib", "lib64")
"""Top-level names that are links into ``usr`` on a merged-/usr system (Debian 12 and later)."""


def normalised(name: str) -> str:
    """The normal form of a path: ``./a//b/`` is ``a/b``, top-level ``bin`` etc. are below ``usr``; "" is the root.

    Raises InputError for ``..``, NUL and other names that have no business in a package.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise InputError("bad-path", f"a path that leaves its tree: {name!r}")
    if parts and parts[0] in MERGED:
        parts.insert(0, "usr")
    return "/".join(parts)


class Tree:
    """Nodes by path. Parents are created with their children; no file silently replaces another."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}

    def add(self, name: str, node: Node, *, replace: bool = False) -> None:
        """Adds ``node`` as ``name``. An existing directory stays as it is, unless ``replace``.

        Raises InputError if something else has the name, or if a parent is not a directory.
        """
        path = normalised(name)
        if not path:
            return
        self._parents(path)
        there = self._nodes.get(path)
        if there is not None and not replace:
            if there.kind is Kind.DIRECTORY and node.kind is Kind.DIRECTORY:
                return
            if there != node:
                raise InputError(
                    "conflicting-files", f"/{path} comes twice: from {there.package} and from {node.package}"
                )
        if there is not None and there.kind is Kind.DIRECTORY and node.kind is not Kind.DIRECTORY:
            raise InputError("conflicting-files", f"/{path} is a directory and a {node.kind.value}")
        self._nodes[path] = node

    def link_top_level(self, name: str, target: str) -> None:
        """Adds a link in the root, even if ``normalised`` would move its name below ``usr``."""
        self._nodes[name] = link(target)

    def remove(self, name: str) -> None:
        """Removes a path and everything below it, if it exists."""
        path = normalised(name)
        for key in [key for key in self._nodes if key == path or key.startswith(path + "/")]:
            del self._nodes[key]

    def __getitem__(self, name: str) -> Node:
        return self._nodes[normalised(name)]

    def get(self, name: str) -> Node | None:
        return self._nodes.get(normalised(name))

    def __contains__(self, name: str) -> bool:
        return normalised(name) in self._nodes

    def __iter__(self) -> Iterator[str]:
        """Paths in an order that depends on the paths only: parents before children."""
        return iter(sorted(self._nodes, key=lambda path: path.split("/")))

    def __len__(self) -> int:
        return len(self._nodes)

    def items(self) -> Iterator[tuple[str, Node]]:
        return ((path, self._nodes[path]) for path in self)

    def resolve(self, name: str) -> str | None:
        """The path of ``name`` with every link followed inside the tree; None if it is missing or too deep."""
        left = [part for part in name.split("/") if part]
        path = ""
        for _ in range(1000):
            if not left:
                return path
            part = left.pop(0)
            if part in ("", "."):
                continue
            path = posixpath.dirname(path) if part == ".." else posixpath.join(path, part)
            node = self._nodes.get(path)
            if node is None and path:
                return None
            if node is not None and node.kind is Kind.LINK:
                left = node.target.split("/") + left
                path = "" if node.target.startswith("/") else posixpath.dirname(path)
        return None

    def _parents(self, path: str) -> None:
        for parent in _above(path):
            there = self._nodes.setdefault(parent, directory())
            if there.kind is not Kind.DIRECTORY:
                raise InputError(
                    "conflicting-files", f"/{path} would lie below /{parent}, which is a {there.kind.value}"
                )


def _above(path: str) -> Iterator[str]:
    parts = path.split("/")[:-1]
    for count in range(1, len(parts) + 1):
        yield "/".join(parts[:count])


class Spool:
    """The contents of many files in one temporary file."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._end = 0

    def put(self, source: BinaryIO) -> Stored:
        """Appends ``source``."""
        start = self._end
        self._stream.seek(start)
        while chunk := source.read(1 << 20):
            self._end += self._stream.write(chunk)
        return Stored(start, self._end - start)

    def part(self, content: Content, start: int, count: int) -> bytes:
        """``count`` bytes of ``content`` from ``start``, fewer at its end."""
        if isinstance(content, bytes):
            return content[start : start + count]
        self._stream.seek(content.offset + start)
        return self._stream.read(max(0, min(count, content.size - start)))

    def read(self, content: Content) -> bytes:
        """All of ``content``."""
        return self.part(content, 0, len(content) if isinstance(content, bytes) else content.size)
