"""Scripted answers of an HTTP server, and what an impatient downloader asks it for."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from boinc2docker.digest import Digest
from boinc2docker.fetch.download import Wanted
from boinc2docker.fetch.transfer import Patience

Answer = Callable[[Request], Response]
BODY = random.Random(1).randbytes(100_000)


QUICK = Patience(connect=0.5, read=0.5, attempts=3, first_wait=0.01, longest_wait=0.05)


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
