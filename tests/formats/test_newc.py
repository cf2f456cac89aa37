# Names are bytes here, and pathlib would tidy symlink targets:
# ruff: noqa: PTH101, PTH102, PTH115, PTH118, PTH211
"""The newc writer and reader against GNU cpio, in both directions."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boinc2docker.errors import InputError
from boinc2docker.formats import newc
from boinc2docker.formats.newc import Entry, archive, character_device, directory, parse, regular, symlink

CPIO = shutil.which("cpio")
needs_cpio = pytest.mark.skipif(CPIO is None, reason="GNU cpio is not on this machine")
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# Any byte but NUL, newline (GNU cpio's listing is line-based) and the slash.
component = (
    st.binary(min_size=1, max_size=40)
    .map(lambda raw: raw.translate(None, b"\0/\n"))
    .filter(lambda raw: raw not in (b"", b".", b"..", b"TRAILER!!!"))
    .map(lambda raw: raw.decode("utf-8", "surrogateescape"))
    .filter(lambda name: len(newc.encoded(name)) < 200)
)
content = st.one_of(
    st.tuples(st.just("file"), st.binary(max_size=70), st.sampled_from([0o644, 0o755, 0o600, 0o4755])),
    st.tuples(st.just("link"), st.binary(min_size=1, max_size=50).filter(lambda raw: b"\0" not in raw), st.just(0o777)),
    st.tuples(st.just("directory"), st.just(b""), st.sampled_from([0o755, 0o700, 0o1777])),
)
KINDS = {"file": stat.S_IFREG, "link": stat.S_IFLNK, "directory": stat.S_IFDIR}


@st.composite
def trees(draw: st.DrawFn) -> list[Entry]:
    """Entries two levels deep, with the parents they need."""
    entries: dict[str, Entry] = {}
    for top, below in draw(
        st.dictionaries(component, st.dictionaries(component, content, max_size=3), max_size=4)
    ).items():
        entries[top] = directory(top)
        for name, (kind, data, mode) in below.items():
            entries[f"{top}/{name}"] = Entry(f"{top}/{name}", KINDS[kind] | mode, data)
    return list(entries.values())


def by_name(entries: list[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: newc.encoded(entry.name))


@given(trees(), st.randoms(use_true_random=False))
def test_what_is_written_is_read_back_whatever_the_order(entries: list[Entry], random: object) -> None:
    shuffled = list(entries)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    written = archive(shuffled, mtime=17)
    assert written == archive(entries, mtime=17)
    assert len(written) % 4 == 0
    assert parse(written + b"\0\0\0\0trailing") == (by_name(entries), len(written))


@needs_cpio
@few
@given(entries=trees())
def test_gnu_cpio_unpacks_what_is_written(entries: list[Entry], tmp_path_factory: pytest.TempPathFactory) -> None:
    target = tmp_path_factory.mktemp("unpacked")
    command = ["cpio", "--extract", "--quiet", "--no-absolute-filenames", "--no-preserve-owner"]
    subprocess.run(command, input=archive(entries), cwd=target, check=True, capture_output=True)
    found = {}
    for folder, folders, files in os.walk(os.fsencode(target)):
        for name in folders + files:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            data = b""
            if stat.S_ISLNK(info.st_mode):
                data = os.readlink(path)
            elif stat.S_ISREG(info.st_mode):
                data = Path(os.fsdecode(path)).read_bytes()
            found[os.path.relpath(path, os.fsencode(target))] = (info.st_mode, data)
    assert found == {newc.encoded(entry.name): (entry.mode, entry.data) for entry in entries}


@needs_cpio
@few
@given(entries=trees())
def test_what_gnu_cpio_packs_is_read(entries: list[Entry], tmp_path_factory: pytest.TempPathFactory) -> None:
    source = os.fsencode(tmp_path_factory.mktemp("packed"))
    for entry in by_name(entries):
        path = os.path.join(source, newc.encoded(entry.name))
        if stat.S_ISDIR(entry.mode):
            os.mkdir(path)
        elif stat.S_ISLNK(entry.mode):
            os.symlink(entry.data, path)
        else:
            Path(os.fsdecode(path)).write_bytes(entry.data)
        if not stat.S_ISLNK(entry.mode):
            os.chmod(path, stat.S_IMODE(entry.mode))
    names = b"".join(newc.encoded(entry.name) + b"\0" for entry in by_name(entries))
    command = ["cpio", "--create", "--format=newc", "--null", "--quiet"]
    packed = subprocess.run(command, input=names, cwd=source, check=True, capture_output=True).stdout
    read, consumed = parse(packed)
    assert by_name(read) == by_name(entries)
    assert not packed[consumed:].strip(b"\0")


@needs_cpio
def test_hard_links_and_checksums_of_gnu_cpio_are_read(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"shared")
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    for form in ("newc", "crc"):
        command = ["cpio", "--create", f"--format={form}", "--quiet"]
        packed = subprocess.run(command, input=b"one\ntwo\n", cwd=tmp_path, check=True, capture_output=True).stdout
        assert [(entry.name, entry.data) for entry in parse(packed)[0]] == [("one", b"shared"), ("two", b"shared")]
    damaged = packed.replace(b"shared", b"Shared")
    with pytest.raises(InputError, match="checksum"):
        parse(damaged)


@needs_cpio
def test_a_device_node_is_listed_by_gnu_cpio() -> None:
    data = archive([directory("dev"), character_device("dev/console", 0o600, 5, 1)])
    listing = subprocess.run(["cpio", "-itv", "--quiet"], input=data, check=True, capture_output=True).stdout.decode()
    assert "crw-------   1 root     root       5,   1 Jan  1  1970 dev/console" in listing


def test_the_layout_is_the_kernels() -> None:
    data = archive([regular("ab", b"xyz", 0o755)], mtime=0x65)
    fields = [data[6 + 8 * at : 14 + 8 * at].decode() for at in range(13)]
    assert data[:6] == b"070701"
    assert fields == [f"{value:08X}" for value in (1, 0o100755, 0, 0, 1, 0x65, 3, 0, 0, 0, 0, 3, 0)]
    assert data[110:120] == b"ab\0\0\0\0xyz\0"[:10]
    assert data[120:126] == b"070701"
    assert data.endswith(b"TRAILER!!!\0\0\0\0")


@pytest.mark.parametrize(
    "entry",
    [
        regular("/etc/passwd", b""),
        regular("../x", b""),
        regular("a/../x", b""),
        regular("a//x", b""),
        regular("./a", b""),
        regular("", b""),
        regular("a\0b", b""),
        regular("TRAILER!!!", b""),
        regular("x" * 4096, b""),
        symlink("a", ""),
        symlink("a", "x" * 4096),
        Entry("a", 0o644),
        Entry("a", stat.S_IFDIR | 0o755, b"data"),
        character_device("a", 0o600, 1 << 32, 0),
    ],
    ids=lambda entry: repr(entry.name[:12]),
)
def test_what_the_kernel_would_drop_is_refused(entry: Entry) -> None:
    with pytest.raises(InputError):
        archive([entry])


def test_the_longest_name_passes() -> None:
    name = "/".join(["d" * 255] * 15 + ["e" * 255])
    assert len(name) == 4095
    assert parse(archive([regular(name, b"1")]))[0] == [regular(name, b"1")]


def test_a_name_twice_and_a_time_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        archive([regular("a", b"1"), directory("a")])
    with pytest.raises(InputError, match="32 bits"):
        archive([], mtime=-1)


@given(trees(), st.data())
def test_every_cut_is_noticed(entries: list[Entry], data: st.DataObject) -> None:
    whole = archive(entries)
    # The padding after the trailer's name may be missing; nothing else.
    cut = data.draw(st.integers(0, len(whole) - 4))
    with pytest.raises(InputError):
        parse(whole[:cut])


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda raw: b"070701" + raw)))
def test_rubbish_is_refused_never_a_crash(raw: bytes) -> None:
    with pytest.raises(InputError):
        parse(raw)


@given(trees(), st.data())
def test_a_flipped_byte_is_read_or_refused_never_a_crash(entries: list[Entry], data: st.DataObject) -> None:
    whole = bytearray(archive(entries))
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InputError):
        parse(bytes(whole))
