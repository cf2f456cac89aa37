"""Checks an app's settings for results before they are installed, so that no daemon has to stumble over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from boinc2docker.results import rules as project_rules
from boinc2docker.results.settings import Method, parse


def check_settings(table: Mapping[str, Any], base: Path) -> Sequence[str]:
    """Checks the settings and returns the extras that they need. Relative paths count from ``base``.

    Raises InputError that names the key, RulesError that names the line of the project's own rules.
    """
    settings = parse(table, base)
    project_rules.load(settings.rules)
    return ["arrays"] if settings.comparison.method is Method.NUMERIC else []
