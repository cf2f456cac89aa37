"""A job's output as it comes: whole pieces in their order, however they are cut, and nothing from a damaged channel."""

from __future__ import annotations

import itertools
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.vm.streams import LiveOutput, Name, Pieces

PIECES = st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(min_size=1, max_size=4096)), max_size=8)


def packed(pieces: list[tuple[Name, bytes]]) -> bytes:
    tags = {"stdout": b"1", "stderr": b"2"}
    return b"".join(tags[name] + bytes(divmod(len(data), 256)[::-1]) + data for name, data in pieces)


@given(PIECES, st.lists(st.integers(0, 40_000), max_size=6))
def test_pieces_come_whole_and_in_order(pieces: list[tuple[Name, bytes]], cuts: list[int]) -> None:
    data, reader = packed(pieces), Pieces()
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    found = [piece for start, end in itertools.pairwise(edges) for piece in reader.feed(data[start:end])]
    assert found == pieces
    assert not reader.damaged


@given(PIECES, st.binary(min_size=2, max_size=3000))
def test_a_machine_may_write_anything_there(pieces: list[tuple[Name, bytes]], junk: bytes) -> None:
    """Its root is whoever wrote the job: what comes after nonsense is not shown, whatever it looks like."""
    reader = Pieces()
    found = reader.feed(packed(pieces) + b"3" + junk + packed(pieces))
    assert found == pieces
    assert reader.damaged
    assert reader.feed(packed(pieces)) == []


def test_a_length_that_no_guest_sends_is_damage() -> None:
    for length in (b"\x00\x00", b"\x01\x10"):
        reader = Pieces()
        assert reader.feed(b"1" + length + b"x" * 5000) == []
        assert reader.damaged


def test_what_is_there_is_shown_once_and_counted(tmp_path: Path) -> None:
    shown: list[tuple[Name, bytes]] = []
    live = LiveOutput(tmp_path / "streams", lambda name, data: shown.append((name, data)))
    live.poll()
    first, second = packed([("stdout", b"one\n"), ("stderr", b"two")]), packed([("stdout", b"three")] * 1000)
    (tmp_path / "streams").write_bytes(first + second[:2])
    live.poll()
    assert shown == [("stdout", b"one\n"), ("stderr", b"two")]
    (tmp_path / "streams").write_bytes(first + second * 300)
    live.poll()
    assert len(shown) < 200_000, "a megabyte at once"
    live.finish()
    assert len(shown) == 300_002
    assert live.shown == {"stdout": 4 + 300_000 * 5, "stderr": 3}
