"""Coverage-guided fuzzing of the readers of tables and arrays: ``python -m tests.results.fuzz_numbers [words] CORPUS``.

The words are libFuzzer's. The first byte is the suffix, or says that the rest is a ``.npy`` file, to be put into a ZIP
archive whose checksums are right: the fuzzer could never hit those.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=[
        "zipfile",
        "numpy.lib.format",
        "numpy.lib._format_impl",
        "boinc2docker.results.arrays",
        "boinc2docker.results.tables",
    ]
):
    from tests.results.test_arrays import SEEDS, survive, zipped

SUFFIXES = (".npy", ".npz", ".csv", ".json", ".txt", ".tsv")
ZIPPED = len(SUFFIXES)


def one(data: bytes) -> None:
    """What the fuzzer calls; anything raised is a find. Two halves are compared, and the whole with itself."""
    kind, body = (data[0] % (ZIPPED + 1), data[1:]) if data else (0, b"")
    if kind == ZIPPED:
        survive("a.npz", zipped({"a": body}), zipped({"a": body[: len(body) // 2]}))
    else:
        survive(f"a{SUFFIXES[kind]}", body, body[: len(body) // 2])


def write_corpus(directory: Path) -> None:
    """The seeds of the other tests, as files for the fuzzer to begin with."""
    for number, (name, seed) in enumerate(SEEDS):
        suffix = SUFFIXES.index(Path(name).suffix)
        (directory / f"seed-{number}").write_bytes(bytes([suffix]) + seed)
        if suffix == 0:
            (directory / f"zipped-{number}").write_bytes(bytes([ZIPPED]) + seed)


if __name__ == "__main__":
    write_corpus(Path(sys.argv[-1]))
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
