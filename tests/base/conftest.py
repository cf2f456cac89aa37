"""Caches, impatient downloaders and a scripted HTTP server for the tests of boinc2docker.base."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from boinc2docker.digest import Digest
from boinc2docker.fetch.cache import Cache
from boinc2docker.fetch.download import Downloader, Wanted
from boinc2docker.fetch.transfer import Patience

Answer = Callable[[Request], Response]
BODY = random.Random(1).randbytes(100_000)


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test uses the user's cache, mirrors, proxies or epoch."""
    monkeypatch.setenv("BOINC2DOCKER_CACHE", str(tmp_path / "user-cache"))
    for name in ("BOINC2DOCKER_DEBIAN_MIRROR", "BOINC2DOCKER_SECURITY_MIRROR", "SOURCE_DATE_EPOCH"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


QUICK = Patience(connect=0.5, read=0.5, attempts=3, first_wait=0.01, longest_wait=0.05)


@pytest.fixture
def quick() -> Patience:
    return QUICK


@pytest.fixture
def downloader(cache: Cache) -> Downloader:
    return Downloader(cache, patience=QUICK)


@pytest.fixture(scope="session")
def one_server() -> Iterator[HTTPServer]:
    """A server that answers several requests at a time, and on HTTP/1.0 closes after each; stopping one takes 0.5 s."""
    made = HTTPServer(host="127.0.0.1", port=0, threaded=True)
    made.start()
    yield made
    made.clear()
    made.stop()


@pytest.fixture
def server(one_server: HTTPServer) -> Iterator[HTTPServer]:
    """The server, without what other tests had it answer."""
    one_server.clear()
    yield one_server
    one_server.clear()


class Script:
    """Answers the n-th request for a path with the n-th answer, later ones with the last; keeps the requests."""

    def __init__(self, server: HTTPServer, path: str, *answers: Answer) -> None:
        self.requests: list[Request] = []
        self._answers = list(answers)
        self._lock = threading.Lock()
        self.url = server.url_for(path)
        server.expect_request(path).respond_with_handler(self._answer)

    def _answer(self, request: Request) -> Response:
        with self._lock:
            turn = min(len(self.requests), len(self._answers) - 1)
            self.requests.append(request)
        return self._answers[turn](request)

    @property
    def ranges(self) -> list[str | None]:
        return [request.headers.get("Range") for request in self.requests]


def wanted(*urls: str, body: bytes = BODY, size: bool = True) -> Wanted:
    return Wanted("thing.deb", urls, Digest.of(body), len(body) if size else None)


@pytest.fixture
def released() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()
