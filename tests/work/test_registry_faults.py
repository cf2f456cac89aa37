"""What registries, token servers and networks do wrong: bounded time, one clear error, nothing bad kept."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from builder.digest import Digest
from builder.errors import BuilderError, InputError, NetworkError, VerificationError
from builder.fetch import Cache, Patience
from builder.work import Access, Delivery, Image, Via, obtain, parse_reference
from builder.work.registry_auth import Challenge, Credentials, parse_challenges, token_url
from tests.base import answers
from tests.work.archives import sha
from tests.work.scripted_registry import Answer, ScriptedRegistry, TokenServer


@pytest.fixture
def scripted(server: HTTPServer) -> ScriptedRegistry:
    return ScriptedRegistry(server)


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Set at the end, so that answers that hang do not outlive their test."""
    event = threading.Event()
    yield event
    event.set()


def stage(scripted: ScriptedRegistry, access: Access, into: Path, via: Via = Via.BOINC) -> Image:
    return obtain(parse_reference(scripted.name), into / "image", Delivery(via=via, access=access))


def fails(
    scripted: ScriptedRegistry, access: Access, into: Path, kind: type[BuilderError], code: str, within: float = 15
) -> str:
    """The error's message. It names the image, comes in time, and no layer is left under its name."""
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        stage(scripted, access, into)
    assert time.monotonic() - began < within
    assert caught.value.code == code, caught.value.message
    assert caught.value.message.startswith(f"image {scripted.name}: ")
    assert "\n" not in caught.value.message
    good = {sha(data) for data in scripted.blobs.values()} | {sha(scripted.manifest)}
    kept = access.cache.root / "sha256"
    assert {path.name for path in kept.iterdir()} <= good if kept.exists() else True
    return caught.value.message


def words_only(value: object) -> str:
    """Names of cases: functions have addresses in theirs, which differ between processes."""
    return value if isinstance(value, str) else ""


def broken_off(request: Request) -> Response:
    """Says there is another length than there is."""
    return Response(b"x", headers={"Content-Length": "1000"})


@pytest.mark.parametrize(
    ("answer", "kind", "code", "words"),
    [
        (answers.status(401), NetworkError, "registry-denied", "401"),
        (answers.status(403), NetworkError, "registry-denied", "403"),
        (answers.status(404), InputError, "no-such-image", "404"),
        (answers.status(410), InputError, "no-such-image", "410"),
        (answers.status(418), NetworkError, "registry-failed", "418"),
        (answers.status(429, Retry_After="0"), NetworkError, "registry-limit", "429"),
        (answers.status(500), NetworkError, "registry-failed", "500"),
        (answers.status(503), NetworkError, "registry-failed", "503"),
    ],
    ids=words_only,
)
def test_a_tag_that_is_refused(
    answer: Answer,
    kind: type[BuilderError],
    code: str,
    words: str,
    scripted: ScriptedRegistry,
    access: Access,
    tmp_path: Path,
) -> None:
    scripted.answers[scripted.tag] = [answer]
    assert words in fails(scripted, access, tmp_path, kind, code)
    assert len(scripted.asked(scripted.tag)) <= access.patience.attempts


def test_a_registry_that_is_down(scripted: ScriptedRegistry, access: Access, tmp_path: Path) -> None:
    with pytest.raises(NetworkError) as caught:
        obtain(parse_reference("127.0.0.1:1/a/b:1"), tmp_path / "image", Delivery(access=access))
    assert (caught.value.code, "refused" in caught.value.message) == ("registry-failed", True)


