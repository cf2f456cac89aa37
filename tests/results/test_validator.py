"""Verdicts as BOINC reads them: 0 good, 3 ask again, anything else wrong; equality by content and by number."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import subprocess
import tarfile
import zipfile
from pathlib import Path

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.errors import InputError
from boinc2docker.results import numbers
from boinc2docker.results.model import InvalidError, Result
from boinc2docker.results.settings import Comparison, Method, load
from boinc2docker.results.validator import compare, validate
from tests.results.samples import file, log_tgz, plain_tar, tgz, upload, write_app
from tests.results.test_assimilate import script

GOOD = tgz({"a.csv": b"x,y\n1,2\n", "b.bin": b"\0\1"})
NUMERIC = '[validator]\nmethod = "numeric"\nignore = ["*.log"]\n[[validator.tolerance]]\nabsolute = 1e-6\n'


@pytest.mark.parametrize(
    ("results", "log", "code"),
    [
        (GOOD, log_tgz(), 0),
        (GOOD, None, 0),
        (GOOD, b"damaged log", 0),
        (GOOD, log_tgz(exit_code=1), 9),
        (GOOD, log_tgz(exit_code=7, kept=True), 0),
        (GOOD, log_tgz(exit_code=7, kept=1), 9),
        (GOOD, log_tgz(exit_code=7, kept="true"), 9),
        (GOOD, log_tgz(exit_code=0, kept=True), 0),
        (GOOD[:-9], log_tgz(), 9),
        (b"", None, 9),
        (tgz({"../x": b""}), None, 9),
    ],
)
def test_init_exit_codes(tmp_path: Path, results: bytes, log: bytes | None, code: int) -> None:
    app = write_app(tmp_path)
    done = script(app, *upload(tmp_path, "wu", results, log), name="validator_init")
    assert done.returncode == code, done.stderr
    assert bool(done.stderr) == (code != 0)


def test_what_cannot_be_told_now_is_later(tmp_path: Path) -> None:
    app = write_app(tmp_path)
    files = upload(tmp_path, "wu", GOOD)
    unmounted = tmp_path / "unmounted" / "3f" / files[0].name
    assert script(app, name="validator_init").returncode == 3
    assert script(app, unmounted, name="validator_init").returncode == 3
    assert script(app, files[0], unmounted, name="validator_compare").returncode == 3
    app.write_text("name = ")
    assert script(app, *files, name="validator_init").returncode == 3
    app.unlink()
    assert script(app, *files, name="validator_init").returncode == 3
    write_app(tmp_path)
    assert script(app, *files, name="validator_init").returncode == 0
    assert script(app, files[0], unmounted, name="validator_init").returncode == 0, "only the log is not there"
    files[0].unlink()  # its directory is there: it will never come
    assert script(app, *files, name="validator_init").returncode == 9


@pytest.mark.parametrize("python", ["/nonexistent/python", "/bin/false"])
def test_an_interpreter_that_does_not_start_rejects_nothing(tmp_path: Path, python: str) -> None:
    app = write_app(tmp_path)
    assert script(app, *upload(tmp_path, "wu", GOOD), name="validator_init", python=python).returncode == 3


def verdict(tmp_path: Path, a: bytes, b: bytes, validator: str = "") -> bool:
    settings = load(write_app(tmp_path, validator=validator))
    first, second = upload(tmp_path, "wu", a, replica=0), upload(tmp_path, "wu", b, replica=1)
    return compare(settings, first[:1], second[:1]).good


def test_bitwise_means_content(tmp_path: Path) -> None:
    info, data = file("a.csv", b"x,y\n1,2\n")
    info.mtime, info.mode, info.uname = 12345, 0o600, "someone"
    directory = tarfile.TarInfo("empty")
    directory.type = tarfile.DIRTYPE
    other = gzip.compress(plain_tar([file("b.bin", b"\0\1"), (directory, b""), (info, data)]), 1, mtime=99)
    assert other != GOOD
    assert verdict(tmp_path, GOOD, other)
    assert not verdict(tmp_path, GOOD, tgz({"a.csv": b"x,y\n1,3\n", "b.bin": b"\0\1"}))
    assert not verdict(tmp_path, GOOD, tgz({"a.csv": b"x,y\n1,2\n"}))
    assert not verdict(tmp_path, GOOD, tgz({"a.csv": b"x,y\n1,2\n", "b.bin": b"\0\1", "c": b""}))


def test_compare_through_the_script(tmp_path: Path) -> None:
    app = write_app(tmp_path)
    same = [*upload(tmp_path, "wu", GOOD, log_tgz()), *upload(tmp_path, "wu", GOOD, replica=1)]
    assert script(app, *same, name="validator_compare").returncode == 0
    assert script(app, *same, "1.5", "2.5", "7", "8", name="validator_compare").returncode == 0
    other = [*same[:2], *upload(tmp_path, "wu", tgz({"x": b""}), replica=1)]
    assert script(app, *other, name="validator_compare").returncode == 9


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        (log_tgz(exit_code=7, kept=True), log_tgz(exit_code=7, kept=True), ""),
        (log_tgz(exit_code=7, kept=True), log_tgz(exit_code=8, kept=True), "exit codes 7 and 8"),
        (log_tgz(exit_code=7, kept=True), log_tgz(), "exit codes 7 and 0"),
        (None, log_tgz(exit_code=7, kept=True), "exit codes 0 and 7"),
        (None, log_tgz(), ""),
    ],
)
@pytest.mark.parametrize("method", ["bitwise", "trivial"])
def test_kept_failures_agree_only_with_the_same_code(
    tmp_path: Path, a: bytes | None, b: bytes | None, says: str, method: str
) -> None:
    settings = load(write_app(tmp_path, validator=f'[validator]\nmethod = "{method}"'))
    first, second = (upload(tmp_path, "wu", GOOD, log, replica=number) for number, log in enumerate((a, b)))
    found = compare(settings, first, second)
    assert (found.good, found.reason) == (not says, says)


def test_a_reason_is_one_harmless_line(tmp_path: Path) -> None:
    """A column whose name moves the cursor and forges a line of the log (F4)."""
    name = "v\x1b[2J\nwarning: forged\u202e"
    tables = [tgz({"a.csv": f'"{name}",k\n{value},1\n'.encode()}) for value in (1, 2)]
    app = write_app(tmp_path, validator=NUMERIC)
    a, b = (upload(tmp_path, "wu", table, replica=number) for number, table in enumerate(tables))
    found = compare(load(app), a[:1], b[:1])
    assert not found.good
    assert r"v\x1b[2J\nwarning: forged\u202e" in found.reason
    told = script(app, a[0], b[0], name="validator_compare").stderr
    assert [line.partition(":")[0] for line in told.splitlines()] == ["warning"]
    assert "\x1b" not in told


def npy(value: object) -> bytes:
    out = io.BytesIO()
    numpy.save(out, numpy.asarray(value))
    return out.getvalue()


def npz(**arrays: object) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in arrays.items():
            archive.writestr(f"{name}.npy", npy(value))
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "a", "near", "far"),
    [
        ("t.csv", b"n,v\nx,1\ny,2\n", b"n,v\nx,1.0000001\ny,2.0\n", b"n,v\nx,1.1\ny,2\n"),
        ("t.csv", b"n,v\nx,1\n", b"n,v\r\n\"x\",1e0\r\n", b"n,v\nz,1\n"),
        ("t.json", b'{"a": [1, 2], "b": "1"}', b'{"b": "1", "a": [1.0000001, 2]}', b'{"a": [1, 2], "b": "2"}'),
        ("t.json", b'{"a": [[1], []]}', b'{"a": [[1.0], []]}', b'{"a": [[], [1]]}'),
        ("t.txt", b"# t v\n0 1\n1 nan\n", b"# t v\n0 1.0000002\n1  NaN\n", b"# t v\n0 1\n1 2\n"),
        ("t.npy", npy([1.0, 2.0]), npy([1.0, 2.0000001]), npy([1.0, 2.1])),
        ("t.npy", npy([1, 2]), npy([1.0, 2.0]), npy([[1, 2]])),
        ("t.npz", npz(a=[1.0], b=[2]), npz(b=[2], a=[1.0000001]), npz(a=[1.0], c=[2])),
    ],
)  # fmt: skip
def test_numbers(tmp_path: Path, name: str, a: bytes, near: bytes, far: bytes) -> None:
    assert verdict(tmp_path, tgz({name: a}), tgz({name: near}), NUMERIC)
    assert not verdict(tmp_path, tgz({name: a}), tgz({name: far}), NUMERIC)
    assert not verdict(tmp_path, tgz({name: a}), tgz({name: near}))
    assert verdict(tmp_path, tgz({name: a}), tgz({name: far}), '[validator]\nmethod = "trivial"')


def test_tolerances_by_file_and_column(tmp_path: Path) -> None:
    rules = (
        '[validator]\nmethod = "numeric"\nignore = ["*.log"]\n'
        '[[validator.tolerance]]\nfiles = "t.csv"\ncolumns = ["v*"]\nrelative = 0.01\n'
    )
    a = tgz({"t.csv": b"k,v1\n100,100\n", "x.log": b"1"})
    assert verdict(tmp_path, a, tgz({"t.csv": b"k,v1\n100,100.9\n", "x.log": b"2"}), rules)
    assert not verdict(tmp_path, a, tgz({"t.csv": b"k,v1\n100,102\n"}), rules)
    assert not verdict(tmp_path, a, tgz({"t.csv": b"k,v1\n100.1,100\n"}), rules)


TERABYTES = (
    b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }".ljust(118)
)


class Evil:
    """Its pickle would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "owned"
    out = io.BytesIO()
    numpy.save(out, numpy.array([Evil(mark)], dtype=object), allow_pickle=True)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.npy", out.getvalue())
    settings = load(write_app(tmp_path, validator=NUMERIC))
    for name, data in {"a.npy": out.getvalue(), "b.npy": pickle.dumps(Evil(mark)), "c.npz": zipped.getvalue()}.items():
        assert not validate(settings, upload(tmp_path, "wu", tgz({name: data}))).good
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", b"{"), ("a.json", b"[" * 100_000), ("a.json", b"1" * 5000), ("a.csv", b"a,b\n1\n"),
        ("a.csv", b"\xff\xfe"), ("a.txt", b"1 2\n3\n"), ("a.npy", b"\x93NUMPY"), ("a.npz", b"PK\x05\x06"),
        ("a.npy", TERABYTES),
        ("a.npz", b"PK" + bytes(100)),
    ],
)  # fmt: skip
def test_files_that_are_not_what_their_names_say_are_invalid(tmp_path: Path, name: str, data: bytes) -> None:
    settings = load(write_app(tmp_path, validator=NUMERIC))
    found = validate(settings, upload(tmp_path, "wu", tgz({name: data})))
    assert not found.good
    assert name in found.reason
    assert validate(load(write_app(tmp_path)), upload(tmp_path, "wu", tgz({name: data}))).good


