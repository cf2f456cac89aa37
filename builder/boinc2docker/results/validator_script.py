"""The exit codes of BOINC's validator scripts: 0 valid, 3 ask again later, anything else invalid.

Only a verdict rejects a result. Every fault of the server or of the project's own rules means "later", so that a
mistake in app.toml or a full disk never costs a volunteer a result.
Source: sched/script_validator.cpp (VAL_RESULT_TRANSIENT_ERROR).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from boinc2docker.errors import BuilderError
from boinc2docker.results.daemon_script import run_script
from boinc2docker.results.model import RetryError
from boinc2docker.results.settings import Settings, load
from boinc2docker.results.validator import Verdict

GOOD = 0
LATER = 3
WRONG = 9
"""Not 1 or 2, the codes of an interpreter that does not start. The installed script passes 0 and 9 on and turns
everything else into "later"."""


def run(argv: Sequence[str], judge: Callable[[Settings, Sequence[str]], Verdict]) -> int:
    """The exit code for ``argv`` = ``--settings PATH [--] words``; the reason for a rejection goes to stderr."""

    def script(path: Path, words: Sequence[str]) -> int:
        try:
            verdict = judge(load(path), words)
        except RetryError as error:
            verdict, code = Verdict(False, f"later: {error}"), LATER
        else:
            code = GOOD if verdict.good else WRONG
        if code != GOOD:
            from boinc2docker import console

            console.warn(f"{' '.join(words)[:300]}: {verdict.reason}")
        return code

    return run_script(argv, script, _later, unexpected=LATER)


def _later(_error: BuilderError) -> int:
    return LATER
