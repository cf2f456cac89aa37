"""Every command of the README is run: here, or by the test that is named here."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import call, typed
from tests.equipment.checkout import PROJECT_ROOT

ELSEWHERE = {
    "ci/invoke build-iso": "test_fresh_clone.test_an_ordinary_user_builds_the_same_bytes",
    "ci/invoke test": "this run",
    "ci/invoke bench": "test_readme.test_bench_measures_ratios",
    "ci/invoke run python:3-slim -- python -c \"print('Hello BOINC')\"": (
        "test_store.test_cold_warm_and_a_shared_base, from a registry on loopback"
    ),
    "ci/invoke run hello.tar -- /bin/sh -c 'echo hello > /root/shared/results/out.txt'": (
        "test_job.test_a_file_that_a_container_wrote_arrives"
    ),
    "ci/invoke build-iso --base boot2docker": "test_boot2docker.test_real_boot2docker",
    **dict.fromkeys(
        (
            "ci/invoke results ls --settings /home/boincadm/projects/sample/pi.toml --batch sweep",
            (
                "ci/invoke results export --settings /home/boincadm/projects/sample/pi.toml "
                "--csv sweep.csv --column name --column pi.json:darts"
            ),
            "ci/invoke results plot darts error --settings /home/boincadm/projects/sample/pi.toml --output error.svg",
            "ci/invoke results retry --settings /home/boincadm/projects/sample/pi.toml",
        ),
        "tests/cli/test_results_command.test_the_readmes_commands_for_results",
    ),
    "ci/invoke submit hello.tar --dry-run --name hello -- /bin/sh -c 'echo hello > /root/shared/results/out.txt'": (
        "tests/cli/test_submit_commands.py"
    ),
    "ci/invoke run --job build/submit/hello/job": "test_job.test_everything_given_reaches_the_container",
    "ci/invoke release --version 2.0.0": (
        "tests/release/test_clean_roots.test_the_readme_and_a_release_in_two_clean_systems"
    ),
    "ci/invoke verify-release dist/2.0.0": "the same, and tests/release/test_documents.py",
    "ci/invoke verify-release dist/2.0.0 --rebuild": "the same",
    "ci/invoke diff dist/2.0.0/boinc2docker-2.0.0.iso build/boinc2docker-2.0.0.iso": "tests/iso/test_difference.py",
    "ci/invoke update-base": "tests/base/test_obtain.py, and the network test below",
    "ci/invoke package-app --version 1.02": "tests/app/test_package.py, with vboxwrapper's files from loopback",
    "ci/invoke package-app --version 1.02 --project /home/boincadm/projects/sample --dry-run": "the same",
    "ci/invoke package-app --version 1.02 --project /home/boincadm/projects/sample --run": "the same",
    "ci/invoke package-app --version 1.00 --settings app_template/examples/pi/app.toml "
    "--project /home/boincadm/projects/sample --run": "tests/app/test_server_side.test_the_worked_example_is_an_app",
    "ci/invoke submit python:3-slim --project /home/boincadm/projects/sample --appname pi --name sweep "
    "--input app_template/examples/pi/estimate.py --sweep seed=1..100 --sweep darts=1000,1000000 "
    "-- python /root/shared/estimate.py {seed} {darts}": "test_pi.test_from_submit_to_the_plot, as a dry run",
    "ci/invoke sign-app build/apps/boinc2docker/1.02 --key code_sign_private": (
        "test_package.test_the_commands_sign_and_verify"
    ),
    "ci/invoke verify-app build/apps/boinc2docker/1.02 --key code_sign_public": (
        "test_package.test_the_commands_sign_and_verify"
    ),
}

SUBMITTING = ("ci/invoke submit python:3-slim", "ci/invoke status", "ci/invoke cancel", "ci/invoke store gc /home")
"""These are run by tests/cli/test_submit_commands.py, in a project of stand-ins."""


def commands() -> list[str]:
    """The lines of the README's code blocks that are commands of ours."""
    blocks = re.findall(
        r"^ *```(\w*)\n(.*?)^ *```$", (PROJECT_ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    lines = [line.strip() for language, block in blocks if not language for line in block.splitlines()]
    return [line for line in lines if line.startswith("ci/invoke")]


def test_the_readme_begins_with_its_two_commands() -> None:
    assert commands()[:2] == ["ci/invoke build-iso", "ci/invoke test"]
    assert ELSEWHERE.keys() - set(commands()) == {"ci/invoke bench"}, "a command is gone, or its block is not seen"


def test_commands_are_run_in_order(iso: Path, checkout: Path) -> None:
    """In one checkout, as a reader would: what is not run elsewhere ends with 0 here."""
    (checkout / "build").mkdir()
    shutil.copy(iso, checkout / "build" / "boinc2docker-2.0.0.iso")
    (checkout / "build" / "scratch" / "boinc2docker" / "v1" / "layers" / "sha256").mkdir(parents=True)
    run = 0
    for line in commands():
        if line in ELSEWHERE or line.startswith(SUBMITTING):
            continue
        done = typed(shlex.split(line), checkout)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        assert done.stdout, line
        run += 1
    assert run >= 4
    assert (checkout / "build" / "boinc2docker-2.0.0.iso").read_bytes() == iso.read_bytes(), "--reset left something"


def test_update_base_from_the_network(tmp_path: Path) -> None:
    """Resolves from the real signed index, in a copy: the lock of the checkout stays as it is."""
    for name in ("builder", "guest", "ci"):
        shutil.copytree(PROJECT_ROOT / name, tmp_path / name)
    shutil.copy(PROJECT_ROOT / "tasks.py", tmp_path / "tasks.py")
    done = subprocess.run(
        [sys.executable, "-m", "boinc2docker.cli.program", "update-base"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path / 'builder'}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 and "cannot download" in done.stderr:
        pytest.skip(f"no Debian mirror can be reached: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_bench_measures_ratios() -> None:
    done = call("bench", "--quick")
    assert done.returncode == 0, done.stderr
    assert re.search(r"remaster against cp: \d+\.\d\d×", done.stdout)
