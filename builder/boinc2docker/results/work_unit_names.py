"""Names of work units: in the names of their output files, and as names of directories."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_OUTPUT = re.compile(r"(?P<workunit>.+)_(?P<replica>\d+)_r(?P<random>-?\d+)_(?P<number>\d+)(?:\.[A-Za-z0-9.]+)?")
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,149}")


@dataclass(frozen=True)
class OutputName:
    """The parts of an output file's physical name, ``<work unit>_<replica>_r<random>_<number>``."""

    workunit: str
    result: str
    number: int


def parse_output(name: str) -> OutputName | None:
    """Parses an output file's name as made by the output template (``<OUTFILE_n/>``); None for other names."""
    match = _OUTPUT.fullmatch(name)
    if match is None or len(match["number"]) > 3:
        return None
    return OutputName(match["workunit"], f"{match['workunit']}_{match['replica']}", int(match["number"]))


def directory_name(name: str) -> str:
    """``name`` itself if it is plain, else its plain part and a digest.

    No two names share a directory: names with a digest contain ``=``, and plain ones do not.
    """
    if _PLAIN.fullmatch(name):
        return name
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name[:60])
    return f"{plain}={hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:20]}"
