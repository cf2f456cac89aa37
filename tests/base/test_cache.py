"""What the cache keeps, and what goes."""

from __future__ import annotations

import os
import time
from pathlib import Path

from builder.digest import Digest
from builder.fetch.cache import KEPT, PARTIAL_KEPT, Cache


def put(cache: Cache, content: bytes) -> Path:
    arrived = cache.partial(Digest.of(content).hex)
    arrived.parent.mkdir(parents=True, exist_ok=True)
    arrived.write_bytes(content)
    return cache.admit(arrived, Digest.of(content), "a file")


def grow_old(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def test_what_nobody_uses_goes(cache: Cache) -> None:
    unused, used, marked, young = (put(cache, content) for content in (b"1", b"2", b"3", b"4"))
    foreign = unused.with_name("notes.txt")
    foreign.touch()
    left, mine, fresh = (cache.partial(Digest.of(content).hex) for content in (b"5", b"6", b"7"))
    note, url = left.with_name(f"{left.name}.json"), cache.partial(f"url-{left.name}")
    other = left.with_name("other.json")
    for path in (left, mine, fresh, note, url, other):
        path.touch()
    for path in (unused, used, marked, foreign):
        grow_old(path, KEPT + 60)
    for path in (left, mine, note, url, other):
        grow_old(path, PARTIAL_KEPT + 60)
    grow_old(young, KEPT - 60)
    grow_old(fresh, PARTIAL_KEPT - 60)
    assert cache.look_up(Digest.of(b"2")) == used
    cache.mark_used([Digest.of(b"3"), Digest.of(b"not there")])
    put(cache, b"8")
    assert unused.exists(), "not more than once a day"
    grow_old(cache.root / "pruned", 86400 + 60)
    late = cache.partial(Digest.of(b"9").hex)
    late.write_bytes(b"9")
    grow_old(late, KEPT + 60)
    with unused.open("rb") as reader, cache.locked(mine.name):
        new = cache.admit(late, Digest.of(b"9"), "bytes that arrived long ago")
        assert reader.read() == b"1"
    kept = {used, marked, young, foreign, cache.path(Digest.of(b"8")), new}
    assert set((cache.root / "sha256").iterdir()) == kept
    assert set((cache.root / "partial").iterdir()) == {mine, fresh, other}
