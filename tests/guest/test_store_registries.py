"""Several registries, mirrors, tokens and redirections: who is asked for a layer, and with which token."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.blob_server import BlobServer, serving
from tests.guest.machine import Machine
from tests.guest.store_job import image, in_turn, layer, run, state, store, stored, whole


@pytest.fixture
def machine(shell: str, machines: Callable[..., Machine]) -> Machine:
    return machines(shell)


def test_a_registry_that_is_down(machine: Machine, server: BlobServer) -> None:
    wanted = image(server, [layer("x", 3000)], registries=["http://127.0.0.1:1/v2/x/blobs"])
    assert run(machine, wanted) == 75
    assert "127.0.0.1:1" in state(machine, "message")


def test_the_next_registry_helps_and_is_remembered(machine: Machine, server: BlobServer) -> None:
    wanted = image(
        server,
        [layer("x", 3000), layer("y", 3000), layer("z", 3000)],
        registries=["http://127.0.0.1:1/v2/x/blobs", server.blobs_url],
    )
    assert run(machine, wanted) == 0
    assert machine.log().count(", again in ") == 4


@pytest.mark.parametrize(("size", "shell"), in_turn([3000, 9000]))
@pytest.mark.parametrize("fault", ["200", "no-range-no-length-more"])
def test_what_one_registry_sends_in_place_of_a_layer_does_not_disturb_the_next(
    machine: Machine, server: BlobServer, scratch: Path, size: int, fault: str
) -> None:
    """A proxy's page with status 200, however large, is not the beginning of a layer; nor is what is longer."""
    with serving() as proxy:
        wanted = image(server, [layer("x", size)], registries=[proxy.blobs_url, server.blobs_url])
        proxy.add(wanted.layers[0])
        proxy.always = fault
        assert run(machine, wanted, "FETCH_PROGRESS=100\n") == 0, machine.output()
    assert server.sent[wanted.names[0]] == wanted.size
    whole(scratch)
    assert not list((store(scratch) / "corrupt").iterdir())


def test_the_mirrors_of_the_site_come_first(machine: Machine, server: BlobServer) -> None:
    wanted = image(server, [layer("x", 9000)], registries=["http://127.0.0.1:1/v2/library/x/blobs"])
    machine.environment["SITE_REGISTRY_MIRROR"] = f"http://127.0.0.1:2 {server.root}/"
    assert run(machine, wanted) == 0
    assert ": 127.0.0.1:2: " in machine.log()
    assert ": 127.0.0.1:1: " not in machine.log()
    assert {path for path, _, _ in server.requests} == {f"/v2/library/x/blobs/sha256:{wanted.names[0]}"}


@pytest.mark.parametrize("path", ["/token?service=s&scope=repository:x:pull", "/token-access"])
def test_a_token_is_fetched_once_and_again_when_it_ends(machine: Machine, server: BlobServer, path: str) -> None:
    server.token = "abc.DEF-1~2+3/4="
    wanted = image(server, [layer("x", 9000)], token=server.root + path)
    assert run(machine, wanted) == 0, machine.output()
    assert [asked for asked, _, _ in server.requests].count(path) == 1
    server.token = "another"
    server.add(wanted.layers[0])
    assert run(machine, image(server, [layer("y", 9000)], token=server.root + path)) == 0
    assert [asked for asked, _, _ in server.requests].count(path) == 2


@pytest.mark.parametrize(
    ("answer", "shell"),
    in_turn(["", "{}", '{"token":""}', '{"token":"a\\"b"}', '{"token":"a b"}', "\0\xff", "x" * 9999]),
)
def test_a_token_that_is_none(machine: Machine, server: BlobServer, answer: str) -> None:
    server.token, server.token_fault = "abc", answer or " "
    assert run(machine, image(server, [layer("x", 900)], token=f"{server.root}/token")) == 1
    assert "HTTP status 401" in state(machine, "message")


