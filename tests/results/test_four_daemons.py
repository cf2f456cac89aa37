"""Four assimilators at once, killed at random points, against a ledger of the uploads: nothing lost or doubled."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.equipment.checkout import PROJECT_ROOT
from tests.results.samples import log_tgz, tgz, tree, upload, write_app
from tests.results.test_assimilate import rows


def daemon(app: Path, share: list[tuple[int, list[Path]]], seed: int, kills: list[float]) -> int:
    """As script_assimilator: one work unit at a time, again until the script exits 0; some runs are killed -9, and
    nothing else may end one."""
    chance = random.Random(seed)
    killed = 0
    for number, files in share:
        while True:
            argv = [
                sys.executable,
                "-m",
                "boinc2docker.results.assimilate",
                "--settings",
                app,
                "--",
                str(number),
                *files,
            ]
            process = subprocess.Popen([str(word) for word in argv], cwd=PROJECT_ROOT, stderr=subprocess.DEVNULL)
            if chance.random() < 0.6:
                time.sleep(chance.uniform(*kills))
                process.kill()
            code = process.wait(60)
            assert code in (0, -9)
            if code == 0:
                break
            killed += 1
            assert killed < 40 * len(share)
    return killed


def matrix(tmp_path: Path, count: int) -> int:
    app = write_app(tmp_path)
    ledger: dict[str, str] = {}
    work: list[tuple[int, list[Path]]] = []
    for number in range(count):
        data = tgz({f"{i}.bin": random.Random(number * 100 + i).randbytes(9000) for i in range(12)})
        data = data if number % 7 else data[:-30]
        ledger[f"wu_{number}"] = hashlib.sha256(data).hexdigest()
        work.append((number, upload(tmp_path, f"wu_{number}", data, log_tgz())))
    # Every work unit is asked for by two daemons, which --mod would prevent.
    shares = [work[::2], work[1::2], list(reversed(work[::2])), list(reversed(work[1::2]))]
    with ThreadPoolExecutor(4) as pool:
        killed = sum(pool.map(lambda one: daemon(app, one[1], one[0], [0.04, 0.3]), enumerate(shares)))
    found = rows(app)
    assert {row.name: row.outputs["results.tgz"]["sha256"] for row in found} == ledger
    assert len(found) == count
    results = tmp_path / "results"
    for row in found:
        assert row.state == ("done" if row.id is not None and row.id % 7 else "failed")
        home = results / str(row.directory)
        assert hashlib.sha256((home / "results.tgz").read_bytes()).hexdigest() == ledger[row.name]
        assert row.state == "failed" or len(tree(home / "results")) == 12
    assert sum(path.name == "results.tgz" for path in results.rglob("*")) == count
    assert len(tree(tmp_path / "upload")) == 2 * count
    assert not tree(results / ".staging")
    return killed


def test_four_daemons_lose_and_double_nothing(tmp_path: Path) -> None:
    assert matrix(tmp_path, 10) > 0


@pytest.mark.exhaustive
def test_four_daemons_with_many_kills(tmp_path: Path) -> None:
    assert matrix(tmp_path, 150) > 50
