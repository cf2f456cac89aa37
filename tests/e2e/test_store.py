"""The image store in real machines against a real registry, whose own log says how many bytes it sent.

Trouble is in ``test_store_recovery.py``.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.images import busybox_layer
from tests.e2e.store_rig import CONFIG, MB, Rig, random_layer

pytestmark = [pytest.mark.machine, pytest.mark.timeout(2400)]


@pytest.mark.exhaustive
def test_cold_warm_and_a_shared_base(rig: Rig, record_property: Callable[[str, object], None]) -> None:
    """Cold downloads everything once, warm nothing, an image on the same base only the difference."""
    # In every form that registries have layers in.
    plain, kinds = [busybox_layer(), random_layer(0, 12 * MB), random_layer(1, 3 * MB)], ["gzip", "zstd", "none"]
    first = rig.push_layers("first", plain, kinds)
    second = rig.push_layers("second", [*plain, random_layer(2, 2 * MB)], [*kinds, "gzip"])
    with rig.counting() as sent:
        cold = rig.run(first)
    assert cold["status"] == 0, cold["events"]
    assert first.bytes <= sent[0] <= first.bytes + CONFIG
    assert cold["downloaded_bytes"] == first.bytes
    assert sorted(path.name for path in rig.layer_files()) == sorted(first.names)
    rig.require_whole()

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
    assert sorted(path.name for path in rig.layer_files()) == sorted(second.names)
    rig.require_whole()


@pytest.mark.exhaustive
def test_three_machines_share_one_download(rig: Rig) -> None:
    image = rig.push("together", 9 * MB, 5 * MB, 2 * MB)
    with rig.counting() as sent:
        machines = [rig.start(image, "--memory", "1GB") for _ in range(3)]
        outcomes = [machine.end() for machine in machines]
    assert [outcome["status"] for outcome in outcomes] == [0, 0, 0], [outcome["events"] for outcome in outcomes]
    assert sum(outcome["downloaded_bytes"] for outcome in outcomes) == image.bytes
    assert image.bytes <= sent[0] <= image.bytes + 3 * CONFIG
    rig.require_whole()
