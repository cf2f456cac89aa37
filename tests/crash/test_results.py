"""A power cut at any moment, with any unsynced write lost: what the assimilator had told of is there, and going on ends
as if nothing had happened."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from boinc2docker.digest import Digest
from boinc2docker.results import index
from boinc2docker.results.index import Row
from tests.conftest import needs
from tests.crash import assimilation
from tests.crash.disk import CrashState, Mark, Recording, crash_states
from tests.crash.recording import record
from tests.results.samples import tree

LATEST = {"wu_1": "done", "damaged": "failed", "lost": "error", "wu_3 retried": "done"}
"""What a step that was told leaves for good; ``wu_3`` alone is failed, or done if the power was cut in its retry."""
WITHOUT_MEANING = re.compile(r"/\.locks/|-shm$")
"""Locks are the kernel's, and SQLite makes its shared memory anew."""


@dataclass(frozen=True)
class Day:
    """The recorded day, and how it ends without a power cut."""

    recording: Recording
    uploads: Path
    rows: list[Row]
    files: dict[str, bytes]


def plain_rows(directory: Path) -> list[Row]:
    with index.opened(directory) as opened:
        return [replace(row, recorded_at="") for row in opened.select()]


def plain_files(directory: Path) -> dict[str, bytes]:
    """All results, without the times in their records. What is left in staging is nobody's."""
    others = (index.FILE, ".locks/", ".staging/")
    found = {name: data for name, data in tree(directory).items() if not name.startswith(others)}
    for name, data in found.items():
        if name.endswith(("result.json", "failure.json")):
            found[name] = json.dumps(json.loads(data) | {"recorded_at": ""}, sort_keys=True).encode()
    return found


@pytest.fixture
def day(tmp_path: Path) -> Day:
    needs("strace")
    uploads = tmp_path / "uploads"
    for name in ("calm", "recorded"):
        app = assimilation.prepare(tmp_path / name, uploads)
    assimilation.run(tmp_path / "calm" / app.name, uploads)
    words: list[str | Path] = [sys.executable, "-m", "tests.crash.assimilation", app, uploads]
    environment = {"PYTHONDONTWRITEBYTECODE": "1"}
    recording = record(words, app.parent, tmp_path / "log", environment)
    told = [one.text for one in recording.operations if isinstance(one, Mark)]
    assert told == list(assimilation.STEPS)
    results = tmp_path / "calm" / "results"
    return Day(recording, uploads, plain_rows(results), plain_files(results))


def check(state: CrashState, day: Day, place: Path) -> None:
    """Puts a state on a disk, looks, and goes on where the daemon would."""
    state.put(place)
    app, results = place / "app.toml", place / "results"
    if state.told:
        kept(results, state.told)
    assimilation.run(app, day.uploads, assimilation.STEPS[len(state.told) :])
    assert plain_rows(results) == day.rows
    found = plain_files(results)
    done = {f"failed/{row.app}/{row.name}" for row in day.rows if row.state == "done"}
    # A cut between a retry's row and the removal of the failure leaves that.
    left = {name for name in found.keys() - day.files.keys() if str(Path(name).parent) in done}
    assert {name: data for name, data in found.items() if name not in left} == day.files
    with sqlite3.connect(results / index.FILE) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def kept(results: Path, told: tuple[str, ...]) -> None:
    """What was told is there at once: row, place, and every byte."""
    with index.opened(results) as opened:
        rows = {row.name: row for row in opened.select()}
    for name in told:
        row = rows[name.partition(" ")[0]]
        if name == "wu_1 another":
            row = next(row for row in rows.values() if row.name.startswith("wu_1+"))
        assert row.state in ((LATEST[name],) if name in LATEST else ("done", "failed"))
        for output, facts in row.outputs.items():
            home = results / str(row.directory)
            if not home.is_dir() and name == "wu_3":  # moved by a retry that had not told yet
                home = results / "demo" / "0" / "wu_3"
            assert Digest.of_file(home / output).hex == facts["sha256"]


def check_all(day: Day, memory: Path, figure: Callable[[str, str], None], *, exhaustive: bool) -> int:
    count = 0
    for state in crash_states(day.recording, exhaustive=exhaustive, passed_over=WITHOUT_MEANING):
        place = memory / "state"
        try:
            check(state, day, place)
        except Exception as error:
            raise AssertionError(f"power cut {state.how}; told before: {state.told}") from error
        shutil.rmtree(place)
        count += 1
    figure("figure", f"results: {len(day.recording.operations)} operations, {count} states after a power cut")
    return count


def test_nothing_that_was_told_is_lost(day: Day, memory: Path, record_property: Callable[[str, str], None]) -> None:
    assert check_all(day, memory, record_property, exhaustive=False) > 100


@pytest.mark.exhaustive
def test_nothing_is_lost_in_the_long_run(day: Day, memory: Path, record_property: Callable[[str, str], None]) -> None:
    assert check_all(day, memory, record_property, exhaustive=True) > 1000
