"""The download cache: files by the SHA-256 of their content.

```
sha256/<hex>       complete and verified; nothing gets here under a name it does not deserve
partial/<key>      bytes that arrived but are not verified, with <key>.json telling where they came from
locks/<key>.lock   one process at a time works on an entry
records/<kind>/    small JSON notes: which digest a URL had, which ISO was assembled from which inputs
pruned             empty; its time is when unused files were last looked for
```

A cached file is hashed again whenever it is used: disks rot, and users' tools touch files. Its time of modification is
that of its last use. What has not been used for ``KEPT`` goes when something else has come over the network; without
one it could not be fetched again.
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
import platformdirs

from boinc2docker import atomic, console
from boinc2docker.digest import Digest, require

ENVIRONMENT = "BOINC2DOCKER_CACHE"
_DAY = 86400
KEPT = 90 * _DAY
"""Seconds for which a file is kept that nobody uses."""
PARTIAL_KEPT = 7 * _DAY
"""The same for bytes that are not verified."""
_ENTRY = re.compile(r"[0-9a-f]{64}")
_PARTIAL = re.compile(r"((?:url-)?[0-9a-f]{64})(?:\.json)?")


@dataclass(frozen=True)
class Cache:
    """A cache directory; it need not exist yet."""

    root: Path

    @classmethod
    def of_user(cls) -> Cache:
        """``$BOINC2DOCKER_CACHE``, else the platform's cache directory of this user."""
        chosen = os.environ.get(ENVIRONMENT)
        return cls(Path(chosen) if chosen else Path(platformdirs.user_cache_dir("boinc2docker", appauthor=False)))

    def path(self, digest: Digest) -> Path:
        """Where the file with this digest lies, if it is there. Use ``look_up`` to use it."""
        return self.root / "sha256" / digest.hex

    def partial(self, key: str) -> Path:
        """Where the unverified bytes of an entry are gathered."""
        return self.root / "partial" / key

    @contextlib.contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """One holder at a time, over processes and threads. A dead holder's lock is free."""
        path = self.root / "locks" / f"{key}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(path)
            try:
                lock.acquire(timeout=5)
            except filelock.Timeout:
                console.info(f"waiting for another build that works on {key[:12]} …")
                lock.acquire()
        except OSError as error:
            raise atomic.explain(error, f"use the cache {self.root}") from error
        try:
            yield
        finally:
            lock.release()

    def look_up(self, digest: Digest, size: int | None = None) -> Path | None:
        """The verified file, or None. A file that is not what its name says is removed with a warning."""
        path = self.path(digest)
        try:
            found = path.stat().st_size
            self.mark_used([digest])
            if (size is None or found == size) and Digest.of_file(path) == digest:
                return path
            console.warn(f"the cached file {digest.hex[:12]}… is damaged; it is removed")
            path.unlink(missing_ok=True)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise atomic.explain(error, f"read the cached file {path}") from error
        return None

    def admit(self, arrived: Path, digest: Digest, what: str) -> Path:
        """Moves ``arrived`` (in this cache's file system) under its digest, after hashing it.

        Raises VerificationError for another content; ``arrived`` is gone then.
        """
        found = Digest.of_file(arrived)
        if found != digest:
            arrived.unlink(missing_ok=True)
        require(digest, found, what)
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
        """Keeps those of these files that are there from being taken for unused."""
        for one in digests:
            with contextlib.suppress(OSError):
                os.utime(self.path(one))

    def prune(self) -> None:
        """Removes what is unused, once a day, as far as it can; nothing but what this class has put there.

        Who has such a file open can read on. Unverified bytes are left to whoever holds their lock. After a first look,
        one long after the last, or one before it (a clock that jumped), everything has another day to be used.
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
        """Keeps a small JSON note."""
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        atomic.write_text(self.root / "records" / kind / f"{key}.json", text)

    def recall(self, kind: str, key: str) -> dict[str, Any] | None:
        """A note kept by ``record``; None if there is none or it is damaged."""
        try:
            value = json.loads((self.root / "records" / kind / f"{key}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None


def _age(path: Path) -> float:
    """Seconds since it was changed, marked as used, or read: others, who may not mark it, read it too."""
    found = path.lstat()
    return time.time() - max(found.st_mtime, found.st_atime)
