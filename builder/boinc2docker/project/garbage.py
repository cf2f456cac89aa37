"""Tidying a project's staged files: what no live work unit names, and nobody has used for a while, goes.

``no_delete`` keeps BOINC's file_deleter from files that jobs share, so nobody else removes them. A submitter marks each
file it will name by touching its ``.md5`` (``staging``), and holds a lock until its work units are there. Here all that
hold it are waited for first; then the marks are read, then the database, and the marks again, with submitters locked
out, right before a file is removed. So a file is either seen in a work unit, or marked since, or unused.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from boinc2docker import console
from boinc2docker.atomic import explain
from boinc2docker.digest import CHUNK, Digest
from boinc2docker.project.database import Database
from boinc2docker.project.project import Project
from boinc2docker.project.staged_name import Md5, digest_of, kind_of, md5_path, names_in, read_md5
from boinc2docker.project.staging import PART_PREFIX, set_right, tidying

GRACE = 86400
"""Seconds for which an unused file is kept."""
_LAG = 1.0
"""Seconds by which a file's time may be behind this clock."""
_TOGETHER = 200
_LIVE = (0, 1)
"""``file_delete_state`` of work units whose files hosts may still ask for; 2 and 3 are after the file_deleter."""


@dataclass(frozen=True)
class Staged:
    """A staged file: its path, bytes, and seconds since a submitter used it."""

    path: Path
    bytes: int
    age: float

    @property
    def kind(self) -> str:
        """``layer``, ``config``, ``app``, ``vbox``, ``input``, or ``partial``: left by a submitter that died."""
        return kind_of(self.path.name) or "partial"


@dataclass(frozen=True)
class Survey:
    """Staged files and the names of those that live work units need."""

    files: tuple[Staged, ...]
    live: frozenset[str]

    def unused(self, grace: float) -> list[Staged]:
        """What may go."""
        return [one for one in self.files if one.path.name not in self.live and one.age > grace]


def survey(project: Project) -> Survey:
    """Looks at the files first and then into the database, where what is used meanwhile appears. Raises HostError."""
    try:
        files = tuple(_staged(project, time.time()))
    except OSError as error:
        raise explain(error, f"look through {project.download}") from error
    names = {one.path.name for one in files}
    return Survey(files, frozenset(_live(project, names)))


def _staged(project: Project, now: float) -> Iterator[Staged]:
    yield from _in(project.download, now, named=project.fanout == 0)
    for number in range(project.fanout):
        yield from _in(project.download / f"{number:x}", now, named=True)


def _in(where: Path, now: float, *, named: bool) -> Iterator[Staged]:
    try:
        paths = list(where.iterdir())
    except FileNotFoundError:
        return
    for path in paths:
        if path.name.startswith(PART_PREFIX) or (named and kind_of(path.name)):
            with contextlib.suppress(FileNotFoundError):
                yield Staged(path, path.stat().st_size, now - _used(path))


def _used(path: Path) -> float:
    """When it was marked as used last. Raises FileNotFoundError if it is gone."""
    try:
        return md5_path(path).stat().st_mtime
    except FileNotFoundError:
        facts = path.stat()
        return max(facts.st_mtime, facts.st_ctime)  # being staged just now, or left half staged


def _live(project: Project, names: set[str]) -> Iterator[str]:
    """Those of ``names`` that live work units have in their XML."""
    last = 0
    with Database(project.database) as database, console.progress("reading work units", None, unit="jobs") as advance:
        while True:
            rows = database.rows(
                "select id, xml_doc from workunit where id > %s and file_delete_state in %s order by id limit %s",
                last,
                _LIVE,
                _TOGETHER,
            )
            if not rows:
                return
            for identifier, xml in rows:
                last = identifier
                document = xml.encode() if isinstance(xml, str) else xml or b""
                yield from names & names_in(document)
            advance(len(rows))


def collect(project: Project, *, grace: float = GRACE, dry_run: bool = False) -> list[Staged]:
    """Removes what is unused for ``grace`` seconds and returns it. Waits for submitters. Raises HostError."""
    if dry_run:
        return survey(project).unused(grace)
    with tidying(project):  # who marked files before this has made its work units, or is dead
        until = time.time() - max(grace, _LAG)
    unused = survey(project).unused(grace)
    if not unused:
        return []
    with tidying(project):
        try:
            return [one for one in unused if _remove(one.path, until)]
        except OSError as error:
            raise explain(error, f"remove {error.filename or 'a staged file'}") from error


def _remove(path: Path, until: float) -> bool:
    """Removes a file unless used after ``until``; the ``.md5`` goes first, without which nobody takes it for staged."""
    try:
        if _used(path) > until:
            return False
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
            return True
        for one in (md5_path(path), path.with_name(f"{path.name}.gz"), path):
            one.unlink(missing_ok=True)
    except FileNotFoundError:
        return False
    return True


@dataclass(frozen=True)
class Repaired:
    """A file that was wrong: set aside, or only its ``.md5`` made anew; whether live work units need it."""

    path: Path
    set_aside: bool
    needed: bool


def repair(project: Project, found: Survey, bad: Iterable[Staged]) -> list[Repaired]:
    """Makes the ``.md5`` of a right content anew; other files are set aside, so that they can be staged again.

    Waits for submitters. Raises HostError.
    """
    done = []
    with tidying(project):
        for one in verify(bad):  # still
            try:
                right = Digest.of_file(one.path).hex == digest_of(one.path.name)
                set_right(one.path, content=right)
            except OSError as error:
                raise explain(error, f"repair {one.path}") from error
            done.append(Repaired(one.path, not right, one.path.name in found.live))
    return done


def verify(files: Iterable[Staged]) -> Iterator[Staged]:
    """Those whose content is not what their name and their ``.md5`` say. Raises HostError."""
    for one in files:
        digest = digest_of(one.path.name)
        if digest is None:
            continue
        try:
            right = _is_right(one.path, digest)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise explain(error, f"read {one.path}") from error
        if not right:
            yield one


def _is_right(path: Path, name: str) -> bool:
    sha, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    size = 0
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK):
            sha.update(piece)
            md5.update(piece)
            size += len(piece)
    if sha.hexdigest() != name:
        return False
    try:
        return read_md5(path) == Md5(md5.hexdigest(), size)
    except FileNotFoundError:
        return True  # being staged just now, or left so: whoever stages it again makes one
