"""Whether another user of this computer could run a program: by the modes of every directory and link on its way.

The project's daemons run as its owner; package-app perhaps as somebody else, with a Python in a closed home.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

READ, RUN = 0o4, 0o1
_LINKS = 40


def closed_to(user: int, places: Iterable[Path]) -> Path | None:
    """The first of ``places``, or of what lies on the way there, that the user of this number cannot use; else None.

    A directory has to be entered and listed, a file read, and run if anybody may run it. ACLs are not looked at.
    """
    groups = _groups(user)
    for place in places:
        for path, is_last in _way(place):
            facts = path.stat()
            wanted = RUN if stat.S_ISDIR(facts.st_mode) or facts.st_mode & 0o111 else 0
            wanted |= READ if is_last else 0
            if user and _mode(facts, user, groups) & wanted != wanted:
                return path
    return None


def _mode(facts: os.stat_result, user: int, groups: frozenset[int]) -> int:
    """What this user may do: one of the three digits counts, even if another gives more."""
    if facts.st_uid == user:
        return facts.st_mode >> 6
    return facts.st_mode >> 3 if facts.st_gid in groups else facts.st_mode


def _groups(user: int) -> frozenset[int]:
    try:
        entry = pwd.getpwuid(user)
    except KeyError:
        return frozenset()
    return frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid))


def _way(place: Path) -> Iterator[tuple[Path, bool]]:
    """Every directory that is entered on the way to ``place``, through its links, and at last what is there."""
    path = place.absolute()
    for _ in range(_LINKS):
        for index, part in enumerate((*reversed(path.parents), path)):
            if part.is_symlink():
                target = os.path.normpath(part.parent / part.readlink())
                path = Path(target, *path.parts[index + 1 :])
                break
            yield part, part == path
        else:
            return
