"""Batches: what is written by others' writers is read back, and a wrong line is told by its number."""

from __future__ import annotations

import csv
import io
import itertools
import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boinc2docker.errors import BuilderError, UsageError
from boinc2docker.job.job import Job
from boinc2docker.submission.batch import sweep
from boinc2docker.submission.batch.batch_file import BatchFile, Row
from boinc2docker.submission.batch.placeholders import Text, escape
from boinc2docker.submission.batch.sweep import Combinations
from boinc2docker.submission.job_template import JobTemplate

COLUMNS = st.lists(st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,5}", fullmatch=True), min_size=1, max_size=4, unique=True)
TEXT = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("batch") / "jobs"


def read(path: Path, content: str | bytes) -> list[Row]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(BatchFile(path, "jobs"))


@settings(max_examples=40)
@given(data=st.data(), columns=COLUMNS)
def test_csv_is_read_as_it_is_written(scratch: Path, data: st.DataObject, columns: list[str]) -> None:
    rows = data.draw(st.lists(st.tuples(*(TEXT for _ in columns)), max_size=5))
    output = io.StringIO()
    delimiter = data.draw(st.sampled_from(",;\t")) if len(columns) > 1 else ","
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    writer = csv.writer(output, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    writer.writerows(rows)
    found = read(scratch, data.draw(st.sampled_from(["", "\ufeff"])) + output.getvalue())
    assert [dict(row.values) for row in found] == [dict(zip(columns, row, strict=True)) for row in rows]


@settings(max_examples=40)
@given(st.lists(st.dictionaries(st.from_regex("[a-z]{1,4}", fullmatch=True), TEXT, min_size=1), min_size=1))
def test_json_lines_are_read_as_they_are_written(scratch: Path, rows: list[dict[str, str]]) -> None:
    assert [row.values for row in read(scratch, "\n".join(json.dumps(row) for row in rows))] == rows


def test_numbers_stay_as_they_are_written(scratch: Path) -> None:
    (row,) = read(scratch, '{"a": 1.50, "b": 12345678901234567890, "c": 1e3, "d": true}\n')
    assert row.values == {"a": "1.50", "b": "12345678901234567890", "c": "1e3", "d": "true"}


@pytest.mark.parametrize(
    ("content", "where", "problem"),
    [
        ("a,b\n1,2\n\n3\n4,5\n", "line 4", "expected 2 fields (a, b), found 1"),
        ('a,b\n"x\ny",2\n1,2,3\n', "line 4", "expected 2 fields (a, b), found 3"),
        ('a,b\n1,2\n"x"y,2\n', "line 3", "it is not CSV: ',' expected after '\"'"),
        ('a,b\n1,2\n"x,2\n', "line 3", "it is not CSV: unexpected end of data"),
        ('{"a": 1}\n{"a": 1\n', "line 2", "it is not JSON: expecting ',' delimiter at character 9"),
        ('\n{"a": 1}\n[1]\n', "line 3", "expected a JSON object, found '[1]'"),
        ('{"a": {"b": 1}}\n', "line 1", 'a: expected a text, a number, true or false, found {"b": "1"}'),
        ('{"a": null}\n', "line 1", "a: expected a text, a number, true or false, found null"),
        ('{"a": NaN}\n', "line 1", "NaN is not JSON"),
        ('{"a": 1, "a": 2}\n', "line 1", "it has 'a' twice"),
        ('{"a b": 1}\n', "line 1", "'a b' is not a column name: expected letters, digits, _ and -"),
        ('{"a": ' + "[" * 100000 + "\n", "line 1", "it is nested too deeply"),
    ],
)
def test_a_bad_line_is_told(scratch: Path, content: str, where: str, problem: str) -> None:
    bad = [row for row in read(scratch, content) if row.problem]
    assert bad == [Row(f"jobs, {where}", problem=problem)]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is empty"),
        (b"\n  \n", "it is empty"),
        (b"[{}]", "found an array"),
        (b"a,a\n", "two columns are called 'a'"),
        (b"a,b c\n", "'b c' is not a column name"),
        (b"1,2\n", "'1' is not a column name"),
        (b'a,"b\n', "line 1: unexpected end of data"),
        (b"a\nb\n\xff\n", "line 3 is not UTF-8 text"),
        (b"a\nb\n" + b"x" * (1 << 20) + b"\n", "line 3 has more than 1048576 bytes"),
    ],
)
def test_a_file_that_is_no_batch(scratch: Path, content: bytes, told: str) -> None:
    with pytest.raises(BuilderError, match="jobs: ") as raised:
        read(scratch, content)
    assert told in raised.value.message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(BuilderError, match="cannot read the batch"):
            BatchFile(path)


