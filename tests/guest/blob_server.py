"""A registry's blobs over HTTP, with every fault a registry has, counting what it sends."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import re
import threading
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class BlobServer:
    """``faults`` are used up by the next requests for blobs, one each, ``faults_of`` by those for one blob.

    ``always`` is the fault of all others, ``token_fault`` what the token server sends, or its status.
    """

    port: int = 0
    blobs: dict[str, bytes] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)
    faults: deque[str] = field(default_factory=deque)
    faults_of: dict[str, deque[str]] = field(default_factory=dict)
    always: str = ""
    token: str = ""
    token_fault: str = ""
    elsewhere: str = ""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    end: threading.Event = field(default_factory=threading.Event)

    def add(self, content: bytes) -> str:
        name = hashlib.sha256(content).hexdigest()
        self.blobs[name] = content
        return name

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def blobs_url(self) -> str:
        return f"{self.root}/v2/library/x/blobs"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""

    def do_GET(self) -> None:
        world = self.server.world
        asked = self.headers.get("Range", "")
        world.requests.append((self.path, asked, self.headers.get("Authorization", "")))
        if self.path.startswith("/token"):
            self.give_token(world)
            return
        wanted = self.path.rpartition("sha256:")[2]
        faults = world.faults_of.get(wanted) or world.faults
        refused = world.token and self.headers.get("Authorization") != f"Bearer {world.token}"
        fault = faults.popleft() if faults and not refused else world.always
        blob = world.blobs.get(wanted)
        name, _, value = fault.partition(":")
        if refused:
            self.answer(401, b'{"errors":[]}')
        elif name.isdigit():
            self.answer(int(name), b"an error page " * 40, {"Retry-After": value} if value else {})
        elif name == "page":
            self.answer(200, b"log in here\n")
        elif name == "redirect":
            self.answer(307, b"", {"Location": world.elsewhere + self.path})
        elif name == "hang":
            world.end.wait(60)
        elif name == "garbage":
            self.wfile.write(b"\x00\xffnot HTTP at all\r\n\r\n")
        elif blob is None:
            self.answer(404, b"{}")
        else:
            self.give(blob, asked, name, int(value or 0))

    def give_token(self, world: BlobServer) -> None:
        status, _, value = world.token_fault.partition(":")
        if status.isdigit():
            self.answer(int(status), b"{}", {"Retry-After": value} if value else {})
        elif status == "cut":
            self.answer(200, b'{"token": ""}', count=5)
        elif world.token_fault:
            self.answer(200, world.token_fault.encode())
        else:
            key = "access_token" if "access" in self.path else "token"
            self.answer(200, json.dumps({"expires_in": 300, key: world.token}).encode())

    def give(self, blob: bytes, asked: str, fault: str, value: int) -> None:
        first, last = 0, len(blob) - 1
        status, headers = 200, {}
        if (match := re.fullmatch(r"bytes=(\d+)-(\d+)", asked)) and not fault.startswith("no-range"):
            first, last = int(match[1]), min(int(match[2]), last)
            status = 206
            shown = first + 7 if fault == "bad-range" else first
            total = len(blob) + 1 if fault == "bad-total" else len(blob)
            headers["Content-Range"] = f"bytes {shown}-{last}/{total}"
        body = blob[first : last + 1]
        if fault == "wrong":
            body = bytes([body[0] ^ 1]) + body[1:]
        elif fault.endswith("more"):
            body += b"x" * 3000
        elif fault == "short":
            body = body[: len(body) // 2]
        count = min(value, len(body)) if fault.endswith("cut") else len(body)
        self.server.world.sent[self.path.rpartition(":")[2]] += count
        self.answer(status, body, headers, count, "no-length" not in fault)

    def answer(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        count: int | None = None,
        length: bool = True,
    ) -> None:
        self.send_response(status)
        for key, text in (headers or {}).items():
            self.send_header(key, text)
        if length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body[:count])


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, world: BlobServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.world = world

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are what the tests are about."""


@contextlib.contextmanager
def serving() -> Iterator[BlobServer]:
    world = BlobServer()
    with _Server(world) as server:
        world.port = int(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield world
        finally:
            world.end.set()
            server.shutdown()
            thread.join()
