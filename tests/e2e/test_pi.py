"""The worked example of app_template/examples/pi, from submit to the plot, one of its jobs in a real machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import call, needs
from tests.e2e.python_image import python_archive
from tests.equipment.checkout import PROJECT_ROOT
from tests.results.samples import log_tgz, tgz, upload
from tests.results.test_assimilate import script

pytestmark = [pytest.mark.machine, pytest.mark.timeout(1200)]

EXAMPLE = PROJECT_ROOT / "app_template" / "examples" / "pi"
SWEEP = [(seed, darts) for seed in range(2) for darts in (100, 1000, 10000)]


def submitted(image: Path, output: Path) -> Path:
    """A dry run of the sweep: the directory of its first job."""
    words: list[str | Path] = ["submit", image, "--appname", "pi", "--name", "sweep", "--dry-run", "--output", output]
    words += ["--json", "--network", "none", "--input", EXAMPLE / "estimate.py"]
    words += ["--sweep", "seed=0..1", "--sweep", "darts=100,1000,10000"]
    done = call(*words, "--", "python", "/root/shared/estimate.py", "{seed}", "{darts}")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["workunits"][0]["name"], told["jobs"]) == ("pi_sweep_1", len(SWEEP))
    return Path(told["job"])


def on_another_host(directory: Path, seed: int, darts: int) -> bytes:
    """The same program on the same numbers, without a machine."""
    results = directory / f"{seed}"
    results.mkdir(parents=True)
    subprocess.run([sys.executable, EXAMPLE / "estimate.py", str(seed), str(darts), str(results)], check=True)
    return tgz({"pi.json": (results / "pi.json").read_bytes()})


@pytest.mark.exhaustive
def test_from_submit_to_the_plot(iso: Path, tmp_path: Path) -> None:
    needs("qemu-system-x86_64")
    job = submitted(python_archive(tmp_path / "python.tar", EXAMPLE / "estimate.py"), tmp_path / "jobs")
    done = call("run", "--job", job, "--iso", iso, "--json")
    assert done.returncode == 0, done.stderr
    server = tmp_path / "server"
    shutil.copytree(EXAMPLE, server)
    app = server / "app.toml"
    real = upload(server, "pi_sweep_1", (job / "results.tgz").read_bytes(), (job / "boinc_log.tgz").read_bytes())
    other = upload(server, "pi_sweep_1", on_another_host(tmp_path / "other", *SWEEP[0]), log_tgz(), replica=1)
    assert script(app, *real, name="validator_init").returncode == 0
    assert script(app, *real, *other, name="validator_compare").returncode == 0
    for number, (seed, darts) in enumerate(SWEEP, 1):
        name = f"pi_sweep_{number}"
        files = real if number == 1 else upload(server, name, on_another_host(tmp_path / name, seed, darts), log_tgz())
        assimilated = script(app, str(number), *files)
        assert assimilated.returncode == 0, assimilated.stderr
    first = json.loads(call("results", "show", "pi_sweep_1", "--settings", app, "--json").stdout)
    assert (first["state"], first["batch"], first["exit_code"]) == ("done", "sweep", 0)
    assert (first["recorded"]["seed"], first["recorded"]["darts"]) == SWEEP[0]
    assert first["seconds"] > 0
    assert {"init", "docker", "run"} <= set(first["metrics"]["marks"])
    plotted = call("results", "plot", "darts", "error", "--settings", app, "--output", tmp_path / "e.svg", "--json")
    assert json.loads(plotted.stdout)["points"] == len(SWEEP)
    assert (tmp_path / "e.svg").read_text().startswith("<?xml")
