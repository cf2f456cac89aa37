"""The copy of an ISO: what goes wrong while it is used is not the copying's fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from boinc2docker.app import boot_image
from boinc2docker.errors import HostError


def test_only_the_copying_is_told_as_such(tmp_path: Path) -> None:
    iso = tmp_path / "x.iso"
    iso.write_bytes(b"x")
    with pytest.raises(FileNotFoundError), boot_image._copy(iso):
        (tmp_path / "none").read_bytes()
    with pytest.raises(HostError, match=r"cannot copy .*none"), boot_image._copy(tmp_path / "none"):
        pass
