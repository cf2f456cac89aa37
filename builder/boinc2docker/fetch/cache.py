"""The download cache: files by the SHA-256 of their content.

```
sha256/<hex>       complete, and verified against their names
partial/<key>      bytes received but not verified; <key>.json says where they came from
locks/<key>.lock   one process at a time works on an entry
records/<kind>/    small JSON notes: which digest a URL had, which ISO was assembled from which inputs
pruned             empty; its modification time is that of the last prune
```

A cached file is hashed again at every use: disks rot, and tools touch files. Its modification time is that of its last
use. Each download also evicts entries unused for ``KEPT``; nothing is evicted offline, where it could not be fetched
again.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from boinc2docker import atomic, console, places
from boinc2docker.digest import Digest, require

_DAY = 86400
KEPT = 90 * _DAY
"""Seconds to keep an unused file."""
PARTIAL_KEPT = 7 * _DAY
"""Seconds to keep unverified bytes."""
_ENTRY = re.compile(r"[0-9a-f]{64}")
_PARTIAL = re.compile(r"((?:url-)?[0-9a-f]{64})(?:\.json)?")


@dataclass(frozen=True)
class Cache:
    """A cache directory, which need not exist yet."""

    root: Path

    @classmethod
    def of_user(cls) -> Cache:
        """``$BOINC2DOCKER_CACHE``, else the platform's cache directory of this user."""
        return cls(places.cache())

    def path(self, digest: Digest) -> Path:
        """Where the file with this digest would be. ``look_up`` returns it verified."""
        return self.root / "sha256" / digest.hex

    def partial(self, key: str) -> Path:
        """Where an entry's unverified bytes are collected."""
        return self.root / "partial" / key

    @contextlib.contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Holds the lock of an entry, alone among processes and threads. The lock of a dead process is free."""
        path = self.root / "locks" / f"{key}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(path)
            try:
                lock.acquire(timeout=5)
            except filelock.Timeout:
                console.info(f"waiting for another process that uses {key[:12]} …")
                lock.acquire()
        except OSError as error:
            raise atomic.explain(error, f"use the cache {self.root}") from error
        try:
            yield
        finally:
            lock.release()

    def look_up(self, digest: Digest, size: int | None = None) -> Path | None:
        """The verified file, or None. A damaged file is removed with a warning."""
        path = self.path(digest)
        try:
            actual = path.stat().st_size
            self.mark_used([digest])
            if (size is None or actual == size) and Digest.of_file(path) == digest:
                return path
            console.warn(f"the cached file {digest.hex[:12]}… is damaged; it is removed")
            path.unlink(missing_ok=True)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise atomic.explain(error, f"read the cached file {path}") from error
        return None

    def admit(self, arrived: Path, digest: Digest, what: str) -> Path:
        """Hashes ``arrived``, which is on this cache's file system, and moves it under its digest.

        Raises VerificationError, and removes ``arrived``, if the digest differs.
        """
        actual = Digest.of_file(arrived)
        if actual != digest:
            arrived.unlink(missing_ok=True)
        require(digest, actual, what)
        target = self.path(digest)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            arrived.chmod(0o644)
            atomic.flush(arrived)
            arrived.replace(target)
            atomic.flush(target.parent)
        except OSError as error:
            raise atomic.explain(error, f"write {target}") from error
        self.mark_used([digest])
        return target

    def mark_used(self, digests: Iterable[Digest]) -> None:
        """Marks those of these files that are cached as used now."""
        for digest in digests:
            with contextlib.suppress(OSError):
                os.utime(self.path(digest))

    def prune(self) -> None:
        """Evicts unused entries, at most once a day; errors are ignored.

        Only files with this cache's names are removed, and no unverified bytes whose lock is held. A process that has a
        file open can still read it. If the last prune is missing, very old or in the future, a day passes before
        anything is evicted.
        """
        stamp = self.root / "pruned"
        with contextlib.suppress(OSError):
            since = _age(stamp) if stamp.exists() else KEPT
            if 0 <= since < _DAY:
                return
            stamp.touch()
            if not 0 <= since < KEPT:
                return
            for path in (self.root / "sha256").iterdir():
                if _ENTRY.fullmatch(path.name) and _age(path) > KEPT:
                    path.unlink(missing_ok=True)
            for path in (self.root / "partial").iterdir():
                if (match := _PARTIAL.fullmatch(path.name)) and _age(path) > PARTIAL_KEPT:
                    lock = filelock.FileLock(self.root / "locks" / f"{match[1]}.lock")
                    with contextlib.suppress(filelock.Timeout), lock.acquire(timeout=0):
                        path.unlink(missing_ok=True)

    def record(self, kind: str, key: str, value: Mapping[str, Any]) -> None:
        """Writes a small JSON note."""
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        atomic.write_text(self.root / "records" / kind / f"{key}.json", text)

    def recall(self, kind: str, key: str) -> dict[str, Any] | None:
        """The note that ``record`` wrote; None if it is missing or damaged."""
        try:
            value = json.loads((self.root / "records" / kind / f"{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None


def _age(path: Path) -> float:
    """Seconds since the file was changed, marked as used, or read (by users who may not mark it)."""
    status = path.lstat()
    return time.time() - max(status.st_mtime, status.st_atime)
