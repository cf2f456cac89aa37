"""The worked example of app_template/examples/pi, from the job to the plot, one of its jobs in a real machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from builder import PROJECT_ROOT
from builder.work import Input, Job, parse_reference, prepare
from tests.conftest import call, needs
from tests.e2e.python_image import python_archive
from tests.results.samples import log_tgz, tgz, upload
from tests.results.test_assimilate import script

pytestmark = [pytest.mark.machine, pytest.mark.timeout(1200)]

EXAMPLE = PROJECT_ROOT / "app_template" / "examples" / "pi"
SWEEP = [(seed, 10 ** (2 + seed % 3)) for seed in range(6)]


def submitted(image: Path, seed: int, darts: int, target: Path) -> Path:
    """The job directory of one job of the sweep, by the function behind what ``submit --dry-run`` writes."""
    words = ("python", "/root/shared/estimate.py", str(seed), str(darts))
    job = Job(command=words, inputs=(Input(EXAMPLE / "estimate.py", "estimate.py"),), network="none")
    return prepare(job, parse_reference(str(image)), target).path


def on_another_host(directory: Path, seed: int, darts: int) -> bytes:
    """The same program on the same numbers, without a machine."""
    results = directory / f"{seed}"
    results.mkdir(parents=True)
    subprocess.run([sys.executable, EXAMPLE / "estimate.py", str(seed), str(darts), str(results)], check=True)
    return tgz({"pi.json": (results / "pi.json").read_bytes()})


def test_from_the_job_to_the_plot(iso: Path, tmp_path: Path) -> None:
    needs("qemu-system-x86_64")
    image = python_archive(tmp_path / "python.tar", EXAMPLE / "estimate.py")
    job = submitted(image, *SWEEP[0], tmp_path / "job")
    done = call("run", "--job", job, "--iso", iso, "--json")
    assert done.returncode == 0, done.stderr
    server = tmp_path / "server"
    shutil.copytree(EXAMPLE, server)
    app = server / "app.toml"
    real = upload(server, "pi_sweep_0", (job / "results.tgz").read_bytes(), (job / "boinc_log.tgz").read_bytes())
    other = upload(server, "pi_sweep_0", on_another_host(tmp_path / "other", *SWEEP[0]), log_tgz(), replica=1)
    assert script(app, *real, name="validator_init").returncode == 0
    assert script(app, *real, *other, name="validator_compare").returncode == 0
    files = [
        real,
        *(upload(server, f"pi_sweep_{n}", on_another_host(tmp_path, *SWEEP[n]), log_tgz()) for n in range(1, 6)),
    ]
    for number, one in enumerate(files):
        assimilated = script(app, str(number), *one)
        assert assimilated.returncode == 0, assimilated.stderr
    first = json.loads(call("results", "show", "pi_sweep_0", "--settings", app, "--json").stdout)
    assert (first["state"], first["batch"], first["exit_code"]) == ("done", "sweep", 0)
    assert first["recorded"]["darts"] == SWEEP[0][1]
    assert first["seconds"] > 0
    assert {"init", "docker", "run"} <= set(first["metrics"]["marks"])
    plotted = call("results", "plot", "darts", "error", "--settings", app, "--output", tmp_path / "e.svg", "--json")
    assert json.loads(plotted.stdout)["points"] == len(SWEEP)
    assert (tmp_path / "e.svg").read_text().startswith("<?xml")
