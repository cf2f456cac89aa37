"""One host's store through a power cut, a pause and a damaged layer, in three machines: the cheapest form of each.

The long forms, which run with ``--exhaustive``, are in ``test_store_power.py``, ``test_store_pause.py`` and
``test_store_faults.py``.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.e2e.store_rig import CHUNK, CONFIG, MB, Rig

pytestmark = [pytest.mark.machine, pytest.mark.timeout(2400)]


def test_a_power_cut_a_pause_and_a_damaged_layer(rig: Rig, record_property: Callable[[str, object], None]) -> None:
    """The first loses its power while it fetches; the second goes on there and is stopped; the third goes on there.

    The third also finds a damaged layer. When all is done the second wakes up, its lock long taken over.
    """
    image = rig.push("trouble", 20 * MB)
    small, large = image.names
    with rig.counting() as sent:
        cut = rig.start(image, "--memory", "1GB")
        cut.until(cut.said("agent"), "the agent")
        paused = rig.start(image, "--memory", "1GB")
        cut.until(lambda: rig.partial_bytes(large) >= CHUNK, "a chunk")
        if cut.said("waits for")():
            cut, paused = paused, cut  # who came first is chance
        cut.signal(signal.SIGKILL)
        assert cut.end()["status"] == 125
        kept = rig.partial_bytes(large)
        paused.until(lambda: rig.partial_bytes(large) > kept or rig.layer(large).exists(), "more than was kept")
        paused.signal(signal.SIGSTOP)
        assert not rig.layer(large).exists(), "too late: it had it all"
        assert "resumes at" in paused.events()
        third = rig.start(image, "--memory", "1GB")  # not before: it could be faster than the second
        damaged = bytearray(rig.layer(small).read_bytes())
        damaged[len(damaged) // 2] ^= 0x10
        rig.layer(small).write_bytes(damaged)
        outcome = third.end()
        assert outcome["status"] == 0, outcome["events"]
        assert outcome["events"].count("the other machine is gone, taking over") == 1
        paused.signal(signal.SIGCONT)
        woken = paused.end()
    assert woken["status"] == 0, woken["events"]
    assert "was taken over by another machine" in woken["events"]
    # Each chunk that was under way is sent twice at most, and the damaged layer once more.
    once_more = len(image.layers[0])
    assert image.bytes + once_more <= sent[0] <= image.bytes + once_more + 2 * CHUNK + 3 * CONFIG
    again = (sent[0] - image.bytes - once_more) / 1e6
    record_property("figure", f"a power cut and a pause cost {again:.1f} MB sent again, of {image.bytes / 1e6:.1f} MB")
    assert [path.name.partition(".")[0] for path in (rig.store / "corrupt").iterdir()] == [small]
    assert sorted(path.name for path in rig.layer_files()) == sorted(image.names)
    rig.require_whole()
