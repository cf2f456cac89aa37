"""Figures of two runs held against each other, and the picture of it."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.errors import InputError
from ci.bench import bench, figures
from ci.bench import chart as bench_chart
from ci.bench.figures import Better, Row, better
from tests.conftest import call

OLD = {
    "format": 1,
    "comparisons": [{"name": "remaster", "against": "cp", "ratio": 2.0, "seconds": 0.4}],
    "phases": {"power-on → init": 3.0, "init → containerd": 10.0},
    "run": {"exit_code": 0, "guest_memory_mb": 150, "phases": {"init": 3.0}},
    "size_bytes": {"agent": 100, "total": 1000},
}
NEW = {**OLD, "phases": {"power-on → init": 6.0}, "submission": {"jobs_per_second": 500.0}}


def test_every_number_is_found_by_its_path() -> None:
    assert figures.flatten(OLD) == {
        "comparisons/remaster against cp/ratio": 2.0,
        "comparisons/remaster against cp/seconds": 0.4,
        "phases/power-on → init": 3.0,
        "phases/init → containerd": 10.0,
        "run/guest_memory_mb": 150,
        "size_bytes/agent": 100,
        "size_bytes/total": 1000,
    }


def test_ratios_and_what_came_and_went() -> None:
    rows = {row.name: row for row in figures.compare(figures.flatten(OLD), figures.flatten(NEW))}
    assert rows["phases/power-on → init"].ratio == 2.0
    assert str(rows["phases/power-on → init"]) == "phases/power-on → init: 3 → 6 (2.00×)"
    assert str(rows["submission/jobs_per_second"]) == "submission/jobs_per_second: 500 (new)"
    assert str(rows["phases/init → containerd"]) == "phases/init → containerd: 10 (gone)"


NUMBERS = st.dictionaries(st.text(max_size=20), st.floats(0.001, 1e9) | st.integers(1, 10**9), min_size=1)


@given(NUMBERS, NUMBERS)
def test_any_figures_make_a_picture_or_a_clear_refusal(old: dict[str, float], new: dict[str, float]) -> None:
    rows = figures.compare(old, new)
    assert {row.name for row in rows} == old.keys() | new.keys()
    try:
        picture = ET.fromstring(bench_chart.draw(rows))
    except InputError:
        assert not any(row.ratio for row in rows)
        return
    bars = list(picture.iter("{http://www.w3.org/2000/svg}rect"))[1:]
    assert len(bars) == sum(1 for row in rows if row.ratio)
    assert all(0 <= float(bar.attrib["x"]) <= 960 for bar in bars)


def test_a_doubling_is_as_long_as_a_halving() -> None:
    rows = [Row("twice", 1, 2, 2.0), Row("half", 2, 1, 0.5)]
    picture = ET.fromstring(bench_chart.draw(rows))
    twice, half = list(picture.iter("{http://www.w3.org/2000/svg}rect"))[1:]
    assert twice.attrib["width"] == half.attrib["width"]
    assert math.isclose(float(half.attrib["x"]) + float(half.attrib["width"]), float(twice.attrib["x"]))


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("results/per_second_few", Better.MORE),
        ("submission/jobs_per_second", Better.MORE),
        ("results/ratio", Better.LESS),
        ("phases/first-output", Better.LESS),
        ("comparisons/remaster against cp/seconds", Better.LESS),
        ("comparisons/remaster against cp/against_seconds", Better.NEITHER),
        ("staging/ours/seconds", Better.LESS),
        ("staging/classic/peak_disk_mb", Better.NEITHER),
        ("submitting/one_by_one_cpu", Better.NEITHER),
        ("submitting/jobs", Better.NEITHER),
    ],
)
def test_a_bar_is_coloured_by_what_is_better(name: str, way: Better) -> None:
    assert better(name) is way
    colours = []
    for row in (Row(name, 2, 1, 0.5), Row(name, 10, 10, 1.0), Row(name, 10, 20, 2.0)):
        picture = ET.fromstring(bench_chart.draw([row]))
        colours.append(list(picture.iter("{http://www.w3.org/2000/svg}rect"))[1].attrib["fill"])
    green, red, grey = "#4f8f4f", "#c0504d", "#808080"
    ways = {Better.LESS: [green, grey, red], Better.MORE: [red, grey, green], Better.NEITHER: [grey] * 3}
    assert colours == ways[way]


def test_machines_of_different_speed_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    store = {"cold": 60.0, "warm": 9.0, "cold_bytes": 5}
    old.write_text(json.dumps({**OLD, "store": store, "run": {"acceleration": "kvm", "guest_memory_mb": 150}}))
    for acceleration in ("kvm", "tcg"):
        run = {"acceleration": acceleration, "guest_memory_mb": 300}
        new.write_text(json.dumps({**NEW, "store": {**store, "cold": 600.0}, "run": run}))
        bench.run(None, quick=False, before=figures.read(old), figures=new, chart=None)
        said = capsys.readouterr()
        assert "run/guest_memory_mb: 150 → 300 (2.00×)" in said.out
        assert "store/cold_bytes: 5 → 5 (1.00×)" in said.out
        same = acceleration == "kvm"
        assert ("ran with kvm before and with tcg now" in said.err) is not same
        assert ("phases/power-on → init: 3 → 6 (2.00×)" in said.out) is same
        assert ("store/cold: 60 → 600 (10.00×)" in said.out) is same


def test_the_command_compares_files_and_draws(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps(OLD))
    new.write_text(json.dumps(NEW))
    done = call("bench", "--compare", old, "--figures", new, "--chart", tmp_path / "chart.svg")
    assert done.returncode == 0, done.stderr
    assert "phases/power-on → init: 3 → 6 (2.00×)" in done.stdout
    assert (tmp_path / "chart.svg").read_text().startswith("<svg ")
    old.write_text("[]")
    done = call("bench", "--compare", old, "--figures", new)
    assert done.returncode == 1
    assert "expected a JSON object" in done.stderr
    assert call("bench", "--chart", tmp_path / "chart.svg").returncode == 2
