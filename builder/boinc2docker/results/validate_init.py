"""``python -m boinc2docker.results.validate_init --settings APP.TOML files``: is this result valid?

Exit 0: yes, 9: no, 3: ask again later.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from boinc2docker.results.arguments import parse_validate
from boinc2docker.results.settings import Settings
from boinc2docker.results.validator import Verdict, validate
from boinc2docker.results.validator_script import run


def judge(settings: Settings, words: Sequence[str]) -> Verdict:
    """The verdict on the result whose files are in ``words``."""
    return validate(settings, parse_validate(words))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], judge))
