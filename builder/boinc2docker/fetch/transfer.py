"""Downloads one URL into a partial file, and resumes where an earlier attempt stopped.

It resumes by HTTP's rules (RFC 9110, sections 13.1.5 and 14) as pip applies them: it sends ``Range`` with ``If-Range``,
appends a 206 whose Content-Range begins where it stopped, and starts over for any other answer. The result is
unverified: the caller checks the digest.
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit, urlunsplit

import requests
import urllib3.exceptions

from boinc2docker.console import Advance

_BLOCK = 1 << 16
_NUMBER = re.compile(r"[0-9]{1,18}")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, in seconds, and how often to ask again."""

    connect: float = 10.0
    read: float = 30.0
    """Longest silence, and the time over which ``slowest`` is measured."""
    slowest: int = 256
    """Bytes per second below which a server counts as hanging."""
    attempts: int = 3
    first_wait: float = 0.5
    longest_wait: float = 30.0

    def wait(self, attempt: int, asked: float | None) -> float:
        """Seconds before the attempt after ``attempt`` (from 1); ``asked`` is the server's Retry-After."""
        own = self.first_wait * 2.0 ** (attempt - 1)
        return min(self.longest_wait, max(own, asked or 0.0))


class PermanentError(Exception):
    """This URL fails, and retrying will not help.

    ``gone``: the server has no such file. ``denied``: it refuses us access.
    """

    def __init__(self, reason: str, *, gone: bool = False, denied: bool = False) -> None:
        super().__init__(reason)
        self.gone = gone
        self.denied = denied


class TransientError(Exception):
    """This attempt failed; a retry may help. ``unreachable``: no answer. ``wait``: seconds that the server asks for."""

    def __init__(self, reason: str, *, unreachable: bool = False, wait: float | None = None) -> None:
        super().__init__(reason)
        self.unreachable = unreachable
        self.wait = wait


class StoppedError(Exception):
    """Another thread cancelled the download."""


@dataclass(frozen=True)
class Partial:
    """An incomplete file, and a note about where its bytes came from."""

    data: Path

    @property
    def note(self) -> Path:
        return self.data.with_name(self.data.name + ".json")

    def size(self) -> int:
        try:
            return self.data.stat().st_size
        except FileNotFoundError:
            return 0

    def origin(self) -> dict[str, str]:
        """``url``, ``etag`` and ``modified`` of the response that the bytes are from, as far as known."""
        try:
            value = json.loads(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {str(key): str(text) for key, text in value.items()} if isinstance(value, dict) else {}

    def restart(self, origin: dict[str, str]) -> None:
        """Empties the file; the next bytes are from ``origin``."""
        self.data.parent.mkdir(parents=True, exist_ok=True)
        self.data.write_bytes(b"")
        self.note.write_text(json.dumps(origin), encoding="utf-8")

    def drop(self) -> None:
        self.data.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


@dataclass(frozen=True)
class Expectation:
    """What is known of a file before the request."""

    size: int | None = None
    """Exact bytes, if known."""
    limit: int = 4 << 30
    """Bytes accepted at most if the size is not known."""
    verified: bool = True
    """A digest will be checked, so the download may be resumed without a validator from the server."""

    @property
    def most(self) -> int:
        return self.limit if self.size is None else self.size


def shown(url: str) -> str:
    """The URL without credentials, for messages and notes."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def resume_headers(offset: int, origin: dict[str, str], url: str, *, verified: bool) -> dict[str, str]:
    """Request headers that ask for the rest of the file, or for all of it where resuming is not safe.

    An ETag is valid on its own server only; mirrors share modification times. Weak ETags do not count
    (RFC 9110, 13.1.5).
    """
    headers = {"Accept-Encoding": "identity"}
    if not verified:
        headers["Cache-Control"] = "max-age=0"  # a cached index is an old index
    if offset == 0:
        return headers
    etag = origin.get("etag", "") if origin.get("url") == shown(url) else ""
    validator = etag if etag and not etag.startswith("W/") else origin.get("modified", "")
    if validator:
        headers["If-Range"] = validator
    elif not verified:
        return headers
    headers["Range"] = f"bytes={offset}-"
    return headers


def continues(status: int, content_range: str | None, offset: int, size: int | None) -> bool:
    """Whether the response is exactly the rest of the file from ``offset`` on."""
    match = _CONTENT_RANGE.fullmatch(content_range or "")
    if status != 206 or match is None:
        return False
    first, last, total = int(match[1]), int(match[2]), match[3]
    whole = size if size is not None else (int(total) if total != "*" else None)
    if total != "*" and size is not None and int(total) != size:
        return False
    return first == offset and last >= first and (whole is None or last == whole - 1)


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks to wait (RFC 9110, 10.2.3); None if it cannot be read."""
    if value is None:
        return None
    if _NUMBER.fullmatch(value.strip()):
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def transfer(
    session: requests.Session,
    url: str,
    partial: Partial,
    expected: Expectation,
    patience: Patience,
    advance: Advance,
    stop: threading.Event,
) -> None:
    """Completes ``partial``, as far as its size can tell.

    Raises PermanentError, TransientError (the partial file stays for the next attempt), StoppedError, and OSError for
    the local disk.
    """
    if urlsplit(url).scheme == "file":
        _copy(Path(unquote(urlsplit(url).path)), partial, expected, advance)
        return
    offset = partial.size()
    if expected.size is not None and offset == expected.size:
        return
    if offset > expected.most:
        advance(-offset)
        partial.drop()
        offset = 0
    headers = resume_headers(offset, partial.origin(), url, verified=expected.verified)
    with answer(session, url, headers, patience) as response:
        if response.status_code == 416:
            advance(-partial.size())
            partial.drop()
            raise TransientError("416: the earlier part does not fit; starting over")
        require_success(response, url)
        if "Range" not in headers or not continues(
            response.status_code, response.headers.get("Content-Range"), offset, expected.size
        ):
            if response.status_code == 206:
                advance(-offset)
                partial.drop()
                raise TransientError("sent another part of the file than requested")
            _require_length(response, expected)
            advance(-offset)
            partial.restart(_origin(response, url))
        _append(response, partial, expected, patience, advance, stop)


@contextlib.contextmanager
def answer(
    session: requests.Session,
    url: str,
    headers: dict[str, str],
    patience: Patience,
    *,
    method: str = "GET",
    follow: bool = True,
) -> Iterator[requests.Response]:
    """The response, open for reading. Raises connection errors as TransientError or PermanentError."""
    times = (patience.connect, patience.read)
    try:
        try:
            response = session.request(method, url, headers=headers, stream=True, timeout=times, allow_redirects=follow)
        except requests.RequestException:
            raise
        except ValueError as error:  # requests reads Location with urllib.parse and lets its errors pass
            raise PermanentError("redirects to an invalid URL") from error
        with response:
            yield response
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.TooManyRedirects) as error:
        raise PermanentError(_brief(error)) from error
    except (requests.ConnectionError, requests.Timeout) as error:
        raise TransientError(_brief(error), unreachable=True) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise TransientError(_brief(error)) from error


