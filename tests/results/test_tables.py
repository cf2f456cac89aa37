"""Tables of strangers: every cell comes back, and none costs more than its bounds."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.errors import InputError
from boinc2docker.results.tables import columns

BLANKS = "".join(one for one in map(chr, range(sys.maxunicode + 1)) if one.isspace())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "1,\n" * 70), ("a.csv", "1" + "," * 101), ("a.json", "[1,{" * 70), ("a.out", "1 2\t\n" * 70),
        ("a.txt", "1\x1f" * 101), ("a.dat", "1\u2028" * 101), ("a.txt", "".join(f"1{one}" for one in BLANKS * 5)),
    ],
)  # fmt: skip
def test_a_table_of_too_many_cells_is_refused_before_it_is_read(name: str, text: str) -> None:
    with pytest.raises(InputError, match="has more than 100 cells"):
        columns(name, text.encode(), most=100)


def test_names_of_columns_cost_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boinc2docker.results.tables.MOST_NAMES", 10_000)
    keys = ",".join(f'"{number}":1' for number in range(100))
    text = f'{{"{"x" * 90}":{{{keys}}}}}'.encode()
    assert len(columns("a.json", text)) == 100
    with pytest.raises(InputError, match="names of its columns"):
        columns("a.json", text.replace(b"x" * 90, b"x" * 200))


@pytest.mark.parametrize("text", ['{"KEY": [{"a": 1}, {"a": 1}]}', '{"a": {"KEY": 1}}', '{"KEY": {"KEY": {}}}'])
def test_a_long_name_of_a_column_is_not_made_again_and_again(text: str) -> None:
    with pytest.raises(InputError, match=r"a\.json has more than 1000 characters in the name of a column"):
        columns("a.json", text.replace("KEY", "x" * 1001).encode())


NAMES = st.text("abcxyz", min_size=1, max_size=2)  # no "nan" among them: that would be a number


@given(st.dictionaries(NAMES, st.lists(st.floats(allow_nan=False), min_size=3, max_size=3), min_size=1))
def test_csv_columns_come_back(table: Mapping[str, list[float]]) -> None:
    rows = [",".join(repr(cells[i]) for cells in table.values()) for i in range(3)]
    assert columns("a.csv", "\n".join([",".join(table), *rows]).encode()) == dict(table)


JSON_VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | st.text('ab.[]{}"', max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab.[]{}"', max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(JSON_VALUES, JSON_VALUES)
def test_json_with_the_same_columns_is_the_same(a: object, b: object) -> None:
    same = columns("a.json", json.dumps(a).encode()) == columns("b.json", json.dumps(b).encode())
    assert same == (a == b)
