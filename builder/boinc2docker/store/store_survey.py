"""What lies in a host's image store, seen from the host. Reads only; the layout is the guest's (lib/store.sh there).

Machines write here, and what runs in them may be anybody's: nothing is followed, nothing is believed, and any name or
file may vanish while we look. The files' times are the host's own: it is the host that writes for its machines.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from boinc2docker.atomic import explain
from boinc2docker.errors import InputError

DIRECTORIES = ("layers", "layers/sha256", "partial", "locks", "used", "corrupt")
LIVES_SECONDS = 600
"""A machine's mark that was written within this time protects its layers. They write theirs every few seconds."""
_HEX = re.compile(r"[0-9a-f]{64}")
_MARK = re.compile(r"([0-9a-f]{64}) (\d{1,18})")
_MOST_READ = 1 << 16
OPEN_PLAINLY = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""No link is followed and no pipe waited for."""


@dataclass(frozen=True)
class Item:
    """An entry of one of the store's directories: bytes (of a tree for directories), age in seconds, what it is."""

    name: str
    bytes: int
    age: float
    is_file: bool

    @property
    def hex(self) -> str:
        """The layer it belongs to, ``""`` if its name says none."""
        first = self.name.partition(".")[0]
        return first if _HEX.fullmatch(first) else ""


@dataclass(frozen=True)
class StoredLayer:
    """A layer; ``images`` used it, the last one first; ``tick`` is the store's own time of its last use, 0: never.

    ``age`` is seconds since then (since it came, if it was never used).
    """

    item: Item
    tick: int
    images: tuple[str, ...]
    age: float
    in_use: bool


@dataclass(frozen=True)
class Survey:
    """A store at one moment. ``foreign`` lies among the layers and is none."""

    root: Path
    layers: tuple[StoredLayer, ...]
    foreign: tuple[Item, ...]
    partial: tuple[Item, ...]
    corrupt: tuple[Item, ...]
    locks: tuple[Item, ...]
    machines: int
    """Machines that use it now."""
    wanted: frozenset[str]
    """Layers they use or are going to fetch."""
    old_marks: tuple[Item, ...]

    @property
    def bytes(self) -> int:
        """Everything that takes room."""
        items = (*self.foreign, *self.partial, *self.corrupt)
        return sum(one.item.bytes for one in self.layers) + sum(item.bytes for item in items)

    @property
    def images(self) -> dict[str, int]:
        """Names of images and how many of the layers they use."""
        counted: dict[str, int] = {}
        for layer in self.layers:
            for name in layer.images:
                counted[name] = counted.get(name, 0) + 1
        return counted


def find_store(path: Path) -> Path:
    """The store's directory: ``path`` itself, or below a ``scratch`` directory. Raises InputError if there is none."""
    for root in (path, path / "v1", path / "boinc2docker" / "v1", path / "scratch" / "boinc2docker" / "v1"):
        if (root / "layers" / "sha256").is_dir():
            _require_own(root)
            return root
    if path.is_dir():
        found = f"no layers are stored in {path}: there is no boinc2docker/v1/layers/sha256 below it"
    else:
        found = f"expected a host's scratch directory, but {path} is not a directory"
    raise InputError(
        "no-store",
        found,
        hint="only images from a registry are stored: the layers of an archive travel with each job. "
        "A host's scratch directory is projects/<PROJECT>/scratch of its BOINC client, or what `run --scratch` names",
    )


def _require_own(root: Path) -> None:
    """A machine could put links in place of directories, and have us tidy up somewhere else."""
    for name in DIRECTORIES:
        if (root / name).is_symlink() or ((root / name).exists() and not (root / name).is_dir()):
            raise InputError("bad-store", f"{root / name} is not a directory of its own", hint="remove it")
    version = read_text(root / "format").strip()
    if version not in ("", "1"):
        raise InputError("other-store", f"{root} is a store of another version ({version[:20]!a})")


def survey(root: Path, now: float) -> Survey:
    """Looks at the store ``root`` (from ``find_store``); ``now`` is the host's time. Raises HostError, InputError."""
    _require_own(root)
    try:
        marks = [item for item in items(root / "used", now) if item.name.startswith("running.")]
        living = [item for item in marks if item.is_file and abs(item.age) < LIVES_SECONDS]
        wanted = frozenset(name for item in living for name in _marked(root / "used" / item.name))
        found = list(items(root / "layers" / "sha256", now))
        good = [item for item in found if item.is_file and _HEX.fullmatch(item.name)]
        return Survey(
            root=root,
            layers=tuple(_layer(root, item, wanted, now) for item in good),
            foreign=tuple(item for item in found if item not in good and not item.name.startswith("probe.")),
            partial=tuple(item for item in items(root / "partial", now) if not item.name.startswith("probe.")),
            corrupt=tuple(items(root / "corrupt", now)),
            locks=tuple(items(root / "locks", now)),
            machines=sum(1 for item in living if not item.name.endswith(".new")),
            wanted=wanted,
            old_marks=tuple(item for item in marks if item not in living),
        )
    except OSError as error:
        raise explain(error, f"read the store {root}") from error


def items(directory: Path, now: float) -> Iterator[Item]:
    """What is in a directory, by name; nothing if it is not there."""
    try:
        names = sorted(path.name for path in directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        try:
            facts = (directory / name).lstat()
        except FileNotFoundError:
            continue
        size, changed = facts.st_size, facts.st_mtime
        if stat.S_ISDIR(facts.st_mode):
            size, changed = _tree(directory / name, changed)
        yield Item(name, size, now - changed, stat.S_ISREG(facts.st_mode))


def _tree(directory: Path, changed: float) -> tuple[int, float]:
    """Bytes in a tree and when anything in it changed last."""
    size = 0
    for parent, _, names in os.walk(directory):
        for path in (Path(parent), *(Path(parent) / name for name in names)):
            try:
                facts = path.lstat()
            except OSError:
                continue
            size += facts.st_size if stat.S_ISREG(facts.st_mode) else 0
            changed = max(changed, facts.st_mtime)
    return size, changed


def marked_now(root: Path, now: float) -> frozenset[str]:
    """Layers that some machine uses or is going to fetch, at this moment."""
    living = (item for item in items(root / "used", now) if item.is_file and abs(item.age) < LIVES_SECONDS)
    return frozenset(
        name for item in living if item.name.startswith("running.") for name in _marked(root / "used" / item.name)
    )


def _marked(path: Path) -> Iterator[str]:
    for line in read_text(path).splitlines():
        if found := _MARK.fullmatch(line):
            yield found[1]


def _layer(root: Path, item: Item, wanted: frozenset[str], now: float) -> StoredLayer:
    lines = read_text(root / "used" / item.name).splitlines()
    tick = re.fullmatch(r"tick (\d{1,15})", lines[0]) if lines else None
    names = tuple(line for line in lines[1:] if re.fullmatch(r"[!-~]{1,200}", line))
    age = item.age
    try:
        if tick:
            age = now - (root / "used" / item.name).lstat().st_mtime
    except OSError:
        pass
    return StoredLayer(item, int(tick[1]) if tick else 0, names, age, item.name in wanted)


def read_text(path: Path) -> str:
    """The beginning of a small file, ``""`` for anything that is not a readable plain file."""
    try:
        descriptor = os.open(path, OPEN_PLAINLY)
    except OSError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        return os.read(descriptor, _MOST_READ).decode("ascii", errors="replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)
