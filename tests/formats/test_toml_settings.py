"""TOML files as dataclasses: what is right is read, and everything that is wrong is said at once."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.digest import Digest
from boinc2docker.errors import InputError
from boinc2docker.formats.toml_settings import FILLED, Amount, Count, Text, TomlFile, Url, key, matching, render


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Part:
    name: Text
    size: Count
    source_version: str = field(metadata=key("source-version"))
    digest: Digest | None = field(default=None, metadata=key("sha256"))


@dataclass(frozen=True)
class Whole:
    title: Annotated[str, matching("[a-z]+", "lower-case letters")]
    part: Annotated[tuple[Part, ...], FILLED]
    urls: Mapping[str, tuple[Url, ...]] = field(default_factory=dict)
    weight: Amount = 1.0
    on: bool = False
    colour: Colour = Colour.RED


FILE = TomlFile(Whole, "bad-whole", hint="write it anew")
GOOD = """
title = "abc"
weight = 2
on = true
colour = "blue"
[urls]
main = ["https://example.org/x"]
[[part]]
name = "p"
size = 3
source-version = "1.0"
"""


def test_a_file_becomes_an_object(tmp_path: Path) -> None:
    path = tmp_path / "whole.toml"
    path.write_text(GOOD)
    expected = Whole("abc", (Part("p", 3, "1.0"),), {"main": ("https://example.org/x",)}, 2.0, True, Colour.BLUE)
    assert FILE.read(path) == FILE.parse(GOOD, "x") == expected
    assert isinstance(expected.weight, float)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "abc"', "", "title: missing"),
        ('"abc"', '"ABC"', "title: expected lower-case letters, found 'ABC'"),
        ('"abc"', "7", "title: expected a text, found 7"),
        ("size = 3", 'size = "3"', "part[0].size: expected a whole number, found '3'"),
        ("size = 3", "size = 3.0", "part[0].size: expected a whole number, found 3.0"),
        ("size = 3", "size = true", "part[0].size: expected a whole number, found True"),
        ("size = 3", "size = -1", "part[0].size: expected a whole number, 0 or more, found -1"),
        ("size = 3", "siz = 3", "part[0].size: missing; part[0]: unknown key 'siz' (did you mean 'size'?)"),
        ("source-version", "source_version", "part[0].source-version: missing"),
        ('source-version = "1.0"', 'source-version = "1"\nzzz = 1', "part[0]: unknown key 'zzz'"),
        ('name = "p"', 'name = ""', "part[0].name: expected a text, not empty, found ''"),
        ('name = "p"', 'name = "p"\nsha256 = "aa"', "part[0].sha256: expected a SHA-256 digest"),
        ("weight = 2", "weight = nan", "weight: expected a number, 0 or more, found nan"),
        ("weight = 2", "weight = inf", "weight: expected a number, 0 or more, found inf"),
        ("on = true", "on = 1", "on: expected true or false, found 1"),
        ('colour = "blue"', 'colour = "green"', "colour: expected one of red, blue, found 'green'"),
        ('["https://example.org/x"]', '"https://example.org/x"', "urls.main: expected a list, found 'https:"),
        ("https://example.org/x", "example.org", "urls.main[0]: expected a URL (http, https or file), found 'example"),
        ("[urls]\nmain = [", "urls = [", "urls: expected a table, found ["),
        ("[[part]]", "[part]", "part: expected a list, found {"),
        ('title = "abc"', "title = ", "is not TOML"),
    ],
)
def test_a_mistake_is_told_with_its_place(old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(InputError) as caught:
        FILE.parse(GOOD.replace(old, new), "whole.toml")
    assert caught.value.message.startswith("whole.toml")
    assert said in caught.value.message
    assert "\n" not in caught.value.message
    assert (caught.value.code, caught.value.hint) == ("bad-whole", "write it anew")


def test_all_mistakes_are_told_together() -> None:
    text = GOOD.replace("size = 3", "size = -3").replace("true", "1").replace("abc", "a c").replace("blue", "x" * 500)
    with pytest.raises(InputError) as caught:
        FILE.parse(text, "whole.toml")
    for place in ("title: ", "part[0].size: ", "on: ", "colour: "):
        assert place in caught.value.message
    assert len(caught.value.message) < 400, "what was found is cut"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none\.toml: No such file"):
        FILE.read(tmp_path / "none.toml")
    (tmp_path / "x.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(InputError, match=r"cannot read .*x\.toml: expected UTF-8"):
        FILE.read(tmp_path / "x.toml")


KEYS = st.text(min_size=1, max_size=8)
SCALARS = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=8))
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3))
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_what_is_written_is_read(document: dict[str, Any]) -> None:
    assert same(tomllib.loads(render(document, "# a comment\n")), document)


def same(one: Any, other: Any) -> bool:
    """Equal, with NaN as itself."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (isinstance(one, float) and math.isnan(one) and math.isnan(other))
