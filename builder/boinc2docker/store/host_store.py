"""Repairing and tidying a host's image store beside machines that use it.

The same rules as theirs (guest/overlay, lib/store.sh, lock.sh, budget.sh): names change by rename within the store, a
layer is taken away before one looks whether anybody needs it and put back if so, and a verified layer is never
destroyed by a repair. Locks and downloads of machines are left alone for a day.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from boinc2docker import console
from boinc2docker.atomic import explain
from boinc2docker.console import Advance
from boinc2docker.digest import CHUNK
from boinc2docker.store.store_survey import OPEN_PLAINLY, Item, Survey, marked_now, survey

DAY = 86400
BUDGET = 10_000_000_000
"""Bytes that a store may hold unless its project says otherwise; the guest's default."""


@dataclass(frozen=True)
class Removal:
    """Something to be removed: which directory of the store, its name there, bytes it takes, and the reason."""

    kind: str
    name: str
    bytes: int
    why: str


@dataclass(frozen=True)
class Verified:
    """What ``verify`` found: layers and bytes that are right, and names that were set aside."""

    layers: int
    bytes: int
    bad: tuple[str, ...]


def plan(found: Survey, budget: int, *, day: float = DAY) -> list[Removal]:
    """What to remove, in order, so that ``budget`` bytes are kept. Pure.

    Always removes what is older than a day and belongs to nobody. While the store is still too large, removes corrupt
    layers, abandoned downloads, and then layers, least recently used first. Never removes a layer that a machine uses.
    """
    locked = {item.hex for item in found.locks if item.age <= day}
    removals = [Removal("locks", item.name, 0, "stale") for item in found.locks if item.age > day]
    removals += [Removal("used", item.name, 0, "stale") for item in found.old_marks if item.age > day]
    free = [item for item in found.partial if item.hex not in locked and item.hex not in found.wanted]
    removals += [Removal("partial", item.name, item.bytes, "stale") for item in free if item.age > day]
    removals += [Removal("corrupt", item.name, item.bytes, "old") for item in found.corrupt if item.age > day]
    left = found.bytes - sum(one.bytes for one in removals)
    for candidate in _over_budget(found, free, day):
        if left <= budget:
            break
        removals.append(candidate)
        left -= candidate.bytes
    return removals


def _over_budget(found: Survey, free: list[Item], day: float) -> list[Removal]:
    why = "over the budget"
    layers = sorted((one for one in found.layers if not one.in_use), key=lambda one: (one.tick, one.item.name))
    return [
        *(Removal("corrupt", item.name, item.bytes, why) for item in found.corrupt if item.age <= day),
        *(Removal("partial", item.name, item.bytes, why) for item in free if item.age <= day),
        *(Removal("layers", one.item.name, one.item.bytes, why) for one in layers),
    ]


def collect(root: Path, budget: int, *, dry_run: bool = False) -> list[Removal]:
    """Does what ``plan`` says and returns what is gone. Raises HostError for a missing permission."""
    wanted = plan(survey(root, time.time()), budget)
    if dry_run:
        return wanted
    try:
        return [one for one in wanted if _remove(root, one)]
    except OSError as error:
        raise explain(error, f"tidy the store {root}") from error


def _remove(root: Path, one: Removal) -> bool:
    """True if it is gone now because of us."""
    if one.kind == "layers":
        return _evict(root, one.name)
    if one.kind == "locks":
        # A machine that has just come back must not find half a lock: away first, as machines do it.
        away = root / "locks" / f"{one.name.partition('.')[0]}.{_name()}"
        with contextlib.suppress(FileNotFoundError):
            (root / "locks" / one.name).rename(away)
            _destroy(away)
            return True
        return False
    return _destroy(root / one.kind / one.name)


def _evict(root: Path, name: str) -> bool:
    layer, away = root / "layers" / "sha256" / name, root / "partial" / f"{name}.{_name()}"
    try:
        layer.rename(away)
    except FileNotFoundError:
        return False
    if name in marked_now(root, time.time()):
        away.rename(layer)
        return False
    _destroy(away)
    _destroy(root / "used" / name)
    return True


def _destroy(path: Path) -> bool:
    try:
        if stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        return False
    return True


def _name() -> str:
    """Who we are in the store: a random name as machines have."""
    return str(uuid.uuid4())


def verify(root: Path) -> Verified:
    """Hashes every layer; what is not what its name says is moved to ``corrupt/``, where gc finds it a day later."""
    found = survey(root, time.time())
    bad = [item.name for item in found.foreign if _set_aside(root, item.name, None)]
    good = size = 0
    with console.progress("verifying the store", sum(one.item.bytes for one in found.layers)) as advance:
        for one in found.layers:
            name = one.item.name
            right = _is_right(root / "layers" / "sha256" / name, name, advance)
            if right is None:
                continue  # evicted in the meantime
            if right:
                good, size = good + 1, size + one.item.bytes
            elif _set_aside(root, name, name):
                bad.append(name)
    return Verified(good, size, tuple(bad))


def _no_advance(_amount: int) -> None:
    """Not counted."""


def _is_right(path: Path, name: str, advance: Advance) -> bool | None:
    """Does the file's content have the digest ``name``? None if there is no file."""
    state = hashlib.sha256()
    try:
        with os.fdopen(os.open(path, OPEN_PLAINLY), "rb") as stream:
            while piece := stream.read(CHUNK):
                state.update(piece)
                advance(len(piece))
    except FileNotFoundError:
        return None
    except OSError:
        return False  # a link, a directory, or a disk that cannot read it
    return state.hexdigest() == name


def _set_aside(root: Path, name: str, expected: str | None) -> bool:
    """Moves a bad layer to ``corrupt/``.

    If a machine has just put a layer there that has the digest ``expected``, it goes back: False then.
    """
    layer, aside = root / "layers" / "sha256" / name, root / "corrupt" / f"{name}.{int(time.time())}"
    try:
        aside.parent.mkdir(exist_ok=True)
        if aside.is_dir() and not aside.is_symlink():
            shutil.rmtree(aside)
        layer.rename(aside)
        if expected is not None and _is_right(aside, expected, _no_advance):
            aside.rename(layer)
            return False
    except FileNotFoundError:
        return False
    except OSError as error:
        raise explain(error, f"set {layer} aside") from error
    return True
