"""The image store in real machines against a real registry, whose own log says how many bytes it sent.

The fault matrix, which runs with ``--exhaustive``, is in ``test_store_power.py`` and ``test_store_faults.py``.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.store_rig import MB, Rig

pytestmark = [pytest.mark.machine, pytest.mark.timeout(2400)]

CONFIG = 1000
"""The registry also sends the small config, to the submitter: a few hundred bytes a job."""


def test_cold_warm_and_a_shared_base(rig: Rig, record_property: Callable[[str, object], None]) -> None:
    """Cold downloads everything once, warm nothing, an image on the same base only the difference."""
    first = rig.push("first", 12 * MB, 3 * MB)
    second = rig.push("second", 12 * MB, 3 * MB, 2 * MB)
    with rig.counting() as sent:
        cold = rig.run(first)
    assert cold["status"] == 0, cold["events"]
    assert first.bytes <= sent[0] <= first.bytes + CONFIG
    assert cold["downloaded_bytes"] == first.bytes
    assert {path.name for path in rig.layer_files()} == {path.name for path in rig.layer_files() if path.stat().st_size}

    with rig.counting() as sent:
        warm = rig.run(first)
    assert warm["status"] == 0, warm["events"]
    assert sent[0] <= CONFIG
    assert warm["downloaded_bytes"] == 0
    assert warm["reused_bytes"] == first.bytes

    def to_container(outcome: dict[str, dict[str, float]]) -> float:
        return outcome["phases"]["run"] - outcome["phases"]["docker"]

    # A figure, not a condition: a slow day of this machine is no fault of the store.
    seconds = f"cold {to_container(cold):.1f} s, warm {to_container(warm):.1f} s"
    record_property("figure", f"Docker ready to container started: {seconds}")

    with rig.counting() as sent:
        shared = rig.run(second)
    assert shared["status"] == 0, shared["events"]
    assert len(second.layers[-1]) <= sent[0] <= len(second.layers[-1]) + CONFIG
    assert shared["reused_bytes"] == first.bytes


def test_three_machines_share_one_download(rig: Rig) -> None:
    image = rig.push("together", 9 * MB, 5 * MB, 2 * MB)
    with rig.counting() as sent:
        machines = [rig.start(image, "--memory", "1GB") for _ in range(3)]
        outcomes = [machine.end() for machine in machines]
    assert [outcome["status"] for outcome in outcomes] == [0, 0, 0], [outcome["events"] for outcome in outcomes]
    assert sum(outcome["downloaded_bytes"] for outcome in outcomes) == image.bytes
    assert image.bytes <= sent[0] <= image.bytes + 3 * CONFIG
    assert not list((rig.store / "locks").iterdir())
