"""``python -m builder.results.validate_init --settings APP.TOML files``: is this result valid? Exit 0, 9 (no), 3."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from builder.results.arguments import parse_validate
from builder.results.settings import Settings
from builder.results.validate_entry import run
from builder.results.validator import Verdict, validate


def judge(settings: Settings, words: Sequence[str]) -> Verdict:
    """The verdict on the files named by ``words``."""
    return validate(settings, parse_validate(words))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], judge))