@pytest.mark.parametrize("what", ["tag", "by_digest", "config", "layer"])
@pytest.mark.parametrize(
    "trouble",
    [
        [answers.status(500), answers.status(502)],
        [answers.status(429, Retry_After="0"), answers.status(503, Retry_After="soon")],
        [],
    ],
    ids=["5xx", "busy", "cut"],
)
def test_trouble_that_passes(
    what: str, trouble: list[Answer], scripted: ScriptedRegistry, access: Access, tmp_path: Path
) -> None:
    path = scripted.layers[1] if what == "layer" else getattr(scripted, what)
    data = scripted.manifest if "/manifests/" in path else scripted.blobs[path.rpartition("/")[2]]
    trouble = trouble or [answers.cut_off(data, 20)]
    scripted.answers[path] = [*trouble, scripted.honest]
    image = stage(scripted, access, tmp_path)
    assert image.config == scripted.sample.config_bytes
    # A HEAD has no body that could be cut; but this one does not tell the digest, and the manifest is asked for.
    assert len(scripted.asked(path)) == len(trouble) + 1


def test_retry_after_is_respected(scripted: ScriptedRegistry, access: Access, tmp_path: Path) -> None:
    patient = replace(access, patience=replace(access.patience, longest_wait=5))
    scripted.answers[scripted.tag] = [answers.status(429, Retry_After="1"), scripted.honest]
    scripted.answers[scripted.layers[0]] = [answers.status(429, Retry_After="1"), scripted.honest]
    began = time.monotonic()
    stage(scripted, patient, tmp_path)
    assert time.monotonic() - began >= 2


@pytest.mark.parametrize(
    ("answer", "kind", "code", "words"),
    [
        (answers.status(401), NetworkError, "download-failed", "401"),
        (answers.status(403), NetworkError, "download-failed", "403"),
        (answers.status(404), InputError, "no-such-image", "404"),
        (answers.status(429, Retry_After="0"), NetworkError, "download-failed", "429"),
        (answers.status(500), NetworkError, "download-failed", "500"),
        (broken_off, NetworkError, "download-failed", ""),
    ],
    ids=words_only,
)
def test_a_layer_that_cannot_be_had(
    answer: Answer,
    kind: type[BuilderError],
    code: str,
    words: str,
    scripted: ScriptedRegistry,
    access: Access,
    tmp_path: Path,
) -> None:
    scripted.answers[scripted.layers[1]] = [answer]
    message = fails(scripted, access, tmp_path, kind, code)
    assert words in message
    assert "layer 2 of 3" in message
    assert len(scripted.asked(scripted.layers[1])) <= access.patience.attempts


def test_a_cut_layer_goes_on_where_it_stopped(scripted: ScriptedRegistry, access: Access, tmp_path: Path) -> None:
    path = scripted.layers[0]
    data = scripted.blobs[path.rpartition("/")[2]]
    scripted.answers[path] = [answers.cut_off(data, 40), answers.cut_off(data, 30), scripted.honest]
    image = stage(scripted, access, tmp_path)
    assert [one.headers.get("Range") for one in scripted.asked(path)] == [None, "bytes=40-", "bytes=70-"]
    assert (tmp_path / "image" / image.layers[0].digest.hex).read_bytes() == data


def test_another_run_goes_on_where_one_gave_up(scripted: ScriptedRegistry, access: Access, tmp_path: Path) -> None:
    path = scripted.layers[0]
    data = scripted.blobs[path.rpartition("/")[2]]
    scripted.answers[path] = [answers.cut_off(data, 50), answers.status(500)]
    fails(scripted, access, tmp_path, NetworkError, "download-failed")
    scripted.answers.clear()
    scripted.requests.clear()
    stage(scripted, access, tmp_path / "again")
    assert [one.headers.get("Range") for one in scripted.asked(path)] == ["bytes=50-"]


@pytest.mark.parametrize("what", ["by_digest", "config", "layer"])
@pytest.mark.parametrize("wrong", [lambda d: d[:-1] + b"!", lambda d: d[:-1], lambda d: d + b"x", lambda d: b""])
def test_wrong_bytes(
    what: str, wrong: Callable[[bytes], bytes], scripted: ScriptedRegistry, access: Access, tmp_path: Path
) -> None:
    path = scripted.layers[2] if what == "layer" else getattr(scripted, what)
    data = scripted.manifest if what == "by_digest" else scripted.blobs[path.rpartition("/")[2]]
    scripted.answers[path] = [answers.whole(wrong(data))]
    with pytest.raises((VerificationError, NetworkError)) as caught:
        stage(scripted, access, tmp_path)
    assert caught.value.message.startswith(f"image {scripted.name}: ")
    assert caught.value.code in ("wrong-digest", "download-failed")
    assert access.cache.look_up(Digest.of(data)) is None
    if wrong(data)[:-1] == data[:-1] and len(wrong(data)) == len(data):
        assert caught.value.code == "wrong-digest"
    # A mirror with the right bytes is as good as new.
    scripted.answers.clear()
    assert stage(scripted, access, tmp_path / "again").config == scripted.sample.config_bytes


