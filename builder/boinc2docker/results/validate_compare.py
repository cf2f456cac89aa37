"""``python -m builder.results.validate_compare --settings APP.TOML files files2``: do they agree? Exit 0, 9 (no), 3."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from builder.results.arguments import parse_compare
from builder.results.settings import Settings
from builder.results.validate_entry import run
from builder.results.validator import Verdict, compare


def judge(settings: Settings, words: Sequence[str]) -> Verdict:
    """The verdict on the two results whose files ``words`` name."""
    return compare(settings, *parse_compare(words))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], judge))
