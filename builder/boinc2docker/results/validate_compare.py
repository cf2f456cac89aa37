"""``python -m boinc2docker.results.validate_compare --settings APP.TOML files files2``: are two results equivalent?

Exit 0: yes, 9: no, 3: ask again later.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from boinc2docker.results.arguments import parse_compare
from boinc2docker.results.settings import Settings
from boinc2docker.results.validator import Verdict, compare
from boinc2docker.results.validator_script import run


def judge(settings: Settings, words: Sequence[str]) -> Verdict:
    """The verdict on the two results whose files are in ``words``."""
    return compare(settings, *parse_compare(words))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], judge))