@pytest.mark.parametrize("what", ["tag", "config", "layer"])
def test_a_hang_is_no_wait_for_ever(
    what: str, scripted: ScriptedRegistry, access: Access, tmp_path: Path, released: threading.Event
) -> None:
    quick = replace(access, patience=replace(access.patience, read=0.3, attempts=2))
    path = scripted.layers[1] if what == "layer" else getattr(scripted, what)
    scripted.answers[path] = [answers.silent(released, b"" if what == "tag" else b"x")]
    code = "registry-failed" if what == "tag" else "download-failed"
    fails(scripted, quick, tmp_path, NetworkError, code, within=8)


def test_a_cache_that_rots_is_fetched_anew(scripted: ScriptedRegistry, access: Access, tmp_path: Path) -> None:
    image = stage(scripted, access, tmp_path)
    access.cache.path(image.layers[0].digest).write_bytes(b"rotten")
    stage(scripted, access, tmp_path / "again")
    assert sha((tmp_path / "again" / "image" / image.layers[0].digest.hex).read_bytes()) == image.layers[0].digest.hex
    assert len(scripted.asked(scripted.layers[0])) == 2


@pytest.mark.parametrize("code", [405, 400, 501])
def test_registries_without_head(code: int, scripted: ScriptedRegistry, access: Access, tmp_path: Path) -> None:
    def no_head(request: Request) -> Response:
        return Response(status=code) if request.method == "HEAD" else scripted.honest(request)

    scripted.answers[scripted.tag] = [no_head]
    assert stage(scripted, access, tmp_path).pinned.endswith(sha(scripted.manifest))


def test_a_digest_that_makes_no_sense_is_not_believed(
    scripted: ScriptedRegistry, access: Access, tmp_path: Path
) -> None:
    def odd(request: Request) -> Response:
        return Response(scripted.manifest, headers={"Docker-Content-Digest": "sha256:../../x"})

    scripted.answers[scripted.tag] = [odd]
    assert stage(scripted, access, tmp_path).pinned.endswith(sha(scripted.manifest))


def test_schema_1_is_refused_in_words(scripted: ScriptedRegistry, access: Access, tmp_path: Path) -> None:
    old = json.dumps({"schemaVersion": 1, "name": "x", "tag": "1", "fsLayers": [], "history": []}).encode()
    scripted.answers[scripted.tag] = [answers.whole(old, Docker_Content_Digest="sha256:" + sha(old))]
    scripted.answers[f"/v2/{scripted.path}/manifests/sha256:{sha(old)}"] = [answers.whole(old)]
    with pytest.raises(InputError) as caught:
        stage(scripted, access, tmp_path)
    assert caught.value.code == "old-manifest"
    assert "schema 1" in caught.value.message


def with_tokens(server: HTTPServer, tokens: TokenServer, wanted: str = "good") -> ScriptedRegistry:
    server.expect_request("/token").respond_with_handler(tokens)
    return ScriptedRegistry(server, token=wanted, realm=server.url_for("/token"))


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
        (answers.whole(b"[]"), "registry-failed", "without a token"),
        (answers.whole(b'{"token": "a\\nb"}'), "registry-failed", "without a token"),
        (answers.whole(b"not json"), "registry-failed", "without a token"),
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


def test_a_cache_of_another_user_is_one_clear_error(scripted: ScriptedRegistry, access: Access, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BuilderError):
        stage(scripted, replace(access, cache=Cache(tmp_path / "file")), tmp_path)
