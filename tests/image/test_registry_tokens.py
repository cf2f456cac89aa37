"""Tokens of registries: who gets which, and token servers that fail, hang, or send more than anybody should read."""

from __future__ import annotations

import base64
import itertools
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from boinc2docker.digest import Digest
from boinc2docker.errors import InputError, NetworkError
from boinc2docker.fetch import Patience
from boinc2docker.image.delivery import Via
from boinc2docker.image.registry import Access
from boinc2docker.image.registry_auth import Challenge, Credentials, parse_challenges, token_url
from tests.equipment import answers
from tests.equipment.scripted_registry import (
    Answer,
    ScriptedRegistry,
    TokenServer,
    fails,
    stage,
    with_tokens,
    words_only,
)

QUICK = Patience(connect=0.3, read=0.5, attempts=1, first_wait=0.01, longest_wait=0.1)


def test_a_token_that_never_ends_or_is_too_long(
    server: HTTPServer, access: Access, tmp_path: Path, released: threading.Event
) -> None:
    quick = replace(access, patience=QUICK)
    for number, (answer, words, code) in enumerate(
        [
            (answers.whole(b'{"token": "' + b"x" * (1 << 20) + b'"}'), "more than 1048576 bytes", "registry-failed"),
            (answers.trickle(released), "did not finish its response in time", "registry-failed"),
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


@pytest.mark.parametrize("key", ["token", "access_token"])
def test_anonymous_tokens(key: str, server: HTTPServer, access: Access, tmp_path: Path) -> None:
    tokens = TokenServer("good", key=key)
    scripted = with_tokens(server, tokens)
    image = stage(scripted, access, tmp_path, Via.REGISTRY)
    (source,) = image.sources
    assert source.blobs_url == f"http://{scripted.host}/v2/{scripted.path}/blobs"
    assert source.token_url == (
        server.url_for("/token") + f"?service=test%2C+service&scope=repository:{scripted.path}:pull"
    ).replace("%2C", ",")
    assert tokens.forms == [{"service": ["test, service"], "scope": [f"repository:{scripted.path}:pull"]}] * 2
    assert tokens.headers == [None, None]


def test_a_token_that_runs_out_is_replaced(server: HTTPServer, access: Access, tmp_path: Path) -> None:
    tokens = TokenServer("good")
    scripted = with_tokens(server, tokens)

    def ends(request: Request) -> Response:
        scripted.token = tokens.give = "better"
        return scripted.honest(request)

    scripted.answers[scripted.layers[0]] = [ends, scripted.honest]
    stage(scripted, access, tmp_path)
    assert 2 <= len(tokens.forms) <= 4


def test_credentials_go_to_the_token_server_only(server: HTTPServer, access: Access, tmp_path: Path) -> None:
    tokens = TokenServer("good", user=("ada", "lovelace"))
    scripted = with_tokens(server, tokens)
    private = replace(access, credentials=lambda _: Credentials("ada", "lovelace"))
    stage(scripted, private, tmp_path)
    assert tokens.headers == ["Basic " + base64.b64encode(b"ada:lovelace").decode()]
    assert {one.headers.get("Authorization") for one in scripted.requests} == {None, "Bearer good"}
    with pytest.raises(InputError) as caught:
        stage(scripted, private, tmp_path / "other", Via.REGISTRY)
    assert caught.value.code == "private-image"


def test_identity_tokens(server: HTTPServer, access: Access, tmp_path: Path) -> None:
    tokens = TokenServer("good", key="access_token")
    scripted = with_tokens(server, tokens)
    stage(scripted, replace(access, credentials=lambda _: Credentials(identity_token="kept")), tmp_path)
    assert tokens.forms == [
        {
            "grant_type": ["refresh_token"],
            "refresh_token": ["kept"],
            "client_id": ["boinc2docker"],
            "service": ["test, service"],
            "scope": [f"repository:{scripted.path}:pull"],
        }
    ]


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (answers.status(401), "registry-denied", "no anonymous token"),
        (answers.status(404), "registry-denied", "404"),
        (answers.status(429, Retry_After="0"), "registry-limit", "token server"),
        (answers.status(500), "registry-failed", "500"),
        (answers.whole(b"[]"), "registry-failed", "sent no token"),
        (answers.whole(b'{"token": "a\\nb"}'), "registry-failed", "sent no token"),
        (answers.whole(b"not json"), "registry-failed", "sent no token"),
    ],
    ids=words_only,
)
def test_token_servers_that_fail(
    answer: Answer, code: str, words: str, server: HTTPServer, access: Access, tmp_path: Path
) -> None:
    server.expect_request("/token").respond_with_handler(answer)
    scripted = ScriptedRegistry(server, token="good", realm=server.url_for("/token"))
    assert words in fails(scripted, access, tmp_path, NetworkError, code)