@given(st.lists(st.tuples(st.sampled_from(["a", "b-2", "_c"]), TEXT)), TEXT)
def test_placeholders_are_filled_in_once(pieces: list[tuple[str, str]], last: str) -> None:
    """Against putting the values in by hand; values with braces are not looked at again."""
    values = {"a": "{b-2}", "b-2": "{{", "_c": "x'\" $(y)"}
    text = "".join(escape(before) + "{" + name + "}" for name, before in pieces) + escape(last)
    expected = "".join(before + values[name] for name, before in pieces) + last
    assert Text.parse(text, "x").fill(values) == expected


@pytest.mark.parametrize("text", ["{", "}", "{}", "a{b", "a}b", "{a b}", "{1}", "{a}}", "{{a}", "{'x': 1}", "{a{b}}"])
def test_a_single_brace_is_told(text: str) -> None:
    with pytest.raises(BuilderError, match=r"the command: .* is not a \{column\}"):
        Text.parse(text, "the command")


@given(
    st.decimals(-1000, 1000, places=2), st.integers(0, 60), st.decimals("0.01", 9, places=2), st.sampled_from([1, -1])
)
def test_a_range_is_what_decimal_arithmetic_makes_of_it(first: Decimal, count: int, step: Decimal, sign: int) -> None:
    last = first + sign * step * count
    found = sweep.parse(f"x={first}..{last}:{sign * step}")
    assert [Decimal(one) for one in found] == [first + sign * step * number for number in range(count + 1)]
    assert len(found) == count + 1


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("x=1..5", "1 2 3 4 5"),
        ("x=5..1:-2", "5 3 1"),
        ("x=3..1:-1", "3 2 1"),
        ("x=1..1", "1"),
        ("x=08..11", "08 09 10 11"),
        ("x=0..1:0.25", "0.00 0.25 0.50 0.75 1.00"),
        ("x=007.5..10:1.5", "007.5 009.0"),
        ("x=-1..1", "-1 0 1"),
        ("x=1..2:0.3", "1.0 1.3 1.6 1.9"),
        ("x=a,b c,1..2", "a|b c|1..2"),
    ],
)
def test_sweeps(text: str, values: str) -> None:
    found = sweep.parse(text)
    assert list(found) == values.split("|" if "|" in values else " ")
    assert len(found) == len(list(found))


@pytest.mark.parametrize(
    "text", ["", "x", "x=", "=1..2", "1x=1..2", "x=1..5:-1", "x=1..5:0", "x=a,,b", "x=1..99999999"]
)
def test_a_sweep_that_is_none(text: str) -> None:
    with pytest.raises(BuilderError, match="--sweep"):
        sweep.parse(text)


def test_a_falling_range_says_how_to_count_down() -> None:
    with pytest.raises(UsageError, match=r"--sweep n: 1\.\.0 runs downwards") as caught:
        sweep.parse("n=1..0")
    assert caught.value.hint == "n=0..1, or n=1..0:-1"
    assert list(sweep.parse("n=1..0:-1")) == ["1", "0"]


def test_sweeps_and_a_file_make_every_combination(scratch: Path) -> None:
    scratch.write_text("f\np\nq\n")
    both = Combinations((sweep.parse("x=1..2"), sweep.parse("y=a,b,c")), BatchFile(scratch))
    assert both.columns == ("f", "x", "y")
    expected = [dict(zip("fxy", one, strict=True)) for one in itertools.product("pq", "12", "abc")]
    assert [dict(row.values) for row in both] == expected
    assert [dict(row.values) for row in Combinations(both.sweeps)] == [
        dict(zip("xy", one, strict=True)) for one in itertools.product("12", "abc")
    ]
    for twice in (("f=1..2",), ("x=1..2", "x=3..4")):
        with pytest.raises(BuilderError, match="two columns are called"):
            Combinations(tuple(sweep.parse(one) for one in twice), BatchFile(scratch))
    scratch.write_text('{"x": 1}\n')
    assert [row.problem for row in Combinations(both.sweeps, BatchFile(scratch))] == [
        "it sets 'x', and so does --sweep"
    ]


def test_a_template_fills_in_a_job(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("data")
    (tmp_path / "all").write_text("shared")
    job = Job(command=("run", "--n={n}", "{{}}"), environment=(("A", "{a}"),), workdir="/{n}", user="u{n}")
    template = JobTemplate(job, (f"{escape(str(tmp_path))}/{{n}}.csv:in.csv", f"{escape(str(tmp_path))}/all"))
    made = template.fill({"n": "1", "a": "x y; $z 'q'", "unused": ""})
    assert made.command == ("run", "--n=1", "{}")
    assert made.environment == (("A", "x y; $z 'q'"),)
    assert (made.workdir, made.user) == ("/1", "u1")
    assert [one.name for one in made.inputs] == ["in.csv", "all"]
    assert template.columns == ("n", "a")
    for values, told in (
        ({"n": "1"}, "no column 'a'; the columns are: n"),
        ({"n": "2", "a": ""}, "there is no file"),
        ({"n": "1", "a": "\0"}, "zero byte"),
        ({"n": "1", "a": "\ud800"}, "half a character"),
    ):
        with pytest.raises(BuilderError, match=told):
            template.fill(values)
