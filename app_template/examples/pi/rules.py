"""A project's own rules for the π example: what a result must be, when two agree, and what is kept of it."""

from __future__ import annotations

import math

from builder.results import InvalidError, Result, Store


def validate(result: Result) -> bool:
    """An estimate from a host is believed only within six standard errors."""
    found = result.json("pi.json")
    darts = found["darts"]
    if not isinstance(darts, int) or darts < 1:
        raise InvalidError("darts must be a whole number above 0")
    expected_error = math.sqrt(math.pi * (4 - math.pi) / darts)
    return abs(float(found["pi"]) - math.pi) < 6 * expected_error


def assimilate(result: Result, store: Store) -> None:
    """One row of the table: ``invoke results export`` and ``plot darts pi`` know these names."""
    found = result.json("pi.json")
    store.record(seed=found["seed"], darts=found["darts"], pi=found["pi"], error=abs(found["pi"] - math.pi))
