"""The outcome of a run whose machine reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boinc2docker.vm.streams import Name


@dataclass(frozen=True)
class Outcome:
    """How a run ended whose machine reported. ``exit_code`` is the task's; ``results`` is None if nothing came back.

    ``phases`` are seconds of the guest's uptime; memory is in MB, None or 0 where it is not known. ``failed_phase`` is
    where the guest's agent says that it failed, None if it did not. ``shown`` are bytes of each stream shown already.
    """

    exit_code: int
    message: str
    results: Path | None
    log: Path
    phases: Mapping[str, float]
    downloaded_bytes: int
    reused_bytes: int
    container_exit_code: int | None
    guest_memory_mb: int | None
    host_memory_mb: int
    acceleration: str
    seconds: float
    files: tuple[str, ...] = field(default=())
    failed_phase: str | None = None
    shown: Mapping[Name, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """What ``run --json`` prints."""
        return {
            "exit_code": self.exit_code,
            "message": self.message,
            "container_exit_code": self.container_exit_code,
            "failed_phase": self.failed_phase,
            "results": str(self.results) if self.results else None,
            "log": str(self.log),
            "phases": dict(self.phases),
            "downloaded_bytes": self.downloaded_bytes,
            "reused_bytes": self.reused_bytes,
            "guest_memory_mb": self.guest_memory_mb,
            "host_memory_mb": self.host_memory_mb,
            "acceleration": self.acceleration,
            "seconds": round(self.seconds, 1),
        }
