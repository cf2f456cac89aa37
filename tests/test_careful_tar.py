"""The rules for members of strangers' archives, where Python has them not, against Python's own."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder import careful_tar

KINDS = [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
PARTS = st.sampled_from(["a", "b", "in", "out", "up", "..", ".", "", "/"])
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """With links that are there already: inside, outside, and one directory up."""
    found = tmp_path / "place"
    (found / "a").mkdir(parents=True)
    (found / "in").symlink_to("a")
    (found / "out").symlink_to("/etc")
    (found / "a" / "up").symlink_to("..")
    return found


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="this Python has no rules to compare with")
@given(st.sampled_from(KINDS), NAMES, NAMES, st.integers(0, 0o7777))
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_rules_are_pythons(place: Path, kind: bytes, name: str, link: str, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode, member.uid = kind, link, mode, 12345
    try:
        expected = tarfile.data_filter(member, str(place))
    except tarfile.FilterError:
        with pytest.raises(careful_tar.RefusedError):
            careful_tar._judged(member, str(place))
        return
    found = careful_tar._judged(member, str(place))
    assert (found.name, found.linkname, found.type) == (expected.name, expected.linkname, expected.type)
    if expected.mode is not None:  # else whatever a new directory has
        assert found.mode == expected.mode
    assert (found.uid, found.gid, found.uname) == (os.getuid(), os.getgid(), "")
    assert member.uid == 12345, "the archive's own member stays as it is"
