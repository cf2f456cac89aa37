"""What another user can use, through links, as the kernel sees it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from boinc2docker.app.access import closed_to


def test_a_python_behind_links_in_a_closed_home_is_found() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        root.chmod(0o755)
        other = root.stat().st_uid + 4711
        if closed_to(other, [root]):
            pytest.skip("the directory for temporary files is closed to other users")
        home, python = root / "home" / "me", root / "home" / "me" / "lib" / "python3.11"
        python.parent.mkdir(parents=True)
        python.write_text("#!/bin/sh\n")
        python.chmod(0o755)
        (root / "bin").mkdir()
        (root / "home" / "link").symlink_to("me/lib")
        (root / "bin" / "python3").symlink_to("../home/link/python3.11")
        (root / "bin" / "python").symlink_to("python3")
        entry = root / "bin" / "python"
        assert closed_to(other, [entry]) is None
        for path, mode in ((python, 0o754), (python, 0o751), (home, 0o754), (home, 0o750), (root / "bin", 0o700)):
            before = path.stat().st_mode
            path.chmod(mode)
            assert closed_to(other, [entry]) == path, (path, oct(mode))
            assert closed_to(0, [entry]) is None
            path.chmod(before)
        home.chmod(0o711)  # entered, not listed
        assert closed_to(other, [entry]) is None
        assert closed_to(other, [home]) == home