def test_a_token_server_that_hangs(
    server: HTTPServer, access: Access, tmp_path: Path, released: threading.Event
) -> None:
    server.expect_request("/token").respond_with_handler(answers.silent(released))
    scripted = ScriptedRegistry(server, token="good", realm=server.url_for("/token"))
    quick = replace(access, patience=Patience(connect=0.3, read=0.3, attempts=2, first_wait=0.01, longest_wait=0.1))
    fails(scripted, quick, tmp_path, NetworkError, "registry-failed", within=8)


def test_a_token_is_not_sent_where_a_registry_redirects(server: HTTPServer, access: Access, tmp_path: Path) -> None:
    scripted = with_tokens(server, TokenServer("good"))
    with HTTPServer(host="127.0.0.1", port=0, threaded=True) as storage:
        seen: list[str | None] = []

        def stored(request: Request) -> Response:
            seen.append(request.headers.get("Authorization"))
            return Response(scripted.blobs[scripted.layers[0].rpartition("/")[2]])

        storage.expect_request("/stored").respond_with_handler(stored)

        def away(request: Request) -> Response:
            honest = scripted.honest(request)
            return (
                honest
                if honest.status_code == 401
                else Response(status=307, headers={"Location": storage.url_for("/stored")})
            )

        scripted.answers[scripted.layers[0]] = [away]
        stage(scripted, access, tmp_path)
    assert seen == [None]


PASSWORD, IDENTITY = Credentials("ada", "lovelace"), Credentials(identity_token="kept")


def redirect(status: int, target: str) -> Answer:
    return lambda _: Response(status=status, headers={"Location": target})


def visitor(seen: list[tuple[str, str, str | None]]) -> Answer:
    """Gives a good token to anybody, and remembers method, form and Authorization."""

    def answer(request: Request) -> Response:
        seen.append((request.method, request.get_data(as_text=True), request.headers.get("Authorization")))
        return Response('{"token": "good", "access_token": "good"}')

    return answer


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("known", "why"),
    [(IDENTITY, "an identity token is sent only once"), (PASSWORD, "credentials are not sent to another server")],
    ids=["identity", "password"],
)
def test_credentials_do_not_follow_a_token_server_elsewhere(
    known: Credentials, why: str, status: int, server: HTTPServer, access: Access, tmp_path: Path
) -> None:
    """307 and 308 repeat the form: an identity token would go to whoever the token server names."""
    seen: list[tuple[str, str, str | None]] = []
    with HTTPServer(host="127.0.0.1", port=0, threaded=True) as thief:
        thief.expect_request("/token").respond_with_handler(visitor(seen))
        server.expect_request("/token").respond_with_handler(redirect(status, thief.url_for("/token?a=b")))
        scripted = ScriptedRegistry(server, token="good", realm=server.url_for("/token"))
        private = replace(access, credentials=lambda _: known)
        said = fails(scripted, private, tmp_path, NetworkError, "registry-failed")
        assert f"redirects to http://{thief.host}:{thief.port} (status {status}): {why}" in said
    assert seen == []


def test_a_password_follows_within_the_token_server(server: HTTPServer, access: Access, tmp_path: Path) -> None:
    seen: list[tuple[str, str, str | None]] = []
    server.expect_request("/token").respond_with_handler(redirect(307, "/v2/../moved"))
    server.expect_request("/moved").respond_with_handler(visitor(seen))
    scripted = ScriptedRegistry(server, token="good", realm=server.url_for("/token"))
    stage(scripted, replace(access, credentials=lambda _: PASSWORD), tmp_path)
    assert seen == [("GET", "", "Basic " + base64.b64encode(b"ada:lovelace").decode())]


