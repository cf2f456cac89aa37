"""Threads and processes that want the same file, and one that is killed while it has the lock."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pytest_httpserver import HTTPServer

from boinc2docker.digest import Digest
from boinc2docker.fetch.cache import Cache
from boinc2docker.fetch.download import Downloader
from boinc2docker.fetch.transfer import Partial
from tests.equipment import answers
from tests.equipment.scripted_server import BODY, QUICK, Script, wanted


def test_ctrl_c_does_not_wait_for_a_silent_server(server: HTTPServer, cache: Cache, released: threading.Event) -> None:
    script = Script(server, "/a", answers.silent(released))
    process = fetching(script.url, cache)
    deadline = time.monotonic() + 20
    while not script.requests and time.monotonic() < deadline:
        time.sleep(0.02)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert time.monotonic() - began < 15
    assert b"KeyboardInterrupt" in errors
    assert not cache.path(Digest.of(BODY)).exists()


def test_threads_want_the_same_file_and_one_downloads(server: HTTPServer, cache: Cache) -> None:
    script = Script(server, "/a", answers.rest(BODY))
    with ThreadPoolExecutor(8) as pool:
        makers = [Downloader(cache, patience=QUICK) for _ in range(8)]
        paths = list(pool.map(lambda maker: maker.fetch(wanted(script.url)), makers))
    assert {path.read_bytes() for path in paths} == {BODY}
    assert len(script.requests) == 1


_FETCH = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background it is ignored
from pathlib import Path
from boinc2docker.fetch.cache import Cache
from boinc2docker.fetch.download import Downloader, Wanted
from boinc2docker.digest import Digest
url, digest, size, cache = sys.argv[1:]
print(Downloader(Cache(Path(cache))).fetch(Wanted("thing", (url,), Digest(digest), int(size))))
"""


def fetching(url: str, cache: Cache) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", _FETCH, url, Digest.of(BODY).hex, str(len(BODY)), str(cache.root)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_processes_want_the_same_file_and_one_downloads(server: HTTPServer, cache: Cache) -> None:
    script = Script(server, "/a", answers.rest(BODY))
    processes = [fetching(script.url, cache) for _ in range(3)]
    assert [process.communicate(timeout=60) and process.returncode for process in processes] == [0, 0, 0]
    assert len(script.requests) == 1
    assert cache.look_up(Digest.of(BODY)) is not None


def test_killed_process_frees_its_lock_and_its_bytes_are_used(
    server: HTTPServer, cache: Cache, downloader: Downloader, released: threading.Event
) -> None:
    def half(request: Any) -> Any:
        from werkzeug import Response

        def stream() -> Iterator[bytes]:
            yield BODY[:70_000]
            released.wait(30)

        return Response(stream(), headers={"Content-Length": str(len(BODY))}, direct_passthrough=True)

    script = Script(server, "/a", half, answers.rest(BODY))
    process = fetching(script.url, cache)
    partial = Partial(cache.partial(Digest.of(BODY).hex))
    deadline = time.monotonic() + 20
    while partial.size() < 60_000 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    kept = partial.size()
    assert 0 < kept < len(BODY)
    assert downloader.fetch(wanted(script.url)).read_bytes() == BODY
    assert script.ranges[-1] == f"bytes={kept}-"
