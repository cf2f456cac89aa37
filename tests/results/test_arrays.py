"""NumPy's files from strangers: what no program of NumPy's writes is invalid, never "later"; memory is bounded."""

from __future__ import annotations

import importlib.util
import io
import random
import re
import subprocess
import sys
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from boinc2docker.errors import InputError
from boinc2docker.results import arrays as module
from boinc2docker.results import numbers, validator
from boinc2docker.results.arrays import array_difference, named_arrays, read_npy
from boinc2docker.results.settings import Comparison, Method, Tolerance, load
from boinc2docker.results.validator import compare
from tests.equipment.checkout import PROJECT_ROOT
from tests.results.samples import tgz, upload, write_app
from tests.results.test_assimilate import script

NUMERIC = '[validator]\nmethod = "numeric"\n[[validator.tolerance]]\nabsolute = 1e-6\n'
NEAR = Comparison(method=Method.NUMERIC, tolerances=(Tolerance(absolute=1e-6),))


def header(text: str, data: bytes = b"") -> bytes:
    """A ``.npy`` file with a header of one's own."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + data


def saved(value: object) -> bytes:
    out = io.BytesIO()
    numpy.save(out, numpy.asarray(value))
    return out.getvalue()


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return out.getvalue()


def damaged(packed: bytes) -> bytes:
    """A ZIP archive whose member ends in noise, with name, size, the head of its data and the directory intact."""
    start = packed.index(b".npy") + 24
    return packed[:start] + b"\xff" * 60 + packed[start + 60 :]


def described(dtype: str, shape: str, data: bytes = b"") -> bytes:
    return header(f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n", data)


HOSTILE = {
    "a type that is an array": ("a.npy", described("('<f8', (2,))", "(2,)", bytes(32))),
    "a field of no bytes": ("a.npy", described("[('x', '<f8'), ('y', '|S0')]", "(3,)", bytes(24))),
    "65 dimensions": ("a.npy", described("'<f8'", f"({'1, ' * 65})", bytes(8))),
    "a shape of truth": ("a.npy", described("'<f8'", "(True,)", bytes(8))),
    "a shape that is no tuple": ("a.npy", described("'<f8'", "4", bytes(32))),
    "a header that Python cannot parse": ("a.npy", header("-" * 9000 + "1")),
    "a header of brackets": ("a.npy", header("(" * 9000)),
    "a number of 5000 digits": ("a.npy", described("'<f8'", f"({'9' * 5000},)")),
    "a field of 40 dimensions": ("a.npy", described(f"[('a', '<f8', ({'1, ' * 40}))]", f"({'1, ' * 30})", bytes(8))),
    "two fields of one name": ("a.npz", zipped({"a": saved(numpy.zeros(1, [("b", "f8")])), "a.b": saved([1.0])})),
    "bad LZMA": ("a.npz", damaged(zipped({"a": saved(numpy.arange(50.0))}, zipfile.ZIP_LZMA))),
    "good LZMA": ("a.npz", zipped({"a": saved([1.0])}, zipfile.ZIP_LZMA)),
    "bad bzip2": ("a.npz", damaged(zipped({"a": saved(numpy.arange(50.0))}, zipfile.ZIP_BZIP2))),
    "bad deflate": ("a.npz", damaged(zipped({"a": saved(numpy.arange(50.0))}))),
    "an array twice": ("a.npz", zipped({"a": saved([1.0]), "b": saved([2.0])}).replace(b"b.npy", b"a.npy")),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_what_numpy_does_not_write_is_invalid_and_never_later(tmp_path: Path, what: str) -> None:
    name, data = HOSTILE[what]
    app = write_app(tmp_path, validator=NUMERIC)
    done = script(app, *upload(tmp_path, "wu", tgz({name: data})), name="validator_init")
    assert done.returncode == 9, done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(InputError):
        numbers.difference(name, data, data, NEAR)


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), AttributeError("y"), zipfile.BadZipFile("z")])
def test_whatever_a_parser_raises_is_invalid(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("boinc2docker.results.arrays.zipfile.ZipFile", fail)
    monkeypatch.setattr("boinc2docker.results.tables.csv.reader", fail)
    for name in ("a.npz", "a.csv"):
        with pytest.raises(InputError):
            numbers.check(name, b"1,2\n", NEAR)


@pytest.mark.parametrize("error", [MemoryError(), OSError(5, "I/O")])
def test_what_the_server_lacks_is_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(numbers, "check", fail)
    with pytest.raises(type(error)):
        validator.validate(load(write_app(tmp_path, validator=NUMERIC)), upload(tmp_path, "wu", tgz({"a.npy": b"x"})))


def test_a_directory_of_very_many_arrays_is_refused_before_it_is_read() -> None:
    packed = zipped({str(number): b"" for number in range(200)})
    with pytest.raises(InputError, match="not a NumPy file"):
        named_arrays("a.npz", packed, 1 << 20)
    many = packed + packed[packed.index(b"PK\x01\x02") : packed.index(b"PK\x05\x06")] * 60
    tracemalloc.start()
    with pytest.raises(InputError, match="more than 10000 arrays"):
        named_arrays("a.npz", many, 1 << 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_fields_and_empty_arrays_are_read() -> None:
    table = numpy.zeros(3, [("x", "<f8"), ("y", "<i4", (2,)), ("z", [("t", "S3")])])
    assert sorted(named_arrays("a.npy", saved(table), 1000)) == ["x", "y", "z.t"]
    found = named_arrays("a.npz", zipped({"e": saved(numpy.empty((0, 4))), "s": saved(7)}), 1000)
    assert (found["e"].shape, found["s"].shape) == ((0, 4), ())


@given(arrays(st.sampled_from(["f8", "i2", "U3", "c16", "M8[s]"]), array_shapes(min_dims=0, min_side=0)), st.booleans())
def test_numpys_own_files_come_back(value: numpy.ndarray, fortran: bool) -> None:
    found = read_npy("a.npy", saved(value.copy(order="F" if fortran else "C")))
    assert found.dtype == value.dtype
    assert numpy.array_equal(found, value, equal_nan=value.dtype.kind in "fcM")


def near_in_one_piece(a: numpy.ndarray, b: numpy.ndarray, absolute: float, relative: float) -> bool:
    """As math says it, element by element."""
    for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True):
        both_nan = x != x and y != y
        if not (both_nan or x == y or abs(x - y) <= max(absolute, relative * max(abs(x), abs(y)))):
            return False
    return True


FLOATS = st.sampled_from([0.0, 1.0, 1.0000001, -1.0, 1.5, float("nan"), 1e300])


@settings(max_examples=200)
@given(st.data(), array_shapes(max_side=7), st.sampled_from([0.0, 1e-6, 0.6]), st.booleans())
def test_a_comparison_in_blocks_is_the_comparison(
    data: st.DataObject, shape: tuple[int, ...], absolute: float, fortran: bool
) -> None:
    a, b = (data.draw(arrays("f8", shape, elements=FLOATS)) for _ in range(2))
    other = numpy.asfortranarray(b) if fortran else b
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_BYTES", 48)  # three elements
        why = array_difference(a, other, absolute, 0.0)
    assert (why is None) == near_in_one_piece(a, b, absolute, 0.0)
    if why is not None:
        place = int(why.split()[1].rstrip(":"))
        x, y = a.flat[place], b.flat[place]
        assert not near_in_one_piece(numpy.array([x]), numpy.array([y]), absolute, 0.0)


@pytest.mark.parametrize("kind", ["i1", "f4", "S1"])
def test_comparing_arrays_costs_little_more_than_the_arrays(kind: str) -> None:
    size = 8_000_000 // numpy.dtype(kind).itemsize
    a = numpy.zeros(size, kind)
    b = a.copy()
    tracemalloc.start()
    assert array_difference(a, b, 1e-6, 0.0) is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_only_files_that_differ_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = numbers.difference

    def watched(name: str, a: bytes, b: bytes, comparison: Comparison) -> str | None:
        work = Path(tempfile.gettempdir())
        seen.append(sum(path.stat().st_size for path in work.rglob("*") if path.is_file()))
        return real(name, a, b, comparison)

    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(numbers, "difference", watched)
    same = {f"same/{number}.bin": random.Random(number).randbytes(100_000) for number in range(20)}
    config = load(write_app(tmp_path, validator=NUMERIC))
    a = upload(tmp_path, "wu", tgz({**same, "v.csv": b"1\n2\n"}), replica=0)
    b = upload(tmp_path, "wu", tgz({"v.csv": b"1.0\n2\n", **same}), replica=1)
    assert compare(config, a[:1], b[:1]).good
    assert seen == [len(b"1\n2\n") + len(b"1.0\n2\n")]
    assert not list((tmp_path / "tmp").iterdir())


def survive(name: str, a: bytes, b: bytes) -> None:
    """A verdict or InputError, whatever the bytes are; the same bytes are either bad or equal."""
    for first, second in ((a, b), (a, a)):
        try:
            why = numbers.difference(name, first, second, NEAR)
        except InputError:
            continue
        assert why is None or isinstance(why, str)
        assert first != second or why is None, "a file differs from itself"


SEEDS = [(name, data) for name, data in HOSTILE.values()] + [
    ("a.npy", saved([1.0, 2.0])), ("a.npy", saved(numpy.zeros(3, [("x", "<f8"), ("y", "S2")]))),
    ("a.npz", zipped({"a": saved([1.0]), "b": saved([[1, 2]])})), ("a.csv", b'x,"y"\n1,2\n3,a\n'),
    ("a.json", b'{"a": [1, {"b": null}], "c": "1"}'), ("a.txt", b"# t v\n0 1\n1 nan\n"),
]  # fmt: skip


@settings(max_examples=400)
@given(st.sampled_from(SEEDS), st.data())
def test_mutations_are_judged(seed: tuple[str, bytes], data: st.DataObject) -> None:
    name, original = seed
    changed = bytearray(original)
    for _ in range(data.draw(st.integers(1, 6))):
        if changed:
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    survive(name, bytes(changed), original)


@pytest.mark.exhaustive
def test_a_fuzzer_that_sees_the_readers_finds_nothing(
    tmp_path: Path, record_property: Callable[[str, str], None]
) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed (ci/environment fuzz; it has wheels for Linux)")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    runs, memory_mb = 20_000, 800
    limits = [f"-runs={runs}", "-max_len=20000", f"-rss_limit_mb={memory_mb}", f"-artifact_prefix={tmp_path}/"]
    argv = [sys.executable, "-m", "tests.results.fuzz_numbers", *limits, str(corpus)]
    done = subprocess.run(argv, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-3000:]
    assert [path for path in tmp_path.iterdir() if path != corpus] == []
    assert f"Done {runs} runs" in told
    covered = [int(number) for number in re.findall(r" cov: (\d+) ", told)]
    assert covered[-1] > covered[0], "the fuzzer does not see the code"
    record_property("figure", f"{runs} fuzzed tables and arrays: {covered[0]} to {covered[-1]} branches")
