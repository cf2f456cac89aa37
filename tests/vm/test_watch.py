"""When a run is over: every rule, with a clock of our own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.vm.watch import Ending, Limits, Sight, Watch

LIMITS = Limits(boot=100, heartbeat=30, total=1000)


def watch(limits: Limits = LIMITS) -> Watch:
    return Watch(limits, began=0)


@pytest.mark.parametrize(
    ("sight", "ending"),
    [
        (Sight(1), None),
        (Sight(1, completed=True), Ending.COMPLETED),
        (Sight(1, completed=True, gone=True, panicked=True, broken=True, temporary_exit=True), Ending.COMPLETED),
        (Sight(1, temporary_exit=True, gone=True), Ending.TEMPORARY_EXIT),
        (Sight(1, panicked=True, gone=True), Ending.PANIC),
        (Sight(1, broken=True), Ending.BROKEN),
        (Sight(1, gone=True), Ending.POWERED_OFF),
        (Sight(100), None),
        (Sight(101), Ending.NEVER_REPORTED),
        (Sight(101, reported=True), None),
        (Sight(101, heartbeat="first"), None),
        (Sight(1001, reported=True), Ending.TIMEOUT),
        (Sight(1001, completed=True), Ending.COMPLETED),
    ],
)
def test_one_look(sight: Sight, ending: Ending | None) -> None:
    assert watch().judge(sight) is ending


def test_a_heartbeat_that_stands_still_ends_the_run() -> None:
    run = watch()
    sight = Sight(0, reported=True)
    for now in range(0, 200, 10):
        assert run.judge(replace(sight, now=now, heartbeat=now // 20)) is None
    assert run.judge(replace(sight, now=210, heartbeat=9)) is None
    assert run.judge(replace(sight, now=211, heartbeat=9)) is Ending.HEARTBEAT_LOST


def test_an_agent_that_never_beats_is_lost() -> None:
    run = watch()
    assert run.judge(Sight(50, reported=True)) is None
    assert run.judge(Sight(80, reported=True)) is None
    assert run.judge(Sight(81, reported=True)) is Ending.HEARTBEAT_LOST


def test_a_clock_of_the_guest_may_jump_backwards() -> None:
    run = watch()
    for now, beat in ((1, 500.0), (25, 3.0), (50, 2.0), (75, 501.0)):
        assert run.judge(Sight(now, reported=True, heartbeat=beat)) is None


def test_without_a_timeout_a_living_job_runs_for_ever() -> None:
    run = watch(Limits(boot=100, heartbeat=30))
    assert all(run.judge(Sight(now, reported=True, heartbeat=now)) is None for now in range(0, 100_000, 25))


def test_a_run_that_nobody_looked_at_for_long_is_not_lost() -> None:
    """This process was stopped or the host slept: the beat has changed meanwhile, so somebody is alive."""
    run = watch(Limits(boot=100, heartbeat=30))
    assert [run.judge(Sight(now, reported=True, heartbeat=now)) for now in (1, 90_000)] == [None, None]


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=60))
def test_it_ends_exactly_when_a_limit_is_passed(steps: list[tuple[int, bool]]) -> None:
    """Against the rules said once more, in another way: gaps between beats."""
    run = watch(Limits(boot=100, heartbeat=30))
    now, beats, alive_at = 0, 0, 0
    for wait, beat in steps:
        now += wait
        beats += beat
        if beat:
            alive_at = now
        limit = 30 if beats else 100
        expected = now - alive_at > limit
        found = run.judge(Sight(now, heartbeat=beats or None))
        assert (found is not None) == expected
        if found:
            assert found is (Ending.HEARTBEAT_LOST if beats else Ending.NEVER_REPORTED)
            return
