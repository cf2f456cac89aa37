"""When and why a run ends: the rules of vboxwrapper's main loop, and our limits. Pure.

Source: BOINC, samples/vboxwrapper/vboxwrapper.cpp. The completion file is checked first, so that a machine that
reports and powers off in the same second counts as completed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Ending(Enum):
    """Ways a run can end. The values of all but the first are error codes."""

    COMPLETED = "completed"
    TEMPORARY_EXIT = "temporary-exit"
    PANIC = "kernel-panic"
    BROKEN = "machine-broken"
    POWERED_OFF = "machine-powered-off"
    TIMEOUT = "timeout"
    NEVER_REPORTED = "never-reported"
    HEARTBEAT_LOST = "heartbeat-lost"


@dataclass(frozen=True)
class Limits:
    """Seconds: until the first event, between heartbeats, and of the whole run (None: as long as it takes)."""

    boot: float
    heartbeat: float
    total: float | None = None


@dataclass(frozen=True)
class Sight:
    """What is seen of a run at one moment. ``heartbeat`` changes with each beat and is None before the first."""

    now: float
    completed: bool = False
    temporary_exit: bool = False
    panicked: bool = False
    broken: bool = False
    gone: bool = False
    reported: bool = False
    heartbeat: object = None


class Watch:
    """Judges one run. ``now`` is any clock in seconds that does not run while this host sleeps."""

    def __init__(self, limits: Limits, began: float) -> None:
        self._limits, self._began = limits, began
        self._last_beat: object = None
        self._alive_at: float | None = None

    def judge(self, sight: Sight) -> Ending | None:
        """Returns how the run has ended, None if it goes on."""
        self._note(sight)
        for seen, ending in (
            (sight.completed, Ending.COMPLETED),
            (sight.temporary_exit, Ending.TEMPORARY_EXIT),
            (sight.panicked, Ending.PANIC),
            (sight.broken, Ending.BROKEN),
            (sight.gone, Ending.POWERED_OFF),
        ):
            if seen:
                return ending
        return self._judge_time(sight.now)

    def _note(self, sight: Sight) -> None:
        if self._alive_at is None and (sight.reported or sight.heartbeat is not None):
            self._alive_at = sight.now
        if sight.heartbeat is not None and sight.heartbeat != self._last_beat:
            self._last_beat, self._alive_at = sight.heartbeat, sight.now

    def _judge_time(self, now: float) -> Ending | None:
        if self._limits.total is not None and now - self._began > self._limits.total:
            return Ending.TIMEOUT
        if self._alive_at is None:
            return Ending.NEVER_REPORTED if now - self._began > self._limits.boot else None
        return Ending.HEARTBEAT_LOST if now - self._alive_at > self._limits.heartbeat else None
