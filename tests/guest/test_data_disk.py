"""Which disks the agent takes for Docker's data, and which it never touches; on real file systems in files."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.machine import Machine
from tests.guest.scripts import HOME

PARTS = "disk"
MB = 1 << 20
SIZE = 192 * MB

pytestmark = pytest.mark.skipif(shutil.which("mke2fs", path="/usr/sbin:/sbin") is None, reason="needs e2fsprogs")


@pytest.fixture
def machine(make: Callable[[str], Machine]) -> Machine:
    made = make("busybox")
    (made.root / "dev").mkdir()
    made.environment |= {"B2D_DEV": str(made.root / "dev"), "B2D_DATA_MOUNT": str(made.root / "data")}
    # e2fsprogs' own programs stand behind busybox' applets here, as in the machine.
    made.environment["B2D_PATH"] += ":/usr/sbin:/sbin"
    (made.stub / "mount-type").write_text("ext4 bind\n")
    return made


def disk(machine: Machine, name: str, *, size: int = SIZE, ro: int = 0, removable: int = 0) -> Path:
    """A blank disk, sparse."""
    path = machine.root / "dev" / name
    with path.open("wb") as stream:
        stream.truncate(size)
    about = machine.root / "sys" / "block" / name
    about.mkdir(parents=True)
    for key, value in {"size": size // 512, "ro": ro, "removable": removable}.items():
        (about / key).write_text(f"{value}\n")
    return path


def content(machine: Machine, name: str) -> str:
    return machine.sh('disk_content "$1"', name, parts=PARTS).decode().strip()


def prepare(machine: Machine) -> str:
    machine.sh("disk_prepare", parts=PARTS)
    return machine.log()


def mke2fs(path: Path, label: str) -> None:
    subprocess.run(["/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-L", label, path], check=True, capture_output=True)


def label(path: Path) -> str:
    done = subprocess.run(["/sbin/e2label", path], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def test_a_blank_disk_is_formatted_and_known_again(machine: Machine) -> None:
    path = disk(machine, "sda")
    assert content(machine, "sda") == "blank"
    assert "data disk sda: 192 MB for Docker" in prepare(machine)
    assert label(path) == "b2d-data"
    assert subprocess.run(["/sbin/e2fsck", "-fn", path], capture_output=True, check=False).returncode == 0
    assert content(machine, "sda") == "ours"
    mounts = (machine.stub / "mounts").read_text().splitlines()
    data = machine.root / "data"
    assert mounts == [
        f"-t ext4 -o noatime {path} {data}",
        f"--bind {data}/docker {machine.root}/docker",
        f"--bind {data}/tmp {machine.root}/root/tmp",
    ]
    machine.power_on()
    prepare(machine)
    assert "formatting it again" not in machine.log()
    assert (machine.stub / "mounts").read_text().splitlines() == mounts * 2


def test_early_may_run_twice(machine: Machine) -> None:
    disk(machine, "vda")
    for _ in range(2):
        machine.sh(f'sh "{HOME}/early"')
    assert machine.log().count("data disk vda") == 1


def test_a_broken_disk_of_ours_is_made_anew(machine: Machine) -> None:
    path = disk(machine, "sda")
    prepare(machine)
    with path.open("r+b") as stream:  # everything but the marker
        for position in range(0, SIZE - MB, 32 * MB):
            stream.seek(position)
            stream.write(b"\xff" * (8 * MB))
    machine.power_on()
    assert "formatting it again" in prepare(machine)
    assert label(path) == "b2d-data"


def test_power_lost_while_formatting_leaves_a_disk_that_is_known(machine: Machine) -> None:
    path = disk(machine, "sda")
    machine.sh("disk_program() { echo false; }; DISK_STATE=blank; disk_format sda || :", parts=PARTS)
    with path.open("r+b") as stream:
        stream.write(b"half a file system")
    assert content(machine, "sda") == "ours"
    prepare(machine)
    assert label(path) == "b2d-data"


@pytest.mark.parametrize(
    "position", [0, 510, 4096, 65536, 2 * MB, SIZE - 1, SIZE - 512, SIZE - 8192, SIZE - 70_000], ids=str
)
def test_a_disk_with_anything_on_it_is_left_alone(machine: Machine, position: int) -> None:
    path = disk(machine, "sda")
    with path.open("r+b") as stream:
        stream.seek(position)
        stream.write(b"U")
    before = path.read_bytes()
    assert content(machine, "sda") == "foreign"
    prepare(machine)
    assert path.read_bytes() == before
    assert not (machine.stub / "mounts").exists()


def test_another_file_system_is_left_alone(machine: Machine) -> None:
    path = disk(machine, "sda")
    mke2fs(path, "boot2docker-data")
    before = path.read_bytes()
    prepare(machine)
    assert path.read_bytes() == before


def test_ours_goes_before_blank_and_unusable_ones_are_not_looked_at(machine: Machine) -> None:
    for name, more in {"sda": {"ro": 1}, "sdb": {"removable": 1}, "sdc": {"size": 64 * MB}, "sdd": {}}.items():
        disk(machine, name, **more)
    (machine.root / "sys" / "block" / "sdd" / "sdd1").mkdir()
    assert machine.sh("disk_choose || echo none", parts=PARTS) == b"none\n"
    disk(machine, "vda")
    mke2fs(disk(machine, "vdb"), "b2d-data")
    assert machine.sh('disk_choose; echo "$DISK $DISK_STATE"', parts=PARTS) == b"vdb ours\n"


def test_an_unreadable_disk_is_not_blank(machine: Machine) -> None:
    disk(machine, "sda").unlink()
    assert content(machine, "sda") == "foreign"


def test_a_disk_is_not_put_under_an_engine_that_runs(machine: Machine) -> None:
    path = disk(machine, "sda")
    (machine.root / "root" / "var" / "run").mkdir(parents=True)
    (machine.root / "root" / "var" / "run" / "docker.pid").write_text("17\n")
    assert "not used, Docker has started before the agent" in prepare(machine)
    assert not any(path.read_bytes()[:MB])
