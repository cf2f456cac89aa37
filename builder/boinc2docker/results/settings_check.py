"""Whether an app's settings about results can be used, told before they are installed rather than by a daemon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from boinc2docker.results import rules as project_rules
from boinc2docker.results.settings import Method, parse


def check_settings(table: Mapping[str, Any], base: Path) -> Sequence[str]:
    """The groups of packages that these settings need; relative paths count from ``base``.

    Raises InputError that names the key, RulesError that names the line of the project's own rules.
    """
    found = parse(table, base)
    project_rules.load(found.rules)
    return ["arrays"] if found.comparison.method is Method.NUMERIC else []
