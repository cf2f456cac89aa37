"""What the cache keeps, and what goes."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pytest_httpserver import HTTPServer

from boinc2docker.digest import Digest
from boinc2docker.fetch import Downloader, Wanted
from boinc2docker.fetch.cache import KEPT, PARTIAL_KEPT, Cache


def put(cache: Cache, content: bytes) -> Path:
    arrived = cache.partial(Digest.of(content).hex)
    arrived.parent.mkdir(parents=True, exist_ok=True)
    arrived.write_bytes(content)
    return cache.admit(arrived, Digest.of(content), "a file")


def grow_old(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def test_what_nobody_uses_goes(cache: Cache) -> None:
    unused, used, marked, young, read = (put(cache, content) for content in (b"1", b"2", b"3", b"4", b"8"))
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
    os.utime(read, (time.time(), time.time() - KEPT - 60))
    for since in (None, 60, -60, KEPT + 60):
        if since is not None:
            grow_old(cache.root / "pruned", since)
        cache.prune()
        assert unused.exists(), "after a first look everything has a day to be used"
    grow_old(cache.root / "pruned", 86400 + 60)
    with unused.open("rb") as reader, cache.locked(mine.name):
        cache.prune()
        assert reader.read() == b"1"
    assert set((cache.root / "sha256").iterdir()) == {used, marked, young, read, foreign}
    assert set((cache.root / "partial").iterdir()) == {mine, fresh, other}


def test_what_came_over_the_network_makes_room(cache: Cache, httpserver: HTTPServer, tmp_path: Path) -> None:
    """A build without a network removes nothing: it could not fetch it again."""
    unused = put(cache, b"1")
    cache.prune()
    grow_old(unused, KEPT + 60)
    grow_old(cache.root / "pruned", 86400 + 60)
    here = tmp_path / "here"
    here.write_bytes(b"2")
    downloader = Downloader(cache)
    downloader.fetch(Wanted("2", (here.as_uri(),), Digest.of(b"2")))
    downloader.fetch(Wanted("2", (httpserver.url_for("/2"),), Digest.of(b"2")))
    assert unused.exists()
    httpserver.expect_request("/3").respond_with_data(b"3")
    downloader.fetch(Wanted("3", (httpserver.url_for("/3"),), Digest.of(b"3")))
    assert not unused.exists()
