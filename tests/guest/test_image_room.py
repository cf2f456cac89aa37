"""How much room a layer is going to need, as far as its bytes tell."""

from __future__ import annotations

import gzip
import random

import pytest

from tests.guest.machine import Machine

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
    said = machine.sh('image_unpacked_kb "$1" "$2"', str(layer), str(len(content)), parts="paths log image")
    assert int(said) == kilobytes
