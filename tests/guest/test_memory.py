"""The memory's peak, which several shells of the agent sample."""

from __future__ import annotations

from pathlib import Path

from tests.guest.machine import Machine


def test_the_peak_is_the_largest_that_any_shell_saw(machine: Machine) -> None:
    """The agent samples once more after the job, when memory is free again."""
    meminfo = Path(machine.environment["B2D_PROC"]) / "meminfo"
    for free, peak in ((900_000, 100_000), (300_000, 700_000), (800_000, 700_000), (200_000, 800_000)):
        meminfo.write_text(f"MemTotal: 1000000 kB\nMemAvailable: {free} kB\nSwapFree: 0 kB\n")
        machine.sh("memory_sample", parts="memory")
        assert (machine.run_dir / "memory-peak").read_text() == f"{peak}\n"


def test_an_unreadable_peak_counts_as_none(machine: Machine) -> None:
    (machine.run_dir / "memory-peak").write_text("")
    machine.sh("memory_sample", parts="memory")
    assert (machine.run_dir / "memory-peak").read_text() == "100000\n"
