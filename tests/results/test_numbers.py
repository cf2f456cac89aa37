"""Whether two values are the same number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.results import numbers
from boinc2docker.results.settings import Comparison, Method, Tolerance


@pytest.mark.parametrize(
    ("name", "a", "b"),
    [
        ("a.csv", "9007199254740993\n", "9007199254740992\n"),
        ("a.json", "9007199254740993", "9007199254740992"),
        ("a.txt", "1" * 400, "2" * 400),
    ],
)
def test_exactly_is_exact_for_whole_numbers(name: str, a: str, b: str) -> None:
    exact = Comparison(method=Method.NUMERIC)
    assert numbers.difference(name, a.encode(), b.encode(), exact)
    assert numbers.difference(name, a.encode(), a.encode(), exact) is None
    near = Comparison(method=Method.NUMERIC, tolerances=(Tolerance(relative=1e-9),))
    assert (numbers.difference(name, a.encode(), b.encode(), near) is None) == (len(a) < 400)


@given(st.floats(), st.floats(), st.floats(0, 10), st.floats(0, 1))
def test_closeness_is_symmetric_and_reflexive(a: float, b: float, absolute: float, relative: float) -> None:
    rule = Tolerance(absolute=absolute, relative=relative)
    assert numbers.close(a, a, rule)
    assert numbers.close(a, b, rule) == numbers.close(b, a, rule)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ('[{"a": 1}, {"b": 2}]', '[{"b": 2}, {"a": 1}]'),
        ('[1, {"a": 2}]', '[{"a": 2}, 1]'),
        ('{"a.b": 1}', '{"a": {"b": 1}}'),
        ("1", "true"),
        ("1", '"1"'),
        ('{"value": 1}', "1"),
        ("[]", "{}"),
    ],
)
def test_json_that_looks_alike_is_not_the_same(a: str, b: str) -> None:
    assert numbers.difference("a.json", a.encode(), b.encode(), Comparison(method=Method.NUMERIC))
