"""Where BOINC's server keeps a file of its download directory. Pure.

Source: BOINC ``sched/sched_util_basic.cpp`` (``filename_hash``, ``dir_hier_path``), ``html/inc/dir_hier.inc``.
"""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath


def directory(name: str, fanout: int) -> str:
    """The directory of a file called ``name``: seven hex digits of the name's MD5, the first skipped, modulo fan-out.

    ``""`` if the fan-out is 0: then there are no directories.
    """
    if fanout == 0:
        return ""
    digits = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[1:8]
    return f"{int(digits, 16) % fanout:x}"


def relative_path(name: str, fanout: int) -> PurePosixPath:
    """The file's path below the download directory, and below its URL."""
    return PurePosixPath(directory(name, fanout), name)
