"""The commands that the documents print, and who runs each: a test here, or the one that is named."""

from __future__ import annotations

import re
from pathlib import Path

from tests.equipment.checkout import PROJECT_ROOT

PROJECT = "/home/boincadm/projects/sample"
"""The project's directory in all documents."""

_BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE)


def pages() -> list[Path]:
    """Every document that people read, the README first."""
    beside = [PROJECT_ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY", "CHANGELOG")]
    return [*beside, *sorted((PROJECT_ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[tuple[str, str]]:
    """The code blocks of a page: language and text."""
    return [(match["language"], match["text"]) for match in _BLOCK.finditer(page.read_text(encoding="utf-8"))]


def shell_lines(page: Path) -> list[str]:
    """The command lines of a page's shell blocks, continued lines joined; scripts are none."""
    found = []
    for language, text in blocks(page):
        if language in ("", "sh") and not text.startswith("#!"):
            joined = re.sub(r" *\\\n *", " ", text)
            found += [line.strip() for line in joined.splitlines() if line.strip() and not line.strip().startswith("#")]
    return found


def in_checkout(line: str) -> str:
    """A line as it is typed in a checkout: ``boinc2docker NAME`` is ``ci/invoke NAME`` there."""
    return re.sub(r"^boinc2docker ", "ci/invoke ", line)


def commands() -> list[str]:
    """Our commands in all documents, as typed in a checkout, each once, in the documents' order."""
    lines = [in_checkout(line) for page in pages() for line in shell_lines(page)]
    return list(dict.fromkeys(line for line in lines if line.startswith("ci/invoke ")))


ELSEWHERE = {
    "ci/invoke build-iso": "tests/e2e/test_fresh_clone.py::test_an_ordinary_user_builds_the_same_bytes",
    "ci/invoke build-iso --locked": "tests/conftest.py: the ISO of every test",
    "ci/invoke build-iso --offline": "tests/e2e/test_fresh_clone.py::test_an_ordinary_user_builds_the_same_bytes",
    "ci/invoke build-iso --base boot2docker": "tests/e2e/test_boot2docker.py::test_real_boot2docker",
    "ci/invoke fetch --mirror https://mirrors.kernel.org/debian": "tests/base/test_obtain.py, with one on loopback",
    "ci/invoke update-base": "tests/e2e/test_readme.py::test_update_base_from_the_network",
    "ci/invoke test --quick": "this run",
    "ci/invoke bench --compare dist/2.0.0/measurements.json --chart build/speed.svg": "tests/bench/test_figures.py",
    "ci/invoke run python:3-slim python -c \"print('Hello BOINC')\"": (
        "tests/e2e/test_store.py::test_cold_warm_and_a_shared_base, from a registry on loopback"
    ),
    "ci/invoke run python:3-slim -- python -c \"print('Hello BOINC')\"": "the same job: tests/cli",
    'ci/invoke run python:3-slim "python -c \\"print(\'Hello BOINC\')\\""': "the same job: tests/cli",
    "ci/invoke run hello.tar /bin/sh -c 'echo hello > /root/shared/results/out.txt'": (
        "tests/e2e/test_job.py::test_a_file_that_a_container_wrote_arrives"
    ),
    "ci/invoke run --input app_template/examples/pi/estimate.py python:3-slim python /root/shared/estimate.py 1 1000": (
        "tests/e2e/test_pi.py::test_from_submit_to_the_plot"
    ),
    "ci/invoke run --with docker hello.tar ls /": "tests/container/test_run_command.py",
    "ci/invoke run --job build/submit/hello/job": (
        "tests/e2e/test_job.py::test_everything_given_reaches_the_container"
    ),
    "ci/invoke submit --dry-run --name hello hello.tar /bin/sh -c 'echo hello > /root/shared/results/out.txt'": (
        "tests/cli/test_submit_commands.py::test_a_dry_run_needs_no_project_and_all_forms_are_the_same_job"
    ),
    f"ci/invoke submit --via boinc --project {PROJECT} registry.example/team/model:3 ./model": (
        "tests/image/test_registry_tokens.py, with registries on loopback"
    ),
    f"ci/invoke submit --project {PROJECT} docker-daemon:hello ./hello": "tests/image/test_local_docker.py",
    f"ci/invoke submit --project {PROJECT} --appname pi --name sweep --input app_template/examples/pi/estimate.py "
    "--sweep seed=1..100 --sweep darts=1000,1000000 python:3-slim python /root/shared/estimate.py {seed} {darts}": (
        "tests/e2e/test_pi.py::test_from_submit_to_the_plot, as a dry run"
    ),
    f"ci/invoke status sweep --appname pi --project {PROJECT}": "tests/submission/test_jobs.py",
    "ci/invoke package-app --version 1.02": "tests/app/test_package.py, with vboxwrapper's files from loopback",
    f"ci/invoke package-app --version 1.02 --project {PROJECT} --dry-run": "tests/app/test_package.py",
    f"ci/invoke package-app --version 1.02 --project {PROJECT} --run": "tests/app/test_package.py",
    f"ci/invoke package-app --version 1.03 --project {PROJECT} --dry-run": "tests/app/test_installed.py",
    f"ci/invoke package-app --version 1.03 --project {PROJECT} --run": "tests/app/test_installed.py",
    f"ci/invoke package-app --roll-back --project {PROJECT} --dry-run": "tests/app/test_roll_back.py",
    f"ci/invoke package-app --roll-back --project {PROJECT}": "tests/app/test_roll_back.py",
    "ci/invoke package-app --version 1.00 --settings app_template/examples/pi/app.toml "
    f"--project {PROJECT} --run": "tests/app/test_server_side.py::test_the_worked_example_is_an_app",
    "ci/invoke sign-app build/apps/boinc2docker/1.02 --key code_sign_private": (
        "tests/app/test_package.py::test_the_commands_sign_and_verify"
    ),
    "ci/invoke verify-app build/apps/boinc2docker/1.02 --key code_sign_public": (
        "tests/app/test_package.py::test_the_commands_sign_and_verify"
    ),
    "ci/invoke release --version 2.0.0": (
        "tests/release/test_clean_roots.py::test_the_readme_and_a_release_in_two_clean_systems"
    ),
    "ci/invoke verify-release dist/2.0.0": "tests/cli/test_verify_command.py",
    "ci/invoke verify-release dist/2.0.0 --rebuild": (
        "tests/release/test_clean_roots.py::test_the_readme_and_a_release_in_two_clean_systems"
    ),
    "ci/invoke diff dist/2.0.0/boinc2docker-2.0.0.iso build/boinc2docker-2.0.0.iso": "tests/iso/test_difference.py",
}
"""Our commands that another test runs, or one that does the same with what is here; all are parsed as well."""

SUBMITTING = (
    "ci/invoke submit --project",
    "ci/invoke status ",
    "ci/invoke cancel ",
    *(f"ci/invoke store {action} /home" for action in ("ls", "verify", "gc")),
)
"""What begins so is run by tests/cli/test_submit_commands.py, in a project of stand-ins."""

RESULTS = "ci/invoke results "
"""What begins so is run by tests/cli/test_results_command.py, with the worked example's results."""

OTHER_PROGRAMS = {
    "git clone https://github.com/marius311/boinc2docker && cd boinc2docker": "tests/e2e/test_fresh_clone.py clones",
    "pipx install .": "as pip install, which tests/install does",
    "pipx install '.[plot,parquet,arrays,release]'": "as pip install, which tests/install does",
    "docker save -o hello.tar hello": "tests/image/test_local_docker.py, with a real engine",
    "docker login registry.example": "Docker's own; its config file: tests/image/test_registry_tokens.py",
    "bin/stop": "BOINC's own",
    "bin/start": "BOINC's own",
    "ci/docs": "the job docs of .github/workflows/ci.yml",
    "ci/docs serve": "the same, kept running",
    "pytest": "tests/test_selection.py",
    "pytest tests/guest": "tests/test_selection.py",
    ". .venv/bin/activate": "what venv makes",
    "pre-commit install": "pre-commit's own; tests/test_linters.py runs the same linters",
    "python -m ci.changelog": "tests/test_changelog.py",
    "python -m ci.changelog 2.1.0": "tests/test_changelog.py",
}
"""Commands of other programs, or of a checkout, that the documents print, and why no test types them."""


def run_in_a_checkout() -> list[str]:
    """The commands that tests/e2e/test_readme.py types, in their order: all that no other test is said to run."""
    return [line for line in commands() if line not in ELSEWHERE and not line.startswith((*SUBMITTING, RESULTS))]


def run_in_a_project() -> list[str]:
    """The commands that tests/cli/test_submit_commands.py types."""
    return [line for line in commands() if line not in ELSEWHERE and line.startswith(SUBMITTING)]


def run_with_results() -> list[str]:
    """The commands that tests/cli/test_results_command.py types."""
    return [line for line in commands() if line not in ELSEWHERE and line.startswith(RESULTS)]
