"""The agent for ARM processors, in an image for them, emulated: it gives the bytes that an x86-64 processor gives."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from boinc2docker.container.files import slot_files
from boinc2docker.container.run import lay_out, run_job
from boinc2docker.container.wrapper import Engine
from boinc2docker.digest import Digest
from boinc2docker.image.reference import Archive
from boinc2docker.job.job import Job
from boinc2docker.job.job_directory import prepare
from tests.conftest import needs
from tests.container.conftest import obtained
from tests.container.test_engines import RESULTS, SAME_RESULTS
from tests.equipment.archives import Sample, old_docker, tar

pytestmark = pytest.mark.timeout(900)

HANDLERS = Path("/proc/sys/fs/binfmt_misc")
MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
PROGRAMS = ("sh", "ln", "touch", "mkdir", "chmod", "uname", "cat")


@pytest.fixture
def emulated() -> Iterator[None]:
    """The kernel runs programs for aarch64. What had to be set up for that is taken away again."""
    needs("qemu-aarch64-static")
    if os.getuid() != 0:
        pytest.skip("only root can have the kernel run another processor's programs")
    mounted = not (HANDLERS / "register").exists()
    if mounted:
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", HANDLERS], check=True)
    handler = HANDLERS / "b2d-test-aarch64"
    registered = not any((HANDLERS / name).exists() for name in ("qemu-aarch64", handler.name))
    if registered:
        # P: the program sees its own name, which busybox goes by. F: the emulator is opened now, not in a container.
        program = shutil.which("qemu-aarch64-static")
        (HANDLERS / "register").write_text(f":{handler.name}:M::{MAGIC}:{MASK}:{program}:PF")
    yield
    if registered:
        handler.write_text("-1")
    if mounted:
        subprocess.run(["umount", HANDLERS], check=True)


def arm64_layer(bundle: Path) -> bytes:
    """A layer with the bundle's own static busybox as /bin/busybox."""
    with tarfile.open(bundle) as archive:
        found = archive.extractfile("opt/boinc2docker/bin/busybox")
        assert found is not None
        program = found.read()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as layer:
        busybox = tarfile.TarInfo("bin/busybox")
        busybox.mode, busybox.size = 0o755, len(program)
        layer.addfile(busybox, io.BytesIO(program))
        for name in PROGRAMS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "/bin/busybox"
            layer.addfile(link)
    return out.getvalue()


@pytest.mark.parametrize("engine", [Engine.DOCKER], indirect=True)
def test_results_are_the_same_bytes_on_arm(emulated: None, engine: Engine, tmp_path: Path) -> None:
    bundle = obtained("arm64")
    archive = tmp_path / "image.tar"
    archive.write_bytes(tar(old_docker(Sample(layers=(arm64_layer(bundle),), config={"Env": ["PATH=/bin"]}))))
    slot = tmp_path / "slot"
    job = Job(command=("/bin/sh", "-c", f"uname -m >&2; {SAME_RESULTS}"), user="1000:7")
    prepared = prepare(job, Archive(archive), slot / "shared")
    lay_out(slot, slot_files(job, prepared.image), bundle)
    outcome = run_job(slot, engine, results=tmp_path / "results", log=tmp_path / "log", timeout=600)
    assert outcome.exit_code == 0, outcome.message
    assert (tmp_path / "log" / "container" / "stderr.txt").read_text() == "aarch64\n"
    assert Digest.of_file(slot / "shared" / "results.tgz").hex == RESULTS
