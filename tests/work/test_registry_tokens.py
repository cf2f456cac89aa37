"""Registries and token servers that send more, or longer, than anybody should read."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from pathlib import Path

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from builder.digest import Digest
from builder.errors import NetworkError
from builder.fetch import Patience
from builder.work import Access
from tests.base import answers
from tests.work.scripted_registry import ScriptedRegistry, TokenServer
from tests.work.test_registry_faults import fails, released, stage, with_tokens

__all__ = ["released"]
QUICK = Patience(connect=0.3, read=0.5, attempts=1, first_wait=0.01, longest_wait=0.1)


def test_a_token_that_never_ends_or_is_too_long(
    server: HTTPServer, access: Access, tmp_path: Path, released: threading.Event
) -> None:
    quick = replace(access, patience=QUICK)
    for number, (answer, words, code) in enumerate(
        [
            (answers.whole(b'{"token": "' + b"x" * (1 << 20) + b'"}'), "more than 1048576 bytes", "registry-failed"),
            (answers.trickle(released), "does not come to an end", "registry-failed"),
        ]
    ):
        server.expect_request(f"/token{number}").respond_with_handler(answer)
        scripted = ScriptedRegistry(server, token="good", realm=server.url_for(f"/token{number}"))
        assert words in fails(scripted, quick, tmp_path, NetworkError, code, within=8)


def test_what_comes_with_a_401_is_not_read(server: HTTPServer, access: Access, tmp_path: Path) -> None:
    scripted = with_tokens(server, TokenServer("good"))
    sent = itertools.count()

    def endless(request: Request) -> Response:
        if request.method == "HEAD":  # so that it is a GET that is asked for a token first
            return Response(headers={"Docker-Content-Digest": str(Digest.of(scripted.manifest))})
        honest = scripted.honest(request)
        if honest.status_code != 401:
            return honest
        body = (b"x" * 65536 for _ in itertools.takewhile(lambda _: next(sent) < 2000, itertools.repeat(None)))
        headers = {"WWW-Authenticate": honest.headers["WWW-Authenticate"]}
        return Response(body, status=401, headers=headers, direct_passthrough=True)

    for path in (scripted.tag, scripted.by_digest, scripted.config, *scripted.layers):
        scripted.answers[path] = [endless]
    stage(scripted, access, tmp_path)
    assert 0 < next(sent) < 1000, "of 131 MB"
