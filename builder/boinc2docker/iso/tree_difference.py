"""Compares two trees of files, from an initramfs, a squashfs or an ISO. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Leaf:
    """The entry of a path: ``kind`` as ``stat.filemode`` shows it, and its content's digest or a link's target."""

    kind: str
    bytes: int
    content: str


@dataclass(frozen=True)
class Change:
    """A path that is in one tree only (None in the other) or differs."""

    path: str
    before: Leaf | None
    after: Leaf | None

    def __str__(self) -> str:
        if self.before is None or self.after is None:
            leaf = self.after or self.before
            assert leaf is not None  # noqa: S101 - one of them is there
            where = "second" if self.before is None else "first"
            return f"{self.path} only in the {where}: {leaf.kind} {leaf.bytes} bytes"
        parts = []
        if self.before.kind != self.after.kind:
            parts.append(f"{self.before.kind} → {self.after.kind}")
        if self.before.bytes != self.after.bytes:
            parts.append(f"{self.before.bytes} → {self.after.bytes} bytes")
        elif self.before.content != self.after.content:
            parts.append(_content(self.before, self.after))
        return f"{self.path}: {', '.join(parts)}"


def _content(before: Leaf, after: Leaf) -> str:
    if before.kind.startswith("l"):
        return f"points to {before.content} → {after.content}"
    return f"other content ({before.bytes} bytes)"


def compare(before: Mapping[str, Leaf], after: Mapping[str, Leaf]) -> list[Change]:
    """The differences, sorted by path; empty if the trees are the same."""
    paths = sorted(before.keys() | after.keys())
    return [Change(path, before.get(path), after.get(path)) for path in paths if before.get(path) != after.get(path)]
