"""The blank disk: QEMU reads it as we mean it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from boinc2docker.app import vdi
from boinc2docker.errors import InputError
from tests.conftest import needs


@pytest.mark.parametrize("mebibytes", [1, 897, 2048, 20480, vdi.LARGEST_MIB])
def test_qemu_finds_an_intact_blank_disk_of_this_size(tmp_path: Path, mebibytes: int) -> None:
    needs("qemu-img")
    disk = tmp_path / "disk.vdi"
    disk.write_bytes(vdi.blank(mebibytes))
    check = subprocess.run(["qemu-img", "check", str(disk)], capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stdout + check.stderr
    info = json.loads(subprocess.run(["qemu-img", "info", "--output=json", str(disk)], capture_output=True).stdout)
    assert (info["format"], info["virtual-size"]) == ("vdi", mebibytes << 20)
    mapped = subprocess.run(["qemu-img", "map", "--output=json", str(disk)], capture_output=True).stdout
    assert not any(one["data"] for one in json.loads(mapped))


def test_what_is_written_into_it_is_read_back(tmp_path: Path) -> None:
    needs("qemu-io", "qemu-img")
    disk = tmp_path / "disk.vdi"
    disk.write_bytes(vdi.blank(4096))
    for words in (["write -P 0x5a 0 64k", "write -P 0xa5 4095M 1M"], ["read -P 0x5a 0 64k", "read -P 0xa5 4095M 1M"]):
        options = [word for one in words for word in ("-c", one)]
        done = subprocess.run(["qemu-io", "-f", "vdi", *options, str(disk)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "verification failed" not in done.stdout
    assert subprocess.run(["qemu-img", "check", str(disk)], capture_output=True).returncode == 0
    assert disk.stat().st_size < 4 << 20


def test_equal_sizes_are_equal_files_and_others_are_not() -> None:
    assert vdi.blank(4096) == vdi.blank(4096)
    assert vdi.blank(4096)[:512] != vdi.blank(4097)[:512]
    assert vdi.blank(4096)[392:408] != vdi.blank(4097)[392:408], "two disks must not share a UUID"


def test_the_file_is_small_whatever_the_disk() -> None:
    assert len(vdi.blank(20480)) < 100_000


@pytest.mark.parametrize("mebibytes", [0, -1, vdi.LARGEST_MIB + 1])
def test_impossible_sizes_are_refused(mebibytes: int) -> None:
    with pytest.raises(InputError, match="1 MiB to 2 TiB"):
        vdi.blank(mebibytes)
