"""Files into a project's download directory, where clients fetch them: whole or not at all, each beside its ``.md5``.

Names are content-addressed, so an equal file that is there already is success. A file appears under its name by a hard
link that never replaces another, its ``.md5`` by a rename afterwards: killed at any point, a submitter leaves nothing
that another would stumble over, and two at once cannot disturb each other. BOINC ignores a ``.md5`` older than its file
(``tools/process_input_template.cpp``), which is why a staged file is never written or touched again; what is touched
when a file is used again is its ``.md5``, and its time is what ``store gc`` goes by.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from boinc2docker.atomic import explain, flush
from boinc2docker.digest import CHUNK, Digest
from boinc2docker.errors import BuilderError, InputError
from boinc2docker.locks import held
from boinc2docker.project.project import Project
from boinc2docker.project.staged_name import Md5, md5_path, read_md5

PART_PREFIX = ".b2d-"
"""How temporary files in the download directories begin. While nobody is ``submitting``, they are dead submitters'."""
LOCK = ".boinc2docker.lock"
_TOGETHER = 1000
_FLUSH_SINGLY = 16


@dataclass(frozen=True)
class ToStage:
    """A file to be staged. Its name stands for its content: the same name is the same bytes, for ever.

    A ``movable`` file is the project's to take, without a copy where that is possible. ``length`` is its bytes, where
    the caller knows them. ``digest`` is what a file of somebody else's had when it was named.
    """

    name: str
    content: bytes | Path
    movable: bool = False
    length: int | None = None
    digest: Digest | None = None

    @property
    def size(self) -> int:
        """Bytes of its content."""
        if self.length is not None:
            return self.length
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


def stage(project: Project, files: Iterable[ToStage], *, mend: bool = False) -> int:
    """Puts ``files`` where clients fetch them; returns how many bytes were not there before.

    What is staged is on the disk when this returns. Holds some hundred files at a time. With ``mend`` files that are
    there are read, and replaced where a disk has damaged them, by the bytes that their names stand for: unfinished jobs
    are helped too. Raises HostError for a full disk or a missing permission, InputError if another file has one of the
    names.
    """
    new = 0
    todo = iter(files)
    try:
        while some := list(itertools.islice(todo, _TOGETHER)):
            new += _stage_some(project, some, mend=mend)
    except OSError as error:
        raise explain(error, f"stage {error.filename or 'a file'} in {project.download}") from error
    return new


def is_staged(project: Project, name: str, size: int) -> bool:
    """Whether this file is there, complete, with its ``.md5``. Marks it as used if so."""
    path = project.download_path(name)
    if not _complete(path, size):
        return False
    _mark_used(path)
    return True


@contextlib.contextmanager
def submitting(project: Project) -> Iterator[None]:
    """Held from the first staged file to the last work unit: meanwhile nobody removes staged files."""
    with held(project.download / LOCK, shared=True):
        yield


@contextlib.contextmanager
def tidying(project: Project) -> Iterator[None]:
    """Held while staged files are removed; waits until nobody submits."""
    with held(project.download / LOCK, shared=False):
        yield


@dataclass(frozen=True)
class _Written:
    """A file that lies under a temporary name."""

    part: Path
    target: Path
    md5: str
    size: int
    mends: bool = False


def _stage_some(project: Project, files: Sequence[ToStage], *, mend: bool) -> int:
    written: list[_Written] = []
    try:
        for one in {file.name: file for file in files}.values():
            target = project.download_path(one.name)
            damaged = mend and _damaged(target, one)
            if not damaged and _present(target, one):
                continue
            _make_directory(project, target.parent)
            written.append(replace(_write(one, target), mends=damaged))
        _flush_all([one.part for one in written])
        new = sum(_appear(one) for one in written)
        _flush_all(_places(project, [one.target for one in written]))
        return new
    finally:
        for done in written:
            with contextlib.suppress(OSError):
                done.part.unlink(missing_ok=True)


def _damaged(target: Path, file: ToStage) -> bool:
    """Whether it is there with other bytes. A movable file that is gone was moved there in this run."""
    moved = file.movable and isinstance(file.content, Path) and not file.content.exists()
    return target.exists() and not moved and _md5(target) != _md5(file.content)


def _present(target: Path, file: ToStage) -> bool:
    """True if an equal file is there already; its ``.md5`` is made if that is missing. Raises InputError."""
    try:
        found = target.stat().st_size
    except FileNotFoundError:
        return False
    same = found == file.size
    if same and isinstance(file.content, bytes):
        same = target.read_bytes() == file.content
    elif same and not _complete(target, found):
        same = _md5(target) == _md5(file.content)
    if not same:
        raise InputError(
            "name-taken",
            f"{target} is there with other content; names of staged files are immutable",
            hint="a disk has failed, or somebody has changed it: `store verify PROJECT` sets damaged files aside",
        )
    if _complete(target, found):
        _mark_used(target)
    else:
        _write_md5(target, _md5(target), found)
    return True


