"""The frame of the three scripts that BOINC's daemons call: words in, an exit code and one line out."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from boinc2docker.errors import BuilderError, UsageError


def run_script(
    argv: Sequence[str],
    script: Callable[[Path, Sequence[str]], int],
    failed: Callable[[BuilderError], int],
    *,
    unexpected: int,
) -> int:
    """Calls ``script(settings, words)`` for ``--settings PATH [--] words``.

    Errors are shown on stderr, the daemon's log. ``failed`` gives their exit code; ``unexpected`` is the exit code of
    a fault in this program.
    """
    try:
        return script(*_split(argv))
    except BuilderError as error:
        from boinc2docker import console  # imported late: it takes longer to load than a small result to judge

        console.failure(error)
        return failed(error)
    except Exception:  # noqa: BLE001 - a daemon must get the exit code that keeps the result
        from boinc2docker import console

        console.warn(traceback.format_exc())
        return unexpected


def _split(argv: Sequence[str]) -> tuple[Path, list[str]]:
    if len(argv) < 2 or argv[0] != "--settings":
        raise UsageError("usage", "expected --settings PATH before the daemon's words")
    words = list(argv[2:])
    return Path(argv[1]), words[1:] if words[:1] == ["--"] else words
