"""The private environment: what each group of packages costs whom, and that its making survives being interrupted."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from boinc2docker import extras, places
from boinc2docker.errors import HostError
from tests.equipment.checkout import PROJECT_ROOT

CI = PROJECT_ROOT / "ci"

PYTHON = f"""\
#!/bin/sh
# Stands in for Python: makes environments that hold this program, and writes down what pip is to install.
case "$1 $2" in
'-m venv')
	mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo "venv" >>"$JOURNAL"
	;;
'-m pip')
	for lock; do :; done
	echo "pip ${{lock##*/}}" >>"$JOURNAL" && sleep 0.1
	[ ! -e "$JOURNAL.offline" ] || exit 1
	;;
*) exec {sys.executable} "$@" ;;
esac
"""


class Clone:
    """A checkout with two locks and a stand-in for Python."""

    def __init__(self, root: Path) -> None:
        self.root, self.journal = root, root / "journal"
        (root / "ci").mkdir(parents=True)
        shutil.copy(CI / "environment", root / "ci")
        for name in ("requirements.lock", "requirements-test.lock"):
            (root / "ci" / name).write_text(name)
        (root / "python").write_text(PYTHON)
        (root / "python").chmod(0o755)
        self.journal.touch()

    def start(self, *groups: str) -> subprocess.Popen[str]:
        path = f"{self.root}:/usr/bin:/bin"
        return subprocess.Popen(
            [self.root / "ci" / "environment", *groups],
            env={"PATH": path, "PYTHON": str(self.root / "python"), "JOURNAL": str(self.journal)},
            stderr=subprocess.PIPE,
            text=True,
        )

    def ends(self, *groups: str, code: int = 0) -> list[str]:
        """What one call has installed."""
        before = len(self.journal.read_text().splitlines())
        process = self.start(*groups)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == code, said
        return self.journal.read_text().splitlines()[before:]


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "a clone")


def test_each_group_comes_once_and_tests_only_when_asked_for(clone: Clone) -> None:
    assert clone.ends() == ["venv", "pip requirements.lock"]
    assert clone.ends() == []
    assert clone.ends("test") == ["pip requirements-test.lock"]
    assert clone.ends("test") == []
    (clone.root / "ci/requirements-test.lock").write_text("newer")
    assert clone.ends() == []
    assert clone.ends("test") == ["pip requirements-test.lock"]
    (clone.root / "ci/requirements.lock").write_text("newer")
    assert clone.ends() == ["venv", "pip requirements.lock", "pip requirements-test.lock"], "daemons may use a group"


def test_what_was_interrupted_is_made_again(clone: Clone) -> None:
    Path(f"{clone.journal}.offline").touch()
    assert clone.ends(code=1) == ["venv", "pip requirements.lock"]
    Path(f"{clone.journal}.offline").unlink()
    assert clone.ends() == ["venv", "pip requirements.lock"]
    Path(f"{clone.journal}.offline").touch()
    assert clone.ends("test", code=1) == ["pip requirements-test.lock"]
    Path(f"{clone.journal}.offline").unlink()
    assert clone.ends("test") == ["pip requirements-test.lock"]


def test_an_environment_that_cannot_be_removed_is_named(clone: Clone) -> None:
    """Root's `ci/invoke test` in a user's checkout leaves files that he cannot remove."""
    assert clone.ends() == ["venv", "pip requirements.lock"]
    (clone.root / "ci/requirements.lock").write_text("newer")
    (clone.root / "rm").write_text("#!/bin/sh\nexit 1\n")
    (clone.root / "rm").chmod(0o755)
    process = clone.start()
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert f"cannot remove {clone.root}/.venv\n" in said
    assert f"sudo rm -rf '{clone.root}/.venv'" in said


def test_several_at_once_make_one(clone: Clone) -> None:
    several = [clone.start("test") for _ in range(4)]
    assert [process.communicate(timeout=60) and process.returncode for process in several] == [0] * 4
    journal = clone.journal.read_text().splitlines()
    assert journal == ["venv", "pip requirements.lock", "pip requirements-test.lock"]


def test_only_groups_with_a_lock_are_known(clone: Clone) -> None:
    for name in ("none", "../x", "test;id"):
        assert clone.ends(name, code=1) == []


def test_only_the_checkouts_own_environment_is_added_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(places, "CHECKOUT", None)
    extras.bring("test")
    monkeypatch.setattr(places, "CHECKOUT", tmp_path)  # no ci/environment there
    extras.bring("test")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci" / "environment").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "ci" / "environment").chmod(0o755)
    with pytest.raises(HostError, match=r"requirements-test\.lock could not be installed"):
        extras.bring("test")


def locked(name: str) -> set[tuple[str, str]]:
    """The packages of a lock with their versions; one that depends on the Python has several."""
    return set(re.findall(r"^([a-z0-9.-]+)==([^\s;]+)", (CI / name).read_text(), re.MULTILINE))


def names(requirements: list[object]) -> set[str]:
    return {re.split(r"[><=~!;\[ ]", text)[0].replace(".", "-") for text in requirements if isinstance(text, str)}


def test_locks_hold_what_pyproject_names_and_agree() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    wanted = {"requirements.lock": project["project"]["dependencies"], "requirements-test.lock": groups.pop("dev")}
    optional = project["project"]["optional-dependencies"]
    wanted["requirements-test.lock"] += [one for extra in optional.values() for one in extra]
    wanted |= {f"requirements-{name}.lock": group for name, group in {**groups, **optional}.items()}
    assert wanted.keys() == {path.name for path in CI.glob("requirements*.lock")}
    locks = {name: locked(name) for name in wanted}
    for name, requirements in wanted.items():
        assert names(requirements) <= {package for package, _ in locks[name]}, name
        assert (CI / name).read_text().count("==") <= (CI / name).read_text().count("--hash=sha256:"), name
    first = {package for package, _ in locks["requirements.lock"]}
    assert not {"pytest", "mypy", "hypothesis", "ruff", "numpy", "matplotlib", "pyarrow"} & first
    everything = set.union(*locks.values())
    for name, lock in locks.items():
        same = {one for one in everything if one[0] in {package for package, _ in lock}}
        assert same == lock, f"{name} and another lock have other versions of {same ^ lock}"


def test_a_missing_library_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(extras, "LIBRARIES", {"plot": "no_such_module", "arrays": "json"})
    monkeypatch.setattr(places, "CHECKOUT", None)
    extras.need("arrays", "reading a.npy")
    with pytest.raises(HostError, match="results plot needs no_such_module, which is not installed") as caught:
        extras.need("plot", "results plot")
    assert caught.value.hint == "pip install 'boinc2docker[plot]'"
    monkeypatch.setattr(places, "CHECKOUT", tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    assert extras.how_to_install("plot") == "ci/environment plot"


def test_every_extra_has_a_library_that_shows_it() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    assert extras.LIBRARIES.keys() == project["optional-dependencies"].keys()
    for module in extras.LIBRARIES.values():
        assert importlib.util.find_spec(module), f"the tests run without {module}"
