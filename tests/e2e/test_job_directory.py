"""A job's directory is an ordinary file system: programs do there what they do under ``docker run`` on this machine."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import docker
import pytest

from boinc2docker.errors import HostError
from boinc2docker.vm.vfio_qemu import vfio_qemu
from tests.conftest import call, needs
from tests.e2e.python_image import python_archive
from tests.equipment.real_engine import running_engine

pytestmark = [pytest.mark.machine, pytest.mark.timeout(1800)]

IMPORTS = "import fcntl, json, mmap, os, socket, sqlite3, stat"
PROGRAM = rf"""
{IMPORTS}

os.chdir("/root/shared")
said = {{}}

base = sqlite3.connect("state.db")
said["journal"] = base.execute("pragma journal_mode=wal").fetchone()[0]
base.execute("create table if not exists n (x)")
with base:
    base.executemany("insert into n values (?)", [(i,) for i in range(1000)])
other = sqlite3.connect("state.db")
said["sum"] = other.execute("select sum(x) from n").fetchone()[0]

os.symlink("state.db", "link")
said["link"] = [os.readlink("link"), os.path.samefile("link", "state.db")]
os.link("state.db", "hard")
said["hard"] = os.stat("hard").st_nlink
os.mkfifo("pipe")
said["pipe"] = stat.S_ISFIFO(os.stat("pipe").st_mode)

with open("locked", "w") as one, open("locked", "w") as two:
    fcntl.flock(one, fcntl.LOCK_EX)
    try:
        fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
        said["flock"] = "taken twice"
    except BlockingIOError:
        said["flock"] = "held"
    fcntl.lockf(one, fcntl.LOCK_EX)

with open("mapped", "w+b") as file:
    file.truncate(1 << 20)
    with mmap.mmap(file.fileno(), 1 << 20) as memory:
        memory[12345:12350] = b"hello"
        memory.flush()
    file.seek(12345)
    said["mmap"] = file.read(5).decode()

with open("open", "w+") as file:
    os.unlink("open")
    file.write("still there")
    file.flush()
    file.seek(0)
    said["unlinked"] = file.read()

os.chmod("mapped", 0o640)
os.chown("mapped", 12, 34)
facts = os.stat("mapped")
said["mode"] = [oct(facts.st_mode), facts.st_uid, facts.st_gid]
with socket.socket(socket.AF_UNIX) as plug:
    plug.bind("socket")
said["socket"] = stat.S_ISSOCK(os.stat("socket").st_mode)
os.setxattr("mapped", "user.key", b"value")
said["xattr"] = os.getxattr("mapped", "user.key").decode()
said["case"] = sorted(name for name in ("A", "a") if not open(name, "x").close())
print(json.dumps(said, sort_keys=True))
open("results/said.json", "w").write(json.dumps(said, sort_keys=True))
"""


def under_docker(archive: Path, program: Path, directory: Path) -> dict[str, object]:
    """What the program says under a real engine on this machine."""
    (directory / "shared" / "results").mkdir(parents=True)
    # A short path: an engine's sockets lie far below it (unix(7): 108 bytes).
    with tempfile.TemporaryDirectory(prefix="b2d-") as place, running_engine(Path(place) / "e") as address:
        client = docker.DockerClient(base_url=address)
        [image] = client.images.load(archive.read_bytes())
        volumes = {
            str(directory / "shared"): {"bind": "/root/shared", "mode": "rw"},
            str(program): {"bind": "/program.py", "mode": "ro"},
        }
        client.containers.run(image, ["python", "/program.py"], volumes=volumes, network_mode="none", remove=True)
        client.close()
    return dict(json.loads((directory / "shared" / "results" / "said.json").read_text()))


def test_programs_find_an_ordinary_file_system(iso: Path, tmp_path: Path) -> None:
    """SQLite in WAL mode, links, locks, mapped memory, owners: over vboxsf where that can be had."""
    needs("qemu-system-x86_64", "dockerd")
    imports, program = tmp_path / "imports.py", tmp_path / "program.py"
    imports.write_text(IMPORTS)
    program.write_text(PROGRAM)
    archive = python_archive(tmp_path / "python.tar", imports)
    try:
        here = under_docker(archive, program, tmp_path)
    except HostError as error:
        pytest.skip(f"no engine here to compare with: {error}")
    assert here["journal"] == "wal"
    try:
        vfio_qemu()
        like = "virtualbox"
    except HostError:
        like = "qemu"
    words: list[str | Path] = ["run", archive, "--iso", iso, "--like", like, "--disk", "1GB", "--input", program]
    done = call(*words, "--results", tmp_path / "results", "--", "python", "/root/shared/program.py", timeout=1500)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "results" / "said.json").read_text()) == here