# What the token server answers, the exit status, and the message's end.
TOKEN_SERVERS = {
    "503": (75, "token: HTTP status 503"),
    "429:0900": (75, "token: HTTP status 429"),
    "404": (1, "token: HTTP status 404"),
    "cut": (75, "token: (18) "),
    "down": (75, "token: (7) "),
}


@pytest.mark.parametrize(("answer", "shell"), in_turn(TOKEN_SERVERS))
def test_a_token_server_that_fails(machine: Machine, server: BlobServer, scratch: Path, answer: str) -> None:
    """What it says counts, not that the registry wants a token."""
    server.token, server.token_fault = "abc", answer
    token = "http://127.0.0.1:1/token" if answer == "down" else f"{server.root}/token"
    wanted = image(server, [layer("x", 900)], token=token)
    status, cause = TOKEN_SERVERS[answer]
    assert run(machine, wanted) == status, machine.output()
    assert f"127.0.0.1:{server.port}: {cause}" in state(machine, "message")
    if answer == "429:0900":
        assert state(machine, "temporary-exit").startswith("900\n")
        assert len(server.requests) == 2
    assert not stored(scratch)
    assert not list((store(scratch) / "partial").iterdir())  # the registry's refusal is no layer
    server.token_fault = ""
    assert run(machine, image(server, [layer("x", 900)], token=f"{server.root}/token")) == 0


@pytest.mark.parametrize("size", [900, 9000])
def test_a_redirection_to_a_server_that_is_down(machine: Machine, server: BlobServer, size: int) -> None:
    server.always, server.elsewhere = "redirect", "http://127.0.0.1:1"
    assert run(machine, image(server, [layer("x", size)])) == 75, machine.output()
    assert "(7) Failed to connect" in state(machine, "message")


def test_a_tunnel_that_breaks_costs_nothing_of_what_came(machine: Machine, server: BlobServer, scratch: Path) -> None:
    """curl shows the proxy's status 200, too: it does not mean that the registry has no ranges."""

    class Tunnel(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.rfile.read(1)  # the handshake begins, and ends

    wanted = image(server, [layer("x", 9000)], registries=["https://registry.invalid/v2/x/blobs", server.blobs_url])
    partial = store(scratch) / "partial"
    partial.mkdir(parents=True)
    (partial / f"{wanted.names[0]}.0000-dead").write_bytes(wanted.layers[0][:5000])
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        machine.environment["SITE_HTTPS_PROXY"] = f"http://127.0.0.1:{proxy.server_address[1]}"
        assert run(machine, wanted) == 0, machine.output()
        proxy.shutdown()
        thread.join()
    assert machine.log().count("registry.invalid: (") > 1, machine.log()
    assert server.sent[wanted.names[0]] == len(wanted.layers[0]) - 5000


def test_a_mirror_that_is_the_jobs_registry_keeps_its_token(machine: Machine, server: BlobServer) -> None:
    """Other mirrors get none: it is not theirs."""
    server.token = "abc"
    wanted = image(server, [layer("x", 900)], token=f"{server.root}/token")
    machine.environment["SITE_REGISTRY_MIRROR"] = f"{server.root}/ http://127.0.0.1:1"
    assert run(machine, wanted) == 0, machine.output()
    assert state(machine, "registries").splitlines() == [
        f"{server.blobs_url} {server.root}/token",
        "http://127.0.0.1:1/v2/library/x/blobs ",
    ]


def test_the_token_does_not_follow_to_another_host(machine: Machine, server: BlobServer) -> None:
    with serving() as other:
        server.token, server.always = "secret", "redirect"
        server.elsewhere = f"http://localhost:{other.port}"
        wanted = image(server, [layer("x", 9000)], token=f"{server.root}/token")
        other.add(wanted.layers[0])
        assert run(machine, wanted) == 0, machine.output()
        assert other.requests
        assert {authorization for _, _, authorization in other.requests} == {""}