@given(
    st.sampled_from(["a.json", "a.csv", "a.txt", "a.npy", "a.npz"]), st.binary(max_size=300), st.binary(max_size=300)
)
def test_no_bytes_crash_a_comparison(name: str, a: bytes, b: bytes) -> None:
    heads = {"a.npy": npy([1.0, 2.0]), "a.npz": npz(a=[1])}
    for head in (b"", heads.get(name, b"1,2\n")):
        try:
            numbers.difference(name, head + a, head[: len(a)] + b, Comparison(method=Method.NUMERIC))
        except InputError:
            continue


@pytest.mark.parametrize(
    ("text", "other"),
    [
        (b"a line of words\nand one more\n", b"a line of words\nand 1 more\n"),
        (b"to be or not to be\n", b"to be or not to be \n"),
        (b"hello hello\n", b"Hello Hello\n"),
        (b"done done\n\n", b"done done\n"),
    ],
)
def test_prose_is_compared_bit_by_bit(tmp_path: Path, text: bytes, other: bytes) -> None:
    settings = load(write_app(tmp_path, validator=NUMERIC))
    texts = [text, text, other]
    a, b, c = (upload(tmp_path, "wu", tgz({"n.txt": text, "v.csv": b"1\n"}), replica=n) for n, text in enumerate(texts))
    assert validate(settings, a[:1]).good
    assert compare(settings, a[:1], b[:1]).good
    assert compare(settings, a[:1], c[:1]).reason == "n.txt: the text differs"


