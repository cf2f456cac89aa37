"""The container agent's bundles in the cache, one for each architecture, made when they are asked for."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from boinc2docker import __version__, console, leftovers, places
from boinc2docker.base import lock as locks
from boinc2docker.base.assembly import DebianBase
from boinc2docker.base.debian import bundle, toolbox
from boinc2docker.base.debian.tree import Spool
from boinc2docker.base.obtain import Sources
from boinc2docker.digest import Digest
from boinc2docker.errors import UsageError

ARCHITECTURES = ("amd64", "arm64")
"""Debian's names; docker_wrapper exists for both."""
_CODE = ("boinc2docker/base/debian/bundle.py", "boinc2docker/base/debian/package.py")


@dataclass(frozen=True)
class Bundles:
    """The bundles that ``sources`` make. ``locked`` changes no lock."""

    sources: Sources
    locked: bool = False

    def obtain(self, architecture: str) -> Path:
        """The bundle as a ``.tar.gz`` in the cache. Equal locks and scripts give equal bytes. Raises BuilderErrors."""
        if architecture not in ARCHITECTURES:
            raise UsageError("bad-architecture", f"expected {' or '.join(ARCHITECTURES)}, found {architecture[:40]!r}")
        base = self.packages(architecture)
        lock = base.current_lock(locked=self.locked)
        with self.sources.cache.locked("agent-bundle"):
            key = self._key(lock)
            return self._recall(key) or self._make(key, base, lock)

    def packages(self, architecture: str) -> DebianBase:
        """The package list and the lock of an architecture's bundle, and the archive they come from."""
        return self.sources.packages(f"container/{architecture}")

    def _scripts(self) -> bundle.Scripts:
        guest = self.sources.guest
        return bundle.Scripts(guest / "container", guest / "overlay" / bundle.HOME / "lib")

    def _key(self, lock: locks.Lock) -> Digest:
        inputs = {
            "lock": Digest.of(locks.render(lock).encode()).hex,
            "scripts": dict(self._digests()),
            "code": [Digest.of_file(places.SOURCE / path).hex for path in _CODE],
            "version": __version__,
        }
        return Digest.of(json.dumps(inputs, sort_keys=True).encode())

    def _digests(self) -> Iterator[tuple[str, str]]:
        for name, content in bundle.own_files(self._scripts()):
            yield name, Digest.of(content).hex

    def _recall(self, key: Digest) -> Path | None:
        note = self.sources.cache.recall("agent-bundle", key.hex)
        return self.sources.cache.look_up(Digest.parse(str(note.get("sha256")))) if note else None

    def _make(self, key: Digest, base: DebianBase, lock: locks.Lock) -> Path:
        tools = self.packages("amd64")  # what packs it runs here, whatever the bundle is for
        tool_lock = lock if lock.architecture == "amd64" else tools.current_lock(locked=self.locked)
        _, debs = base.packages(lock, locked=self.locked)
        _, tool_debs = tools.packages(tool_lock, locked=self.locked)
        identity = json.dumps({"version": __version__, "base": {"name": "container"}}, indent=2, sort_keys=True)
        with (
            console.step(f"making the container agent's bundle for {lock.architecture}"),
            leftovers.scratch() as work,
            tempfile.TemporaryFile() as stream,
        ):
            spool = Spool(stream)
            chosen = sorted((item.name, path) for item, path in tool_debs.items() if "tools" in item.sections)
            box = toolbox.unpack(chosen, work / "tools", spool, probe="usr/bin/gzip")
            tree = bundle.build(debs, self._scripts(), f"{identity}\n".encode(), lock.architecture, spool)
            packed = box.run("usr/bin/gzip", "-9n", stdin=bundle.archive(tree, spool, epoch=lock.epoch))
            target = work / "bundle"
            target.write_bytes(packed)
            digest = Digest.of(packed)
            path = self.sources.cache.admit(target, digest, "the container agent's bundle")
        self.sources.cache.record("agent-bundle", key.hex, {"sha256": digest.hex})
        return path
