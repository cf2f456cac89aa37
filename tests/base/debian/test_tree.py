from __future__ import annotations

import os
import posixpath
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.base.debian.tree import Kind, Spool, Tree, directory, file, link, normalised
from boinc2docker.errors import InputError

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TARGETS = st.lists(st.sampled_from(["a", "b", "c", ".", ".."]), min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("./usr/bin/tar", "usr/bin/tar"),
        ("/bin/sh", "usr/bin/sh"),
        ("lib64/ld.so", "usr/lib64/ld.so"),
        ("./", ""),
        ("usr//share/./x/", "usr/share/x"),
        ("binary", "binary"),
        ("var/lib/x", "var/lib/x"),
    ],
)
def test_names_are_brought_to_one_form(name: str, expected: str) -> None:
    assert normalised(name) == expected


@pytest.mark.parametrize("name", ["../etc/passwd", "usr/../../etc", "a/..", "a\0b"])
def test_names_that_leave_the_tree_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="leaves its tree"):
        Tree().add(name, file(b""))


@given(st.text())
def test_no_name_whatever_leaves_the_tree(name: str) -> None:
    tree = Tree()
    try:
        tree.add(name, file(b""))
    except InputError:
        return
    for path in tree:
        assert not path.startswith("/")
        assert posixpath.normpath(path) == path
        assert ".." not in path.split("/")


def test_parents_come_into_being_and_precede_their_children() -> None:
    tree = Tree()
    tree.add("a/b/c", file(b"x"))
    tree.add("a-b", file(b"x"))
    assert list(tree) == ["a", "a/b", "a/b/c", "a-b"]
    assert tree["a"].kind is Kind.DIRECTORY


def test_two_packages_cannot_bring_the_same_file() -> None:
    tree = Tree()
    tree.add("etc/x", file(b"1", package="one"))
    tree.add("etc/x", file(b"1", package="one"))
    with pytest.raises(InputError, match="/etc/x comes twice: from one and from two"):
        tree.add("etc/x", file(b"2", package="two"))
    tree.add("etc/x", file(b"2", package="two"), replace=True)
    assert tree["etc/x"].content == b"2"


def test_a_directory_keeps_its_mode_unless_replaced() -> None:
    tree = Tree()
    tree.add("tmp", directory(0o1777))
    tree.add("tmp", directory(0o755))
    assert tree["tmp"].mode == 0o1777
    tree.add("tmp", directory(0o700), replace=True)
    assert tree["tmp"].mode == 0o700


def test_nothing_lies_below_a_file_or_a_link() -> None:
    tree = Tree()
    tree.add("a", file(b""))
    with pytest.raises(InputError, match="below /a"):
        tree.add("a/b", file(b""))
    tree.add("l", link("usr"))
    with pytest.raises(InputError, match="below /l"):
        tree.add("l/b", file(b""))
    tree.add("d/x", file(b""))
    with pytest.raises(InputError, match="is a directory and a link"):
        tree.add("d", link("a"), replace=True)


def test_removing_takes_all_below_and_nothing_beside() -> None:
    tree = Tree()
    for path in ("a/b/c", "a/bc", "a/b/d"):
        tree.add(path, file(b""))
    tree.remove("a/b")
    assert list(tree) == ["a", "a/bc"]


@given(st.lists(st.tuples(PATHS, st.none() | TARGETS), max_size=8), PATHS)
def test_links_are_followed_as_a_file_system_follows_them(entries: list[tuple[str, str | None]], asked: str) -> None:
    tree = Tree()
    for path, target in entries:
        try:
            tree.add(path, file(b"") if target is None else link(target))
        except InputError:
            continue
    with tempfile.TemporaryDirectory() as name:
        root = Path(os.path.realpath(name)) / "1" / "2" / "3" / "4" / "5" / "6"
        root.mkdir(parents=True)
        for path, node in tree.items():
            if node.kind is Kind.DIRECTORY:
                (root / path).mkdir()
            elif node.kind is Kind.FILE:
                (root / path).write_bytes(b"")
            else:
                (root / path).symlink_to(node.target)
        try:
            real = (root / asked).resolve(strict=True)
            inside = real.is_relative_to(root)
        except (OSError, RuntimeError):
            real, inside = root, False
        found = tree.resolve(asked)
        if inside:
            assert found == ("" if real == root else real.relative_to(root).as_posix())
        elif found is not None:
            # In a tree ".." of the root is the root, in the directory it is above: only such a path may differ.
            assert any(target and ".." in target for _, target in entries)


def test_a_spool_gives_back_what_was_put_in(spool: Spool, tmp_path: Path) -> None:
    for name, data in (("one", b"first"), ("two", b""), ("three", b"x" * 3_000_000)):
        (tmp_path / name).write_bytes(data)
    stored = []
    for name in ("one", "two", "three"):
        with (tmp_path / name).open("rb") as stream:
            stored.append(spool.put(stream))
    assert [spool.read(content) for content in stored] == [b"first", b"", b"x" * 3_000_000]
    assert spool.part(stored[0], 1, 100) == b"irst"
    assert spool.part(b"literal", 3, 2) == b"er"