@pytest.mark.parametrize("known", [IDENTITY, PASSWORD, None], ids=["identity", "password", "nobody"])
@pytest.mark.parametrize("target", ["http://[", "http://a:b/", "http:///", "http://x\x1b[2Jy/"], ids=ascii)
def test_a_redirect_to_no_url(
    target: str, known: Credentials | None, server: HTTPServer, access: Access, tmp_path: Path
) -> None:
    class Raw(BaseHTTPRequestHandler):
        """Sends what werkzeug would mend or refuse."""

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(307)
            self.send_header("Location", target)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Raw) as raw:
        threading.Thread(target=raw.serve_forever, daemon=True).start()
        try:
            scripted = ScriptedRegistry(server, token="good", realm=f"http://127.0.0.1:{raw.server_port}/token")
            private = replace(access, credentials=lambda _: known)
            said = fails(scripted, private, tmp_path, NetworkError, "registry-failed")
        finally:
            raw.shutdown()
    assert "the token server http://127.0.0.1:" in said
    assert said.isprintable()


def test_redirects_within_a_token_server_end(server: HTTPServer, access: Access, tmp_path: Path) -> None:
    server.expect_request("/token").respond_with_handler(redirect(307, "/token"))
    scripted = ScriptedRegistry(server, token="good", realm=server.url_for("/token"))
    private = replace(access, credentials=lambda _: PASSWORD)
    assert "more than 3 redirects" in fails(scripted, private, tmp_path, NetworkError, "registry-failed")


def test_an_identity_token_does_not_follow_even_on_the_same_server(
    server: HTTPServer, access: Access, tmp_path: Path
) -> None:
    seen: list[tuple[str, str, str | None]] = []
    server.expect_request("/token").respond_with_handler(redirect(308, "/moved"))
    server.expect_request("/moved").respond_with_handler(visitor(seen))
    scripted = ScriptedRegistry(server, token="good", realm=server.url_for("/token"))
    private = replace(access, credentials=lambda _: IDENTITY)
    assert "is sent only once" in fails(scripted, private, tmp_path, NetworkError, "registry-failed")
    assert seen == []


def test_without_credentials_a_token_server_may_redirect(server: HTTPServer, access: Access, tmp_path: Path) -> None:
    seen: list[tuple[str, str, str | None]] = []
    with HTTPServer(host="127.0.0.1", port=0, threaded=True) as other:
        other.expect_request("/token").respond_with_handler(visitor(seen))
        server.expect_request("/token").respond_with_handler(redirect(307, other.url_for("/token")))
        scripted = ScriptedRegistry(server, token="good", realm=server.url_for("/token"))
        stage(scripted, access, tmp_path)
    assert set(seen) == {("GET", "", None)}


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
            [("bearer", {"realm": "https://auth.docker.io/token", "service": "registry.docker.io",
                         "scope": "repository:a/b:pull,push"})],
        ),
        ('Basic realm="a \\"b\\", c"', [("basic", {"realm": 'a "b", c'})]),
        ("Negotiate, Basic realm=x, charset=UTF-8", [("negotiate", {}), ("basic", {"realm": "x", "charset": "UTF-8"})]),
        ('BEARER Realm="r"', [("bearer", {"realm": "r"})]),
        ("", []),
        ("=,=,", []),
    ],
)  # fmt: skip
def test_challenges(header: str, found: list[tuple[str, dict[str, str]]]) -> None:
    assert [(one.scheme, one.parameters) for one in parse_challenges(header)] == found


@given(st.text(max_size=80))
def test_any_header_is_survived(header: str) -> None:
    for one in parse_challenges(header):
        url = token_url(one, "a/b")
        assert url == "" or (url.isascii() and " " not in url)


def test_token_urls() -> None:
    def made(**parameters: str) -> str:
        return token_url(Challenge("bearer", parameters), "a/b")

    assert made(realm="https://h/t") == "https://h/t?scope=repository:a/b:pull"
    assert made(realm="https://h/t?a=b", service="s") == "https://h/t?a=b&service=s&scope=repository:a/b:pull"
    assert [made(realm=realm) for realm in ("", "/t", "file:///etc/passwd", "https://h/ x", "https://é")] == [""] * 5
    assert "…" in repr(Credentials("ada", "lovelace"))
    assert "lovelace" not in repr(Credentials("ada", "lovelace"))
