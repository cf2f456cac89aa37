"""The rules for members of strangers' archives against Python's own."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder import careful_tar

KINDS = [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
PARTS = st.sampled_from(["a", "b", "in", "out", "up", "gone", "new", "..", ".", "", "/"])
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """With a file, and links that are there already: inside, outside, one directory up, to nothing."""
    found = tmp_path / "place"
    (found / "a").mkdir(parents=True)
    (found / "in").symlink_to("a")
    (found / "out").symlink_to("/etc")
    (found / "a" / "up").symlink_to("..")
    (found / "gone").symlink_to("a/nothing")
    (found / "b").touch()
    return found


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="this Python has no rules to compare with")
@given(st.sampled_from(KINDS), NAMES, NAMES, st.integers(0, 0o7777))
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_rules_are_pythons_and_tighter(place: Path, kind: bytes, name: str, link: str, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode, member.uid = kind, link, mode, 12345
    try:
        expected = tarfile.data_filter(member, str(place))
    except tarfile.FilterError:
        expected = None
    try:
        found = careful_tar.data(member, str(place))
    except careful_tar.RefusedError:
        assert expected is None or is_more_than_python_asks(place, member)
        return
    assert expected is not None, "Python itself refuses this"
    assert (found.name, found.linkname, found.type) == (expected.name, expected.linkname, expected.type)
    if expected.mode is not None:  # else whatever a new directory has
        assert found.mode == expected.mode
    assert (found.uid, found.gid, found.uname) == (os.getuid(), os.getgid(), "")
    assert member.uid == 12345, "the archive's own member stays as it is"


def is_more_than_python_asks(place: Path, member: tarfile.TarInfo) -> bool:
    """True for what Python's filter lets through and should not: see the module's beginning."""
    path = f"{place}/{member.name}"
    paths = [path]
    if member.islnk() or member.issym():
        target = f"{path.rpartition('/')[0] if member.issym() else place}/{member.linkname}"
        if os.path.lexists(path) or (member.islnk() and (Path(target).is_symlink() or not Path(target).is_file())):
            return True
        paths.append(target)
    return not all(map(can_be_followed, paths))


def can_be_followed(path: str) -> bool:
    """As the system does it: what is climbed from, and what has something below it, must be a directory by then."""
    before = "/"
    for part in path.split("/"):
        if part in ("", "."):
            continue
        here = f"{before}/{part}"
        if (part == ".." or os.path.lexists(before)) and not Path(before).is_dir():
            return False
        if Path(here).is_symlink() and not Path(here).exists():
            return False
        before = here
    return True


def test_a_path_beyond_the_systems_limit_is_refused_quickly(place: Path) -> None:
    with pytest.raises(careful_tar.RefusedError, match="too long"):
        careful_tar.data(tarfile.TarInfo("a/" * 500_000), str(place))
