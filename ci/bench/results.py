"""The assimilator's throughput: results per second with 1 MB archives, at 1 000 and at 100 000 rows in the index.

Both indexes stand ready before anything is measured, and the rounds alternate, so that a slow moment of this machine
falls on both. What counts is the ratio.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from boinc2docker import console
from boinc2docker.results import index
from boinc2docker.results.arguments import Assimilate
from boinc2docker.results.assimilate import assimilate
from boinc2docker.results.index import Row
from boinc2docker.results.settings import Settings
from tests.equipment.checkout import PROJECT_ROOT
from tests.results.samples import log_tgz, tgz, upload


@dataclass(frozen=True)
class Throughput:
    """Medians: results per second within one process and as the daemon calls it, one process each; ratio of the
    seconds of pairs, many rows to few."""

    few_rows: int
    many_rows: int
    per_second_few: float
    per_second_many: float
    per_second_by_script: float
    ratio: float

    def __str__(self) -> str:
        return (
            f"assimilating 1 MB results: {self.per_second_few:.0f}/s at {self.few_rows} rows, "
            f"{self.per_second_many:.0f}/s at {self.many_rows} ({self.ratio:.2f}× the time); "
            f"{self.per_second_by_script:.1f}/s with a process each"
        )


def throughput(*, few: int = 1_000, many: int = 100_000, rounds: int = 15, each: int = 4) -> Throughput:
    """Measures ``rounds`` pairs of ``each`` results, then a few by the script."""
    with tempfile.TemporaryDirectory(prefix="boinc2docker-bench-") as name:
        work = Path(name)
        archive = tgz({f"data/{i}.bin": random.Random(i).randbytes(250_000) for i in range(4)}, level=1)  # noqa: S311
        apps = []
        for rows in (few, many):
            settings = Settings(app="bench", directory=work / str(rows) / "results")
            with console.step(f"Filling an index with {rows} rows"):
                _fill(settings, rows)
            apps.append(settings)
        for settings in apps:
            _round(settings, archive, -1, each)
        pairs = [tuple(_round(settings, archive, number, each) for settings in apps) for number in range(rounds)]
        script = _by_script(work, archive)
    return Throughput(
        few_rows=few,
        many_rows=many,
        per_second_few=each / statistics.median(pair[0] for pair in pairs),
        per_second_many=each / statistics.median(pair[1] for pair in pairs),
        per_second_by_script=1 / script,
        ratio=statistics.median(pair[1] / pair[0] for pair in pairs),
    )


def _fill(settings: Settings, rows: int) -> None:
    """Rows as the assimilator writes them, in one transaction."""
    settings.directory.mkdir(parents=True)
    outputs = {"results.tgz": {"bytes": 1_000_000, "sha256": "0" * 64}}
    metrics = {"image": "python:3-slim", "memory_peak_mb": 120, "marks": {"init": 3.0, "run": 52.0}}
    with index.opened(settings.directory) as opened, opened.together():
        for number in range(rows):
            name = f"wu_{number * 7919 % rows}"
            opened.put(Row("bench", name, "0", "done", id=number, outputs=outputs, metrics=metrics))


def _round(settings: Settings, archive: bytes, number: int, each: int) -> float:
    """Seconds of ``each`` results, their uploads made and on the disk before."""
    requests = []
    for one in range(each):
        name = f"bench_{number}_{one}"
        requests.append(Assimilate(name, tuple(upload(settings.directory.parent, name, archive, log_tgz())), id=one))
    os.sync()
    began = time.monotonic()
    for request in requests:
        assimilate(settings, request)
    return time.monotonic() - began


def _by_script(work: Path, archive: bytes, rounds: int = 7) -> float:
    """Median seconds of one result as BOINC's daemon runs it."""
    app = work / "app.toml"
    app.write_text('name = "bench"\n')
    taken = []
    for number in range(rounds):
        files = upload(work, f"script_{number}", archive, log_tgz())
        argv = [sys.executable, "-m", "boinc2docker.results.assimilate", "--settings", app, "--", str(number), *files]
        began = time.monotonic()
        subprocess.run([str(word) for word in argv], cwd=PROJECT_ROOT, check=True)
        taken.append(time.monotonic() - began)
    return statistics.median(taken)


if __name__ == "__main__":
    measured = throughput()
    console.report(asdict(measured), str(measured))
