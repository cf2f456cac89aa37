"""Plots that a scientist can read: scales that fit the values, medians where x repeats."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.cli.results import Options, results_command
from boinc2docker.cli.results_plot import Scale, plot, scale_of, summaries
from boinc2docker.errors import InputError, UsageError
from boinc2docker.results.arguments import parse_assimilate
from boinc2docker.results.assimilate import assimilate
from boinc2docker.results.settings import load
from tests.results.samples import tgz, upload, write_app


def drawn(directory: Path, lines: list[dict[str, object]], **more: object) -> str:
    """The picture's text, without the markup of exponents."""
    plot(directory / "a.svg", lines, "x", "y", title="y against x\n$demo$", **more)  # type: ignore[arg-type]
    text = (directory / "a.svg").read_text()
    return text.replace("mathdefault{", "").replace("$\\", "").replace("}}", "}")


def test_axes_of_values_far_apart_are_logarithmic(tmp_path: Path) -> None:
    lines: list[dict[str, object]] = [{"x": 10**n, "y": -n} for n in range(5)]
    text = drawn(tmp_path, lines)
    assert "10^{4}" in text
    assert "10^{4}" not in drawn(tmp_path, lines, scales={"x": "linear"})
    assert "<!-- y against x -->" in text
    assert "<!-- $demo$ -->" in text, "a name is no mathematics"
    assert "median" not in text


def test_repeated_values_get_medians(tmp_path: Path) -> None:
    lines: list[dict[str, object]] = [{"x": x, "y": y} for x in (1000, 1_000_000) for y in range(1, 6)]
    assert "<!-- median; the bar spans the middle half of the results -->" in drawn(tmp_path, lines)


@given(st.lists(st.tuples(st.sampled_from([1.0, 2.0, 3.0]), st.floats(-1e6, 1e6)), min_size=9))
def test_summaries_hold_the_median_of_each_x(points: list[tuple[float, float]]) -> None:
    found = summaries(points)
    assert [group.x for group in found] == sorted({x for x, _ in points})
    for group in found:
        assert group.median == pytest.approx(median(y for x, y in points if x == group.x))
        assert group.lower <= group.median <= group.upper


def test_points_of_their_own_have_no_medians() -> None:
    assert summaries([(float(n), 1.0) for n in range(100)]) == []


@pytest.mark.parametrize(
    ("values", "forced", "scale"),
    [
        ([1, 100], None, "log"),
        ([1, 99], None, "linear"),
        ([0, 1000], None, "linear"),
        ([-1, 1000], None, "linear"),
        ([5], None, "linear"),
        ([1, 1000], "linear", "linear"),
        ([1, 2], "log", "log"),
    ],
)
def test_scales(values: list[float], forced: Scale | None, scale: Scale) -> None:
    assert scale_of("x", "darts", values, forced) == scale


def test_no_logarithm_of_zero() -> None:
    with pytest.raises(UsageError, match=r"--log y: expected only values above 0, but 2 of 3 error are not"):
        scale_of("y", "error", [0, 1, -1], "log")


def test_what_is_no_number_is_no_point(tmp_path: Path) -> None:
    lines = [{"x": x, "y": 1} for x in (1, 2.5, None, "3", True, float("nan"), float("inf"))]
    assert plot(tmp_path / "a.png", lines, "x", "y", title="") == 2
    with pytest.raises(InputError, match="no result has numbers for both x and y"):
        plot(tmp_path / "a.png", lines[2:], "x", "y", title="")


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = write_app(tmp_path, rules="def assimilate(result, store):\n    store.record(**result.json('a.json'))\n")
    for number in range(3):
        files = upload(tmp_path, f"demo_s_{number}", tgz({"a.json": b'{"n": %d, "e": 0.5}' % 10**number}))
        assimilate(load(path), parse_assimilate(["1", *map(str, files)]))
    return path


def test_the_command_names_app_and_batch_and_forces_scales(app: Path, tmp_path: Path) -> None:
    output = tmp_path / "a.svg"
    assert results_command("plot", Options(app, ["n", "e"], output=output, batch="s", linear="x", log="y")) == 0
    text = output.read_text()
    assert "<!-- e against n -->" in text
    assert "<!-- demo, batch s: 3 results -->" in text
    assert "<!-- 100 -->" in text


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"log": "z"}, "--log: expected x, y or xy, found 'z'"),
        ({"linear": "xx"}, "--linear: expected x, y or xy, found 'xx'"),
        ({"log": "xy", "linear": "y"}, "--log xy and --linear y both name y"),
    ],
)
def test_wrong_axes(app: Path, options: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        results_command("plot", Options(app, ["n", "e"], **options))  # type: ignore[arg-type]


def test_a_misspelt_column_is_named_and_nothing_is_drawn(app: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no result has a column m") as caught:
        results_command("plot", Options(app, ["m", "e"], output=tmp_path / "a.svg"))
    assert "columns: app, name" in str(caught.value.hint)
    assert not (tmp_path / "a.svg").exists()
