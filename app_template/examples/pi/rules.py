"""A project's own rules for the π example: what makes a result valid, and what the index keeps of it."""

from __future__ import annotations

import math

from boinc2docker.results import InvalidError, Result, Store


def validate(result: Result) -> bool:
    """Accepts an estimate within six standard errors of π, and rejects the others."""
    darts, pi = result.number("pi.json", "darts"), result.number("pi.json", "pi")
    if not isinstance(darts, int) or darts < 1 or not isinstance(result.number("pi.json", "seed"), int):
        raise InvalidError("seed and darts must be whole numbers, darts above 0")
    expected_error = math.sqrt(math.pi * (4 - math.pi) / darts)
    return abs(pi - math.pi) < 6 * expected_error


def assimilate(result: Result, store: Store) -> None:
    """Records one row; ``results export`` and ``results plot darts pi`` know these names."""
    seed, darts, pi = (result.number("pi.json", key) for key in ("seed", "darts", "pi"))
    store.record(seed=seed, darts=darts, pi=pi, error=abs(pi - math.pi))
