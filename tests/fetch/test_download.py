"""Faults of servers, disks and caches, against a real HTTP server on loopback."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from boinc2docker.digest import Digest
from boinc2docker.errors import BuilderError, HostError, InputError, NetworkError, VerificationError
from boinc2docker.fetch.cache import Cache
from boinc2docker.fetch.download import Downloader, GoneError, Wanted
from boinc2docker.fetch.transfer import Partial
from tests.equipment import answers
from tests.equipment.scripted_server import BODY, QUICK, Script, wanted

STAMP = "Sat, 12 Sep 2026 07:55:41 GMT"


def left_over(cache: Cache) -> list[str]:
    return [path.name for kind in ("sha256", "partial") for path in (cache.root / kind).glob("*")]


def test_plain_download_and_second_use_without_network(server: HTTPServer, downloader: Downloader) -> None:
    script = Script(server, "/a", answers.whole(BODY))
    path = downloader.fetch(wanted(script.url))
    assert path.read_bytes() == BODY
    assert downloader.fetch(wanted(script.url)) == path
    assert len(script.requests) == 1
    assert left_over(downloader.cache) == [Digest.of(BODY).hex]


@pytest.mark.parametrize("size", [True, False])
def test_truncated_body_is_resumed_with_range_and_if_range(
    server: HTTPServer, downloader: Downloader, size: bool
) -> None:
    script = Script(server, "/a", answers.cut_off(BODY, 40_000, ETag='"1"'), answers.rest(BODY, ETag='"1"'))
    assert downloader.fetch(wanted(script.url, size=size)).read_bytes() == BODY
    assert script.ranges == [None, "bytes=40000-"]
    assert script.requests[1].headers["If-Range"] == '"1"'


def test_server_without_ranges_starts_again(server: HTTPServer, downloader: Downloader) -> None:
    script = Script(server, "/a", answers.cut_off(BODY, 40_000), answers.whole(BODY))
    assert downloader.fetch(wanted(script.url)).read_bytes() == BODY
    assert script.ranges == [None, "bytes=40000-"]


def test_changed_etag_starts_again(server: HTTPServer, downloader: Downloader) -> None:
    script = Script(
        server, "/a", answers.cut_off(b"x" * len(BODY), 40_000, ETag='"old"'), answers.rest(BODY, ETag='"new"')
    )
    assert downloader.fetch(wanted(script.url)).read_bytes() == BODY
    assert len(script.requests) == 2


def test_wrong_content_range_is_not_appended(server: HTTPServer, downloader: Downloader) -> None:
    def elsewhere(request: Any) -> Any:
        answer = answers.rest(BODY)(request)
        answer.headers["Content-Range"] = f"bytes 0-{len(BODY) - 1}/{len(BODY)}"
        return answer

    script = Script(server, "/a", answers.cut_off(BODY, 40_000), elsewhere, answers.rest(BODY))
    assert downloader.fetch(wanted(script.url)).read_bytes() == BODY
    assert script.ranges == [None, "bytes=40000-", None]


def test_bytes_of_an_earlier_attempt_that_were_bad_cost_one_more_try(
    server: HTTPServer, downloader: Downloader
) -> None:
    partial = Partial(downloader.cache.partial(Digest.of(BODY).hex))
    partial.restart({"url": "http://old.example.org/"})
    partial.data.write_bytes(b"rotten" * 1000)
    script = Script(server, "/a", answers.rest(BODY))
    assert downloader.fetch(wanted(script.url)).read_bytes() == BODY
    assert script.ranges == ["bytes=6000-", None]


def test_file_that_changes_between_two_attempts_of_a_server_without_validators(
    server: HTTPServer, downloader: Downloader
) -> None:
    script = Script(server, "/a", answers.cut_off(b"x" * len(BODY), 40_000), answers.rest(BODY))
    assert downloader.fetch(wanted(script.url)).read_bytes() == BODY
    assert script.ranges == [None, "bytes=40000-", None]


def test_interrupted_process_leaves_bytes_that_the_next_one_uses(
    server: HTTPServer, cache: Cache, downloader: Downloader
) -> None:
    impatient = Downloader(cache, patience=QUICK)
    script = Script(server, "/a", *[answers.cut_off(BODY, 20_000)] * 3, answers.rest(BODY))
    with pytest.raises(NetworkError) as caught:
        impatient.fetch(wanted(script.url))
    assert caught.value.code == "download-failed"
    assert "ended after 60000 of 100000" in caught.value.message or "connection was lost" in caught.value.message
    assert not cache.path(Digest.of(BODY)).exists()
    assert downloader.fetch(wanted(script.url)).read_bytes() == BODY
    assert script.ranges[-1] == "bytes=60000-"


def test_complete_but_unverified_bytes_need_no_request(server: HTTPServer, downloader: Downloader) -> None:
    script = Script(server, "/a", answers.status(500))
    partial = Partial(downloader.cache.partial(Digest.of(BODY).hex))
    partial.restart({})
    partial.data.write_bytes(BODY)
    assert downloader.fetch(wanted(script.url)).read_bytes() == BODY
    assert script.requests == []


def test_partial_longer_than_the_file_is_dropped(server: HTTPServer, downloader: Downloader) -> None:
    script = Script(server, "/a", answers.rest(BODY))
    partial = Partial(downloader.cache.partial(Digest.of(BODY).hex))
    partial.restart({})
    partial.data.write_bytes(BODY + b"more")
    assert downloader.fetch(wanted(script.url)).read_bytes() == BODY
    assert script.ranges == [None]


@pytest.mark.parametrize("size", [True, False])
def test_garbage_of_the_right_length_is_never_kept(server: HTTPServer, downloader: Downloader, size: bool) -> None:
    script = Script(server, "/a", answers.whole(b"g" * len(BODY)))
    with pytest.raises(VerificationError) as caught:
        downloader.fetch(wanted(script.url, size=size))
    assert caught.value.code == "wrong-digest"
    assert Digest.of(BODY).hex in caught.value.message
    assert left_over(downloader.cache) == []


def test_garbage_from_one_mirror_the_file_from_the_next(server: HTTPServer, downloader: Downloader) -> None:
    bad = Script(server, "/bad", answers.whole(b"g" * len(BODY)))
    good = Script(server, "/good", answers.rest(BODY))
    assert downloader.fetch(wanted(bad.url, good.url)).read_bytes() == BODY
    assert good.ranges == [None]


def test_announced_length_that_is_not_the_files_is_refused_unread(server: HTTPServer, downloader: Downloader) -> None:
    script = Script(server, "/a", answers.whole(BODY + b"more"))
    with pytest.raises(NetworkError, match="the server announces 100004"):
        downloader.fetch(wanted(script.url))
    assert left_over(downloader.cache) == []


def test_endless_body_without_length_is_cut(server: HTTPServer, downloader: Downloader) -> None:
    def endless(request: Any) -> Any:
        from werkzeug import Response

        return Response((b"x" * 65536 for _ in range(10_000)), direct_passthrough=True)

    script = Script(server, "/a", endless)
    with pytest.raises(NetworkError, match="more than the expected 100000 bytes"):
        downloader.fetch(wanted(script.url))


def test_gone_everywhere_is_an_error_of_its_own(server: HTTPServer, downloader: Downloader) -> None:
    scripts = [Script(server, f"/{code}", answers.status(code)) for code in (404, 410)]
    with pytest.raises(GoneError) as caught:
        downloader.fetch(wanted(*(script.url for script in scripts)))
    assert caught.value.code == "gone"
    assert [len(script.requests) for script in scripts] == [1, 1]


@pytest.mark.parametrize("other", [403, 500])
def test_gone_on_one_mirror_only_is_not_gone(server: HTTPServer, downloader: Downloader, other: int) -> None:
    missing = Script(server, "/missing", answers.status(404))
    broken = Script(server, "/broken", answers.status(other))
    with pytest.raises(NetworkError) as caught:
        downloader.fetch(wanted(missing.url, broken.url))
    assert not isinstance(caught.value, GoneError)


def test_server_error_is_asked_again_and_a_bad_request_is_not(server: HTTPServer, downloader: Downloader) -> None:
    ill = Script(server, "/ill", answers.status(503), answers.status(500), answers.rest(BODY))
    assert downloader.fetch(wanted(ill.url)).read_bytes() == BODY
    refused = Script(server, "/refused", answers.status(403))
    with pytest.raises(NetworkError, match="403"):
        downloader.fetch(wanted(refused.url, body=b"other"))
    assert len(refused.requests) == 1


def test_retry_after_is_honoured(server: HTTPServer, cache: Cache) -> None:
    from dataclasses import replace

    downloader = Downloader(cache, patience=replace(QUICK, longest_wait=5))
    script = Script(server, "/a", answers.status(429, Retry_After="1"), answers.rest(BODY))
    began = time.monotonic()
    assert downloader.fetch(wanted(script.url)).read_bytes() == BODY
    assert time.monotonic() - began >= 1


def test_stale_range_is_forgotten_after_416(server: HTTPServer, downloader: Downloader) -> None:
    script = Script(server, "/a", answers.cut_off(BODY, 40_000), answers.status(416), answers.rest(BODY))
    assert downloader.fetch(wanted(script.url)).read_bytes() == BODY
    assert script.ranges[2] is None


@pytest.mark.parametrize("kind", ["silent", "silent-in-the-middle", "trickle"])
def test_hanging_mirror_is_given_up_for_the_next(
    server: HTTPServer, downloader: Downloader, released: threading.Event, kind: str
) -> None:
    hang = {
        "silent": answers.silent(released),
        "silent-in-the-middle": answers.silent(released, b"x" * 1000),
        "trickle": answers.trickle(released),
    }[kind]
    first = Script(server, "/hang", hang)
    good = Script(server, "/good", answers.rest(BODY))
    began = time.monotonic()
    assert downloader.fetch(wanted(first.url, good.url)).read_bytes() == BODY
    assert time.monotonic() - began < 60


def test_dead_mirror_is_asked_last_for_the_next_file(
    server: HTTPServer, downloader: Downloader, released: threading.Event
) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{bound.getsockname()[1]}/a"
        good = Script(server, "/good", answers.rest(BODY))
        assert downloader.fetch(wanted(dead, good.url)).read_bytes() == BODY
        other = Script(server, "/other", answers.rest(b"other"))
        began = time.monotonic()
        assert downloader.fetch(wanted(dead, other.url, body=b"other")).read_bytes() == b"other"
        assert time.monotonic() - began < 5


def test_offline_opens_no_socket_and_names_what_is_missing(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "create_connection", forbidden)
    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    offline = Downloader(cache, offline=True)
    with pytest.raises(NetworkError) as caught:
        offline.fetch(wanted("http://mirror.example.org/thing.deb"))
    assert caught.value.code == "offline"
    assert "thing.deb" in caught.value.message


def test_offline_uses_the_cache(server: HTTPServer, cache: Cache, downloader: Downloader) -> None:
    script = Script(server, "/a", answers.rest(BODY))
    downloader.fetch(wanted(script.url))
    assert Downloader(cache, offline=True).fetch(wanted(script.url)).read_bytes() == BODY


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"x" * len(BODY)), lambda path: os.truncate(path, 5)])
def test_damaged_cached_file_is_noticed_and_fetched_again(
    server: HTTPServer, downloader: Downloader, damage: Any
) -> None:
    script = Script(server, "/a", answers.rest(BODY))
    damage(downloader.fetch(wanted(script.url)))
    assert downloader.fetch(wanted(script.url)).read_bytes() == BODY
    assert len(script.requests) == 2


def test_file_urls(tmp_path: Path, cache: Cache) -> None:
    source = tmp_path / "a file+1.deb"
    source.write_bytes(BODY)
    offline = Downloader(cache, offline=True)
    assert offline.fetch(wanted(source.as_uri())).read_bytes() == BODY
    with pytest.raises(GoneError):
        offline.fetch(wanted((tmp_path / "none").as_uri(), body=b"other"))
    source.write_bytes(b"short")
    with pytest.raises(NetworkError, match="expected 7 bytes, found 5"):
        offline.fetch(wanted(source.as_uri(), body=b"another"))


def test_no_mirror_at_all(downloader: Downloader) -> None:
    with pytest.raises(InputError) as caught:
        downloader.fetch(wanted())
    assert caught.value.code == "no-mirror"


def test_many_files_at_once_in_the_order_asked_for(server: HTTPServer, downloader: Downloader) -> None:
    bodies = [bytes([number]) * 5000 for number in range(20)]
    scripts = [Script(server, f"/{number}", answers.rest(body)) for number, body in enumerate(bodies)]
    items = [wanted(script.url, body=body) for script, body in zip(scripts, bodies, strict=True)]
    paths = downloader.fetch_all([*items, items[0]])
    assert [path.read_bytes() for path in paths] == [*bodies, bodies[0]]
    assert all(len(script.requests) == 1 for script in scripts)


def test_a_gone_file_does_not_keep_the_others_from_arriving(server: HTTPServer, downloader: Downloader) -> None:
    missing = Script(server, "/missing", answers.status(404))
    bodies = [bytes([number]) * 5000 for number in range(10)]
    scripts = [Script(server, f"/{number}", answers.rest(body)) for number, body in enumerate(bodies)]
    items = [wanted(script.url, body=body) for script, body in zip(scripts, bodies, strict=True)]
    with pytest.raises(GoneError):
        downloader.fetch_all([wanted(missing.url, body=b"missing"), *items])
    assert all(downloader.cache.look_up(Digest.of(body)) for body in bodies)


def test_failure_of_one_calls_off_the_rest(
    server: HTTPServer, downloader: Downloader, released: threading.Event
) -> None:
    refused = Script(server, "/refused", answers.status(403))
    hanging = Script(server, "/hanging", answers.trickle(released))
    others = [Script(server, f"/{number}", answers.rest(b"x")) for number in range(30)]
    items = [wanted(refused.url), wanted(hanging.url, body=b"y" * 100_000)]
    items += [wanted(script.url, body=bytes([number])) for number, script in enumerate(others)]
    with pytest.raises(BuilderError):
        downloader.fetch_all(items)
    assert sum(len(script.requests) for script in others) < 60


def test_unknown_digest_is_found_out(server: HTTPServer, downloader: Downloader) -> None:
    script = Script(server, "/a", answers.rest(BODY))
    item = Wanted("an ISO", (script.url,), None)
    path = downloader.fetch(item)
    assert path.name == Digest.of(BODY).hex
    downloader.fetch(item)
    assert len(script.requests) == 2


def test_full_disk_is_said_so(server: HTTPServer, downloader: Downloader, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(server, "/a", answers.rest(BODY))

    def full(self: Partial, origin: dict[str, str]) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Partial, "restart", full)
    with pytest.raises(HostError) as caught:
        downloader.fetch(wanted(script.url))
    assert caught.value.code == "disk-full"
    assert len(script.requests) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_really_full_disk(server: HTTPServer, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    try:
        script = Script(server, "/a", answers.rest(BODY))
        cache = Cache(small / "cache")
        with pytest.raises(HostError) as caught:
            Downloader(cache, patience=QUICK).fetch(wanted(script.url))
        assert caught.value.code == "disk-full"
        assert not cache.path(Digest.of(BODY)).exists()
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_cache_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o555)
    with pytest.raises(HostError) as caught:
        Downloader(Cache(tmp_path / "cache")).fetch(wanted("file:///dev/null"))
    assert caught.value.code == "no-permission"


def test_proxy_of_the_environment_is_used(
    server: HTTPServer, downloader: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url_for("").rstrip("/"))
    server.expect_request("/pool/thing.deb").respond_with_data(BODY)
    url = "http://mirror.example.org/pool/thing.deb"
    assert downloader.fetch(wanted(url)).read_bytes() == BODY


@pytest.mark.parametrize("target", ["http://[", "http://[x]:y/", "http:///", "http://a:b/"])
def test_a_redirect_to_no_url_is_the_servers_fault(target: str, tmp_path: Path) -> None:
    class Raw(BaseHTTPRequestHandler):
        """Sends what a well-behaved server library would mend or refuse."""

        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", target)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Raw) as raw:
        threading.Thread(target=raw.serve_forever, daemon=True).start()
        try:
            url = f"http://127.0.0.1:{raw.server_port}/file"
            with pytest.raises(NetworkError) as caught:
                Downloader(Cache(tmp_path), patience=QUICK).fetch(Wanted("file", (url,), None, limit=1000))
        finally:
            raw.shutdown()
    assert caught.value.code == "download-failed"
    assert "\n" not in caught.value.message
