"""Submitting jobs: many at once against one by one, a large image, and what a job costs when there are many.

All of it through ``submit``, into a project with a real MariaDB and stand-ins for BOINC's programs, which are
slower than BOINC's own: both sides of a comparison pay for that. Seconds are wall time of whole processes, memory is
the peak of ``submit`` or of what it runs. A ``project`` given is used instead, with its own programs; jobs are left
in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from boinc2docker import console
from boinc2docker.errors import HostError
from boinc2docker.image.reference import parse as parse_reference
from boinc2docker.job.job import Job
from boinc2docker.submission.app_files import without_project
from boinc2docker.submission.batch.batch import Batch, check
from boinc2docker.submission.batch.sweep import Combinations
from boinc2docker.submission.batch.sweep import parse as parse_sweep
from boinc2docker.submission.job_template import JobTemplate
from boinc2docker.submission.plan import planning
from boinc2docker.submission.shape import Shape
from ci.bench.process_cost import Run, timed
from ci.bench.staging import program_like_layer
from tests.equipment.boinc_project import BoincProject
from tests.equipment.busybox_image import busybox_layer
from tests.equipment.real_database import NEEDED, running_database
from tests.equipment.real_registry import DOCKER_LAYER, running_registry

COMMAND = ("--", "/bin/sh", "-c", "echo {n} >/root/shared/results/out")
REPOSITORY = "bench/large"


@dataclass(frozen=True)
class Submitting:
    """Figures. ``one_by_one`` seconds are extrapolated from ``singles`` jobs, as are ``one_by_one_cpu`` of processors.

    ``dry`` is planning, in microseconds of a processor a job, and the peak of whole dry runs.
    """

    jobs: int
    batch: Run
    few_peak_mb: float
    singles: int
    one_by_one: float
    one_by_one_cpu: float
    dry_few: float
    dry_many: float
    dry_peak_mb: tuple[float, float]
    image_mb: float
    staged_mb: float
    large: Run
    small_peak_mb: float

    @property
    def ratios(self) -> tuple[float, float]:
        """How many times longer one by one takes: on the wall's clock, on processors'."""
        return self.one_by_one / self.batch.seconds, self.one_by_one_cpu / self.batch.cpu

    def __str__(self) -> str:
        wall, cpu = self.ratios
        return (
            f"{self.jobs} jobs by one `submit --sweep`: {self.batch.seconds:.1f} s, {self.batch.peak_mb:.0f} MB "
            f"({self.few_peak_mb:.0f} MB for a tenth of them)\n"
            f"one by one: {self.one_by_one:.0f} s (from {self.singles}), {wall:.0f}× the time, {cpu:.0f}× the work\n"
            f"planning a job, of 1 000: {self.dry_few:.0f} µs, {self.dry_peak_mb[0]:.0f} MB; "
            f"of 100 000: {self.dry_many:.0f} µs, {self.dry_peak_mb[1]:.0f} MB\n"
            f"a job with an image of {self.image_mb:.0f} MB ({self.staged_mb:.0f} MB staged): "
            f"{self.large.seconds:.1f} s, {self.large.peak_mb:.0f} MB ({self.small_peak_mb:.0f} MB with a tiny image)"
        )


def submitting(
    *, jobs: int = 10_000, singles: int = 200, many: int = 100_000, megabytes: int = 1024, project: Path | None = None
) -> Submitting:
    """Measures all of it. Raises HostError if a program is missing."""
    for program in (*NEEDED, "docker-registry"):
        if shutil.which(program) is None:
            raise HostError("program-missing", f"{program} is not on this machine", hint="ci/prepare-tests installs it")
    with tempfile.TemporaryDirectory(prefix="b2d-bench-") as name, _project(Path(name), project) as (root, variables):
        work = Path(name)
        image = work / "tiny.tar"
        image.write_bytes(tiny_archive())
        mark = uuid.uuid4().hex[:8]

        def submit(*words: str | Path) -> Run:
            argv = (sys.executable, "-m", "boinc2docker.cli.program", "submit", *words)
            return timed(argv, {**variables, "BOINC2DOCKER_CACHE": str(work / "cache")})

        def sweep(count: int, *words: str | Path) -> Run:
            return submit(image, "--project", root, "--sweep", f"n=1..{count}", *words, *COMMAND)

        def dry(count: int) -> Run:
            return sweep(count, "--dry-run", "--output", work / f"dry{count}")

        with console.step(f"{jobs} jobs at once"):
            few = sweep(jobs // 10, "--name", f"{mark}-few")
            batch = sweep(jobs, "--name", f"{mark}-batch")
        with console.step(f"{singles} jobs one by one"):
            alone = [
                submit(image, "--project", root, "--name", f"{mark}-{number}", *COMMAND) for number in range(singles)
            ]
        with console.step("The cost of a job, in dry runs"):
            few_cpu, many_cpu = _planning(str(image), 1000, many)
            thousand, all_of_them = dry(1000), dry(many)
        with console.step(f"Staging an image of {megabytes} MB"), running_registry(work / "r") as registry:
            layer, diff_id = program_like_layer(megabytes, 1)
            size = len(layer)
            registry.push_image(REPOSITORY, "1", _config(diff_id), [(layer, DOCKER_LAYER)])
            del layer
            name = f"{registry.host}/{REPOSITORY}:1"
            large = submit(name, "--via", "boinc", "--project", root, "--name", f"{mark}-large", "--", "/bin/true")
    return Submitting(
        jobs=jobs,
        batch=batch,
        few_peak_mb=few.peak_mb,
        singles=singles,
        one_by_one=sum(one.seconds for one in alone) / singles * jobs,
        one_by_one_cpu=sum(one.cpu for one in alone) / singles * jobs,
        dry_few=few_cpu,
        dry_many=many_cpu,
        dry_peak_mb=(thousand.peak_mb, all_of_them.peak_mb),
        image_mb=megabytes,
        staged_mb=size / 1e6,
        large=large,
        small_peak_mb=max(one.peak_mb for one in alone),
    )


def _planning(image: str, *counts: int) -> list[float]:
    """Microseconds of a processor that checking and planning takes a job, in batches of so many."""
    template = JobTemplate(Job(command=("/bin/sh", "-c", "echo {n} >/root/shared/results/out")))
    found = []
    with planning(None, without_project("boinc2docker"), parse_reference(image), template.job, Shape()) as planner:
        for count in (counts[0], *counts):  # once to warm up
            batch = Batch(template, Combinations((parse_sweep(f"n=1..{count}"),)))
            began = time.process_time()
            check("boinc2docker", planner, batch)
            found.append((time.process_time() - began) / count * 1e6)
    return found[1:]


@contextlib.contextmanager
def _project(work: Path, given: Path | None) -> Iterator[tuple[Path, dict[str, str]]]:
    """A project, and the variables that lead to its database."""
    if given is not None:
        yield given, {}
        return
    (work / "db").mkdir()
    with contextlib.ExitStack() as stack:
        try:
            database = stack.enter_context(running_database(work / "db"))
        except (subprocess.CalledProcessError, RuntimeError) as error:
            raise HostError("no-database", f"the database under BOINC's stand-ins does not start: {error}") from error
        yield BoincProject(work / "project", database).root, {"MYSQL_UNIX_PORT": str(database.socket)}


def _config(diff_id: str) -> bytes:
    return json.dumps(
        {
            "os": "linux",
            "architecture": "amd64",
            "config": {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }
    ).encode()


def tiny_archive() -> bytes:
    """An image archive, as ``docker save`` makes it, of one layer with busybox."""
    layer = busybox_layer()
    manifest = [{"Config": "config.json", "RepoTags": ["bench:latest"], "Layers": ["layer.tar"]}]
    members = {
        "manifest.json": json.dumps(manifest).encode(),
        "config.json": _config("sha256:" + hashlib.sha256(layer).hexdigest()),
        "layer.tar": layer,
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()
