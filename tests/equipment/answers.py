"""Things an HTTP server may do to a download."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from werkzeug import Request, Response

from tests.equipment.scripted_server import Answer


def whole(body: bytes, **headers: str) -> Answer:
    """200 and everything, whatever was asked for."""
    return lambda request: Response(body, headers=_named(headers))


def rest(body: bytes, **headers: str) -> Answer:
    """An honest server: 206 for a Range whose If-Range still holds, else 200."""

    def answer(request: Request) -> Response:
        wanted = request.headers.get("Range")
        condition = request.headers.get("If-Range")
        known = _named(headers)
        if wanted is None or (condition and condition not in known.values()):
            return Response(body, headers=known)
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(body):
            return Response(status=416)
        known["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        return Response(body[start:], status=206, headers=known)

    return answer


def cut_off(body: bytes, after: int, **headers: str) -> Answer:
    """Announces everything, sends the beginning, closes the connection."""

    def answer(request: Request) -> Response:
        start = int((request.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        known = {**_named(headers), "Content-Length": str(len(body) - start)}
        if start:
            known["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        return Response(
            iter([body[start : start + after]]), status=206 if start else 200, headers=known, direct_passthrough=True
        )

    return answer


def status(code: int, **headers: str) -> Answer:
    return lambda request: Response("no", status=code, headers=_named(headers))


def silent(released: threading.Event, body: bytes = b"") -> Answer:
    """Sends ``body``, then nothing, until ``released``."""

    def stream() -> Iterator[bytes]:
        if body:
            yield body
        released.wait(10)
        yield b"."

    def answer(request: Request) -> Response:
        if not body:
            released.wait(10)
        return Response(stream(), headers={"Content-Length": "100000"}, direct_passthrough=True)

    return answer


def trickle(released: threading.Event) -> Answer:
    """A byte now and then: never silent for long, never done."""

    def stream() -> Iterator[bytes]:
        while not released.wait(0.05):
            yield b"."

    return lambda request: Response(stream(), headers={"Content-Length": "100000"}, direct_passthrough=True)


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