def require_success(response: requests.Response, url: str) -> None:
    """Raises PermanentError or TransientError unless the status is 200 or 206."""
    status = response.status_code
    if status in (200, 206):
        return
    if status in (404, 410):
        raise PermanentError(f"{status}: no such file", gone=True)
    if status in (408, 425, 429) or status >= 500:
        wait = retry_after(response.headers.get("Retry-After"), time.time())
        raise TransientError(f"status {status} from {shown(url)}", wait=wait)
    raise PermanentError(f"status {status} {response.reason}", denied=status in (401, 403))


def _require_length(response: requests.Response, expected: Expectation) -> None:
    """Raises PermanentError if the announced length is not the file's."""
    announced = response.headers.get("Content-Length", "")
    if not _NUMBER.fullmatch(announced):
        return
    if expected.size is not None and int(announced) != expected.size:
        raise PermanentError(f"expected {expected.size} bytes, the server announces {announced}")
    if int(announced) > expected.most:
        raise PermanentError(f"the server announces {announced} bytes; at most {expected.most} are accepted")


def _origin(response: requests.Response, url: str) -> dict[str, str]:
    headers = {"etag": response.headers.get("ETag"), "modified": response.headers.get("Last-Modified")}
    return {"url": shown(url), **{key: value for key, value in headers.items() if value}}


def _append(
    response: requests.Response,
    partial: Partial,
    expected: Expectation,
    patience: Patience,
    advance: Advance,
    stop: threading.Event,
) -> None:
    """Appends the body to the partial file; checks its length and the server's speed."""
    began, arrived, size = time.monotonic(), 0, partial.size()
    with partial.data.open("ab") as stream:
        while block := _read(response):
            if stop.is_set():
                raise StoppedError
            if size + len(block) > expected.most:
                stream.truncate(0)
                advance(-size)
                raise PermanentError(f"sent more than the expected {expected.most} bytes")
            stream.write(block)
            size += len(block)
            arrived += len(block)
            advance(len(block))
            if (passed := time.monotonic() - began) >= patience.read:
                if arrived < patience.slowest * passed:
                    raise TransientError(f"sent only {arrived} bytes in {passed:.0f} s", unreachable=True)
                began, arrived = time.monotonic(), 0
    if expected.size is not None and size < expected.size:
        raise TransientError(f"ended after {size} of {expected.size} bytes")


def _read(response: requests.Response) -> bytes:
    """The bytes that have arrived, without waiting for a full block or undoing a content coding."""
    try:
        return bytes(response.raw.read1(_BLOCK, decode_content=False))
    except urllib3.exceptions.ReadTimeoutError as error:
        raise TransientError("no data in time", unreachable=True) from error
    except OSError as error:
        raise TransientError(str(error)) from error


def _copy(source: Path, partial: Partial, expected: Expectation, advance: Advance) -> None:
    """Copies a ``file:`` URL: a mirror on a disk."""
    try:
        with source.open("rb") as stream:
            advance(-partial.size())
            partial.restart({"url": source.as_uri()})
            _pump(stream, partial, advance)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PermanentError("no such file", gone=True) from error
    except (IsADirectoryError, PermissionError) as error:
        raise PermanentError(str(error)) from error
    if partial.size() > expected.most or (expected.size is not None and partial.size() != expected.size):
        found = partial.size()
        partial.drop()
        raise PermanentError(f"expected {expected.most} bytes, found {found}")


def _pump(stream: BinaryIO, partial: Partial, advance: Advance) -> None:
    with partial.data.open("wb") as target:
        shutil.copyfileobj(stream, target, 1 << 20)
    advance(partial.size())


def _brief(error: BaseException) -> str:
    """The innermost cause in a few words; urllib3 nests three objects in its texts."""
    text = str(error)
    for pattern, words in (
        (r"Read timed out", "no data in time"),
        (r"(ConnectTimeout|connect timeout)", "no connection in time"),
        (r"(Name or service not known|NameResolutionError|name resolution|nodename nor)", "the host name is unknown"),
        (r"Connection refused", "connection refused"),
        (r"(IncompleteRead|InvalidChunkLength|Connection broken)", "the connection was lost"),
        (r"CERTIFICATE_VERIFY_FAILED", "the certificate cannot be verified"),
        (r"Proxy", "the proxy does not answer"),
    ):
        if re.search(pattern, text):
            return words
    return text[:200] or type(error).__name__
