"""How much room a layer is going to need, as far as its bytes tell, and whether they can be believed."""

from __future__ import annotations

import gzip
import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.guest.blob_server import BlobServer, serving
from tests.guest.machine import Machine, engine_socket
from tests.guest.store_job import StoredImage, image, layer, prepare, run, state, store, stored

NOISE = random.Random(0).randbytes(40 << 10)
CASES = {
    "gzip says it": (gzip.compress(bytes(9 << 20)), 9 << 10),
    "gzip of several members": (gzip.compress(NOISE) + gzip.compress(b""), 100),
    "zstd does not": (b"\x28\xb5\x2f\xfd" + NOISE, 100),
    "a plain tar": (NOISE, 40),
    "hardly anything": (b"\x1f", 0),
    "nothing": (b"", 0),
}


@pytest.mark.parametrize("case", CASES)
def test_the_room_a_layer_needs(machine: Machine, case: str) -> None:
    content, kilobytes = CASES[case]
    layer = machine.root / "layer"
    layer.write_bytes(content)
    said = machine.sh('image_unpacked_kb "$1" "$2"', str(layer), str(len(content)), parts="image")
    assert int(said) == kilobytes


LITTLE = "docker_free_kb() { echo 100; }\n"


@pytest.fixture
def stocked(make: Callable[[str], Machine], scratch: Path) -> Iterator[Machine]:
    """A machine with curl and a scratch."""
    machine = make("busybox")
    prepare(machine, scratch)
    with engine_socket(machine.root / "docker.sock"):
        yield machine


def test_a_damaged_layer_that_claims_much_room_is_fetched_once_more(stocked: Machine, scratch: Path) -> None:
    with serving() as server:
        wanted = image(server, [layer("x", 900), layer("y", 900)])
        kept = store(scratch) / "layers" / "sha256"
        kept.mkdir(parents=True)
        for name, content in zip(wanted.names, wanted.layers, strict=True):
            (kept / name).write_bytes(content)
        (kept / wanted.names[1]).write_bytes(wanted.layers[1][:-4] + b"\xff" * 4)
        assert run(stocked, wanted, LITTLE) == 0, stocked.output()
    assert dict(server.sent) == {wanted.names[1]: len(wanted.layers[1])}
    assert stored(scratch) == dict(zip(wanted.names, wanted.layers, strict=True))


@pytest.mark.parametrize("head", [b"", b"\x28\xb5\x2f\xfd"])
def test_what_needs_too_much_room_says_so_and_nothing_else(stocked: Machine, head: bytes) -> None:
    """Undamaged: no other reason is guessed."""
    packed = layer("x", 900)
    wanted, content = image(BlobServer(), [packed]), head + NOISE * 2
    name = hashlib.sha256(content).hexdigest()
    lines = wanted.lines.replace(f"{wanted.names[0]}' {len(packed)} ", f"{name}' {len(content)} ")
    (stocked.share / "image").mkdir()
    (stocked.share / "image" / name).write_bytes(content)
    assert run(stocked, StoredImage((content,), wanted.config, lines), LITTLE) == 1
    message = state(stocked, "message").rstrip()
    assert message.startswith("image python:3-slim: it needs about ")
    assert message.endswith("a (larger) data disk or more memory")
