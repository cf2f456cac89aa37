"""Probes: what a machine writes before its mark. The budget spares them; those of dead machines go in time."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.guest.machine import Machine


def test_probes_stay_for_some_days(machine: Machine, tmp_path: Path) -> None:
    store = tmp_path / "v1"
    for name in ("layers/sha256", "partial", "locks", "used", "corrupt"):
        (store / name).mkdir(parents=True)
    partial = store / "partial"
    ages = {"probe.a": 0, "probe.b": 40, "probe.c.2": 49, "d" * 64 + ".e": 0}
    for name, hours in ages.items():
        (partial / name).write_text("x\n")
        os.utime(partial / name, (time.time() - hours * 3600,) * 2)
    script = "STORE=$1 STORE_HOST=$1 STORE_VM=f; budget_bytes() { echo 0; }; store_tidy; budget_evict"
    machine.sh(script, str(store), parts="budget")
    assert sorted(path.name for path in partial.iterdir()) == ["probe.a", "probe.b"]