RULES = """\
from boinc2docker.results import InvalidError, RetryError

def validate(result):
    value = result.json("v.json")["v"]
    if value == "retry":
        raise RetryError("the catalogue is being updated")
    if value == "exit":
        raise SystemExit(0)
    return 1 / value > 0

def equivalent(a, b):
    return round(a.json("v.json")["v"]) == round(b.json("v.json")["v"])

def assimilate(result, store):
    store.record(inverse=1 / result.json("v.json")["v"])
    (store.directory / "note.txt").write_text(result.name)
"""


def v(value: object) -> bytes:
    return tgz({"v.json": json.dumps({"v": value}).encode()})


@pytest.mark.parametrize(
    ("value", "code", "says"),
    [(2, 0, ""), (-2, 9, "rejected by validate"), ("retry", 3, "catalogue"), (0, 3, "rules.py line 9, in validate"),
     ("exit", 3, "rules.py line 8"), (None, 3, "TypeError")],
)  # fmt: skip
def test_rules_validate(tmp_path: Path, value: object, code: int, says: str) -> None:
    app = write_app(tmp_path, rules=RULES)
    done: subprocess.CompletedProcess[str] = script(app, *upload(tmp_path, "wu", v(value)), name="validator_init")
    assert done.returncode == code, done.stderr
    assert says in done.stderr


def test_rules_compare_and_missing_files(tmp_path: Path) -> None:
    app = write_app(tmp_path, rules=RULES)
    settings = load(app)
    a, b, c = (upload(tmp_path, "wu", v(value), replica=n)[:1] for n, value in enumerate([2.1, 1.9, 3]))
    assert compare(settings, a, b).good
    assert not compare(settings, a, c).good
    assert not validate(settings, upload(tmp_path, "other", GOOD)).good


@pytest.mark.parametrize(("kind", "most"), [("text", 64), ("json", 16), ("table", 64), ("array", 64)])
def test_what_a_rule_has_read_is_bounded(tmp_path: Path, kind: str, most: int) -> None:
    with (tmp_path / "a.csv").open("wb") as sparse:
        sparse.truncate((most << 20) + 1)
    with pytest.raises(InvalidError, match=rf"a\.csv has {(most << 20) + 1} bytes, expected at most {most << 20}"):
        getattr(Result("demo", "wu", tmp_path), kind)("a.csv")
