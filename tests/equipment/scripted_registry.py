"""A registry that does what a test tells it: one image, and answers of the test's own for any request."""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from boinc2docker.errors import BuilderError
from boinc2docker.image.delivery import Delivery, Via, obtain
from boinc2docker.image.image import Image
from boinc2docker.image.reference import parse as parse_reference
from boinc2docker.image.registry import Access
from tests.equipment import real_registry as kinds
from tests.equipment.archives import Sample, gzipped, sha

Answer = Callable[[Request], Response]
_NUMBERS = itertools.count()


@dataclass
class ScriptedRegistry:
    """Serves tag 1 of a repository that no other test has, for requests may arrive after their test has ended.

    ``answers`` are given for a path one by one, the last for ever."""

    server: HTTPServer
    sample: Sample = field(default_factory=Sample)
    path: str = field(default_factory=lambda: f"team/image{next(_NUMBERS)}")
    token: str | None = None
    """The bearer token that is wanted; None: everybody may read."""
    realm: str = ""
    requests: list[Request] = field(default_factory=list)
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        described = [(self.sample.config_bytes, kinds.DOCKER_CONFIG)]
        described += [(gzipped(layer), kinds.DOCKER_LAYER) for layer in self.sample.layers]
        entries = [{"mediaType": media, "digest": self._keep(data), "size": len(data)} for data, media in described]
        document = {"schemaVersion": 2, "mediaType": kinds.DOCKER_MANIFEST, "config": entries[0], "layers": entries[1:]}
        self.manifest = json.dumps(document).encode()
        self.layers = [f"/v2/{self.path}/blobs/{entry['digest']}" for entry in entries[1:]]
        self.config = f"/v2/{self.path}/blobs/{entries[0]['digest']}"
        self.tag = f"/v2/{self.path}/manifests/1"
        self.by_digest = f"/v2/{self.path}/manifests/{kinds.digest(self.manifest)}"
        self.server.expect_request(re.compile(f"/v2/{self.path}/.*")).respond_with_handler(self._answer)

    @property
    def host(self) -> str:
        return f"{self.server.host}:{self.server.port}"

    @property
    def name(self) -> str:
        return f"{self.host}/{self.path}:1"

    def asked(self, path: str) -> list[Request]:
        return [one for one in self.requests if one.path == path]

    def _keep(self, data: bytes) -> str:
        self.blobs[kinds.digest(data)] = data
        return kinds.digest(data)

    def _answer(self, request: Request) -> Response:
        with self._lock:
            self.requests.append(request)
            waiting = self.answers.get(request.path)
            own: Answer = self.honest
            if waiting:
                own = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return own(request)

    def honest(self, request: Request) -> Response:
        """What a registry without faults answers."""
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            challenge = f'Bearer realm="{self.realm}",service="test, service",scope="repository:{self.path}:pull"'
            return Response("{}", status=401, headers={"WWW-Authenticate": challenge})
        if request.path in (self.tag, self.by_digest):
            headers = {"Content-Type": kinds.DOCKER_MANIFEST, "Docker-Content-Digest": kinds.digest(self.manifest)}
            return Response(self.manifest, headers=headers)
        data = self.blobs.get(request.path.rpartition("/")[2])
        return ranged(data, request) if data is not None else Response("{}", status=404)


def ranged(data: bytes, request: Request) -> Response:
    wanted = request.headers.get("Range")
    if wanted is None:
        return Response(data)
    start = int(wanted.removeprefix("bytes=").removesuffix("-"))
    where = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
    return Response(data[start:], status=206, headers=where)


@dataclass
class TokenServer:
    """Gives tokens to ``user`` with ``password``, or to everybody; remembers who asked for what."""

    give: str
    user: tuple[str, str] | None = None
    key: str = "token"
    forms: list[dict[str, list[str]]] = field(default_factory=list)
    headers: list[str | None] = field(default_factory=list)

    def __call__(self, request: Request) -> Response:
        text = request.get_data(as_text=True) if request.method == "POST" else request.query_string.decode()
        self.forms.append(parse_qs(text))
        self.headers.append(request.headers.get("Authorization"))
        given = request.authorization
        if self.user and (given is None or (given.username, given.password) != self.user):
            return Response("{}", status=401)
        return Response(json.dumps({self.key: self.give, "expires_in": 60}))


def with_tokens(server: HTTPServer, tokens: TokenServer, wanted: str = "good") -> ScriptedRegistry:
    server.expect_request("/token").respond_with_handler(tokens)
    return ScriptedRegistry(server, token=wanted, realm=server.url_for("/token"))


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