def _write(file: ToStage, target: Path) -> _Written:
    """Brings a file's bytes under a temporary name beside ``target``."""
    descriptor, name = tempfile.mkstemp(prefix=PART_PREFIX, suffix=".part", dir=target.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as output:
            if file.movable and isinstance(file.content, Path) and _same_disk(file.content, target.parent):
                digest, size = _md5(file.content), file.size
                file.content.chmod(0o644)
                file.content.replace(part)
            else:
                digest, size = _copy(file, output)
        part.chmod(0o644)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return _Written(part, target, digest, size)


def _copy(file: ToStage, output: BinaryIO) -> tuple[str, int]:
    """Writes a content; its MD5 and size. Raises InputError if it is not what it was when it was named."""
    state, now, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    for piece in _pieces(file.content):
        state.update(piece)
        if file.digest:
            now.update(piece)
        size += output.write(piece)
    if file.digest and now.hexdigest() != file.digest.hex:
        shown = file.content if isinstance(file.content, Path) else file.name
        raise InputError("changed-meanwhile", f"{shown} was changed while it was staged", hint="run it again")
    return state.hexdigest(), size


def _pieces(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as source:
        while piece := source.read(CHUNK):
            yield piece


def _appear(one: _Written) -> int:
    """Gives a written file its name and its ``.md5``; 0 if another submitter was faster, else its bytes."""
    if one.mends:
        md5_path(one.target).unlink(missing_ok=True)
        one.part.replace(one.target)
        _write_md5(one.target, one.md5, one.size)
        return one.size
    try:
        os.link(one.part, one.target)
        new = one.size
    except FileExistsError:
        new = 0
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        one.part.replace(one.target)  # a file system without hard links
        new = one.size
    if new or not _complete(one.target, one.size):
        _write_md5(one.target, one.md5, one.size)
    return new


def set_right(path: Path, *, content: bool) -> None:
    """Takes a damaged file out of sight of BOINC and of submitters, so that it can be staged again; it keeps its bytes
    under a temporary name. With a right ``content`` only its ``.md5`` is made anew. Raises OSError."""
    if content:
        _write_md5(path, _md5(path), path.stat().st_size)
        return
    md5_path(path).unlink(missing_ok=True)
    path.replace(path.with_name(f"{PART_PREFIX}bad-{path.name}"))


def _write_md5(target: Path, digest: str, size: int) -> None:
    part = target.with_name(f"{PART_PREFIX}{os.getpid()}-{os.urandom(6).hex()}.part")
    try:
        part.write_bytes(Md5(digest, size).render())
        part.chmod(0o644)
        part.replace(md5_path(target))
    finally:
        part.unlink(missing_ok=True)


def _complete(path: Path, size: int) -> bool:
    """Whether a file of this size is there with a ``.md5`` that BOINC will believe."""
    try:
        facts, beside, said = path.stat(), md5_path(path).stat(), read_md5(path)
    except OSError:
        return False
    return said is not None and facts.st_size == size == said.size and int(beside.st_mtime) >= facts.st_mtime // 1


def _mark_used(path: Path) -> None:
    # Another user's keeps the time it has; one that is gone is being replaced, and will be as new.
    with contextlib.suppress(PermissionError, FileNotFoundError):
        os.utime(md5_path(path))


def _md5(content: bytes | Path) -> str:
    state = hashlib.md5(usedforsecurity=False)
    for piece in _pieces(content):
        state.update(piece)
    return state.hexdigest()


def _same_disk(path: Path, directory: Path) -> bool:
    return path.stat().st_dev == directory.stat().st_dev


def _make_directory(project: Project, path: Path) -> None:
    """A fan-out directory, open to the same people as the download directory."""
    with contextlib.suppress(FileExistsError):
        path.mkdir()
        with contextlib.suppress(OSError):
            path.chmod(project.download.stat().st_mode & 0o7777)


def _flush_all(paths: Sequence[Path]) -> None:
    """Brings files to the disk; many small ones all at once. One that is gone is somebody else's to replace: while
    another submitter mends a file, it has no ``.md5`` for a moment."""
    if len(paths) > _FLUSH_SINGLY:
        os.sync()
        return
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            flush(path)


def _places(project: Project, targets: Sequence[Path]) -> list[Path]:
    """What has to be on the disk for files to be there after a power cut, beside their contents."""
    if not targets:
        return []
    return [*map(md5_path, targets), *dict.fromkeys((*(one.parent for one in targets), project.download))]


def require_ready(project: Project) -> None:
    """Raises BuilderError unless files can be staged by this user."""
    if not project.download.is_dir():
        raise InputError("no-download", f"the project's download directory {project.download} is not there")
    if not os.access(project.download, os.W_OK | os.X_OK):
        raise _not_writable(project.download)
    with submitting(project):
        pass


def _not_writable(path: Path) -> BuilderError:
    return explain(PermissionError(errno.EACCES, os.strerror(errno.EACCES)), f"write into {path}")
