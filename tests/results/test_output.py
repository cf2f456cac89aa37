"""A table as CSV: it comes back as it was, and holds no formulas."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.cli.results import Options, results_command
from boinc2docker.cli.results_output import as_csv
from tests.results.samples import log_tgz, tgz, upload, write_app
from tests.results.test_assimilate import script

FORMULA = "=+-@\t\r\n＝＋－＠"
TEXT = st.text(st.sampled_from("=+-@\t\r\n,;\"' a1＝") | st.characters(codec="utf-8", exclude_characters="\0"))
VALUE = st.none() | st.integers() | st.floats(allow_nan=False) | TEXT


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def tables(columns: list[str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries(dict.fromkeys(columns, VALUE)), max_size=4)


@given(st.data(), st.lists(TEXT.filter(bool), min_size=2, max_size=4, unique=True))
def test_no_cell_is_a_formula_and_all_else_comes_back(data: st.DataObject, columns: list[str]) -> None:
    table = data.draw(tables(columns))
    found = read(as_csv(table, columns))
    assert len(found) == len(table) + 1
    for written, cells in zip(found, [columns, *([line[name] for name in columns] for line in table)], strict=True):
        for text, value in zip(written, cells, strict=True):
            if isinstance(value, str):
                assert text[:1] not in tuple(FORMULA)
                assert text == value or (text == f"'{value}" and value[0] in FORMULA)
            else:
                assert text == ("" if value is None else str(value))


@given(st.data(), st.lists(TEXT.filter(bool), min_size=2, max_size=4, unique=True))
def test_raw_is_as_it_was(data: st.DataObject, columns: list[str]) -> None:
    table = data.draw(tables(columns))
    found = read(as_csv(table, columns, raw=True))
    assert found[0] == columns
    assert found[1:] == [["" if line[name] is None else str(line[name]) for name in columns] for line in table]


def test_an_export_holds_no_formula_of_a_strangers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the default columns, in a column of a result file, and on stdout."""
    app = write_app(tmp_path)
    log = log_tgz(message="=HYPERLINK(1)", failed_phase="+cmd|' /C calc'!A0")
    script(app, "1", *upload(tmp_path, "wu", tgz({"a.csv": b"t,n\n@SUM(1),-1.5\n"}), log))
    for raw, sign in ((False, "'"), (True, "")):
        assert results_command("export", Options(app, csv=tmp_path / "x.csv", raw=raw)) == 0
        (line,) = csv.DictReader((tmp_path / "x.csv").open())
        assert line["message"] == f"{sign}=HYPERLINK(1)"
        assert line["failed_phase"] == f"{sign}+cmd|' /C calc'!A0"
        capsys.readouterr()
        assert results_command("export", Options(app, columns=["a.csv:t", "a.csv:n"], raw=raw)) == 0
        assert capsys.readouterr().out.splitlines()[1] == f"{sign}@SUM(1),-1.5"
