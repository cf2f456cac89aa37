"""The frame of the three scripts that BOINC's daemons call: words in, exit code and one line out."""

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
    """Calls ``script(settings, words)`` for ``--settings PATH [--] words``. What it raises is shown on stderr, which
    is the daemon's log, and ``failed`` makes an exit code of it; ``unexpected`` is for faults of this program."""
    try:
        return script(*_split(argv))
    except BuilderError as error:
        from boinc2docker import console  # only here: loading it takes longer than a small result

        console.failure(error)
        return failed(error)
    except Exception:  # noqa: BLE001 - a daemon must get the exit code that keeps the result
        from boinc2docker import console

        console.warn(traceback.format_exc())
        return unexpected


def _split(argv: Sequence[str]) -> tuple[Path, list[str]]:
    if len(argv) < 2 or argv[0] != "--settings":
        raise UsageError("usage", "expected --settings PATH before the words of the daemon")
    words = list(argv[2:])
    return Path(argv[1]), words[1:] if words[:1] == ["--"] else words
