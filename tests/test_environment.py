"""The private environment: what each group of packages costs whom, and that its making survives being interrupted."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest

from boinc2docker import extras, places
from boinc2docker.errors import HostError
from tests.conftest import needs
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
	echo "Collecting one"
	echo "pip ${{lock##*/}}" >>"$JOURNAL" && /bin/sleep 0.1
	[ ! -e "$JOURNAL.offline" ] || {{ echo "no route to host"; exit 1; }}
	;;
'-m boinc2docker.cli.program')
	echo "runs" && cat
	;;
*)
	case $* in *'find_spec("pip")'*) exit ;; esac # what it makes has pip, which the system's Python may lack
	case $* in *_base_executable*) [ -z "${{NAME:-}}" ] || {{ echo "$NAME"; exit; }} ;; esac
	exec ${{REAL:-{sys.executable}}} "$@"
	;;
esac
"""


class Clone:
    """A checkout with two locks and a stand-in for Python."""

    def __init__(self, root: Path) -> None:
        self.root, self.journal = root, root.parent / "journal"
        self.link, self.cache = root / ".venv", root.parent / "cache"
        (root / "ci").mkdir(parents=True)
        for name in ("environment", "invoke"):
            shutil.copy(CI / name, root / "ci")
        for name in ("requirements.lock", "requirements-test.lock"):
            self.lock(name, f"{name}==1\nother==1\n")
        self.program("python", PYTHON)
        self.journal.touch()

    def lock(self, name: str, text: str) -> None:
        (self.root / "ci" / name).write_text(text)

    def program(self, name: str, text: str) -> None:
        """Comes first in PATH."""
        path = self.root.parent / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def start(self, *words: str, program: str = "environment", **more: str) -> subprocess.Popen[str]:
        programs = self.root.parent / "bin"
        given = {"PYTHON": str(programs / "python"), "JOURNAL": str(self.journal), "XDG_CACHE_HOME": str(self.cache)}
        variables = {**given, "PATH": f"{programs}:/usr/bin:/bin", **more}
        return subprocess.Popen(
            [self.root / "ci" / program, *words],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ends(self, *words: str, code: int = 0, **more: str) -> list[str]:
        """What one call has installed."""
        before = len(self.journal.read_text().splitlines())
        process = self.start(*words, **more)
        self.said = process.communicate(timeout=60)[1]
        assert process.returncode == code, self.said
        return self.journal.read_text().splitlines()[before:]

    def environments(self) -> set[str]:
        return {path.name for path in (self.root / ".environments").iterdir() if path.is_dir()}

    def age(self) -> None:
        """Nobody has used what is there for long."""
        for path in (self.root / ".environments").glob("*/.used"):
            os.utime(path, (1, 1))


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "a clone")


def test_each_group_comes_once_and_tests_only_when_asked_for(clone: Clone) -> None:
    assert clone.ends() == ["venv", "pip requirements.lock"]
    assert clone.ends() == []
    assert clone.ends("test") == ["pip requirements-test.lock"]
    assert clone.ends("test") == []
    (clone.root / "ci/requirements.lock").write_text("newer")
    assert clone.ends() == ["venv", "pip requirements.lock", "pip requirements-test.lock"], "who used it before, does"


def test_what_was_interrupted_is_made_again(clone: Clone) -> None:
    Path(f"{clone.journal}.offline").touch()
    assert clone.ends(code=1) == ["venv", "pip requirements.lock"]
    Path(f"{clone.journal}.offline").unlink()
    assert clone.ends() == ["venv", "pip requirements.lock"]
    Path(f"{clone.journal}.offline").touch()
    assert clone.ends("test", code=1) == ["pip requirements-test.lock"]
    Path(f"{clone.journal}.offline").unlink()
    assert clone.ends("test") == ["pip requirements-test.lock"]


def test_a_newer_one_comes_beside_the_one_that_a_command_runs_from(clone: Clone) -> None:
    assert clone.ends("test") == ["venv", "pip requirements.lock", "pip requirements-test.lock"]
    first = clone.link.resolve()
    running = clone.start(program="invoke")
    assert running.stdin
    assert running.stdout
    assert running.stdout.readline() == "runs\n"
    clone.age()
    clone.lock("requirements.lock", "newer==1\n")
    assert clone.ends() == ["venv", "pip requirements.lock", "pip requirements-test.lock"]
    second = clone.link.resolve()
    assert second != first
    assert clone.environments() == {first.name, second.name}, "a command runs from the first"
    running.communicate(timeout=60)
    assert running.returncode == 0
    clone.lock("requirements.lock", "newest==1\n")
    clone.ends()
    assert clone.environments() == {second.name, clone.link.resolve().name}, "the second was used this week"
    assert "which nobody has used for a week" in clone.said


def test_a_changed_lock_of_a_group_never_changes_an_environment(clone: Clone) -> None:
    clone.ends("test")
    first = clone.link.resolve()
    clone.lock("requirements-test.lock", "newer==1\n")
    assert clone.ends("--into", str(first)) == [], "a command that was started before keeps what it has"
    assert clone.ends("test") == ["venv", "pip requirements.lock", "pip requirements-test.lock"]
    assert clone.link.resolve() != first


@pytest.mark.parametrize("name", ["python3", "python3.14"])
def test_another_python_first_in_path_makes_no_other_environment(clone: Clone, name: str) -> None:
    clone.ends()
    clone.program(name, PYTHON.replace("exec", "NAME=other exec"))
    assert clone.ends(PYTHON="") == []
    assert clone.ends() == []
    assert clone.ends(NAME="/opt/python3.12 3 12") == [], "the environment's own answers so, too"


def test_a_python_that_is_asked_for_gets_an_environment(clone: Clone) -> None:
    clone.ends()
    first = clone.link.resolve()
    clone.program("other", PYTHON.replace("${NAME:-}", "x").replace('"$NAME"', "/opt/python3.12 3 12"))
    other = str(clone.root.parent / "bin" / "other")
    assert clone.ends(PYTHON=other) == ["venv", "pip requirements.lock"]
    assert clone.ends(PYTHON=other) == []
    assert clone.link.resolve() != first
    assert clone.ends(PYTHON="") == []
    assert clone.ends() == []
    assert len(clone.environments()) == 2


def test_one_whose_python_is_gone_is_left_and_another_made(clone: Clone) -> None:
    clone.ends()
    (clone.link / "bin" / "python").unlink()
    assert clone.ends() == ["venv", "pip requirements.lock"]
    assert clone.ends() == []
    assert len(clone.environments()) == 2


def test_an_environment_of_an_older_checkout_goes_on(clone: Clone) -> None:
    """It is a directory, and its stamp holds a version of Python after the digest."""
    clone.ends()
    real = clone.link.resolve()
    clone.link.unlink()
    real.rename(clone.link)
    stamp = clone.link / ".stamp"
    stamp.write_text(f"{stamp.read_text().strip()} 3.11.2 (main)")
    assert clone.ends() == []
    clone.lock("requirements.lock", "newer==1\n")
    assert clone.ends() == ["venv", "pip requirements.lock"]
    assert clone.link.is_symlink()
    assert {name.partition("-")[0] for name in clone.environments()} >= {"before"}


def test_a_missing_link_is_made_again(clone: Clone) -> None:
    clone.ends()
    target = clone.link.readlink()
    clone.link.unlink()
    assert clone.ends() == []
    assert clone.link.readlink() == target


def test_progress_is_told_where_nobody_watches(clone: Clone) -> None:
    clone.program("sleep", "#!/bin/sh\nexec /bin/sleep 0.01\n")
    clone.program("python", PYTHON.replace("/bin/sleep 0.1", "/bin/sleep 2"))
    clone.ends()
    assert "  1 of 2 packages, 15 s\n" in clone.said
    assert "Collecting" not in clone.said


def test_what_pip_said_last_is_shown(clone: Clone) -> None:
    Path(f"{clone.journal}.offline").touch()
    clone.ends(code=1)
    assert "no route to host\n" in clone.said
    assert "could not install the packages of ci/requirements.lock" in clone.said


def test_another_user_gets_an_environment_in_their_cache(tmp_path: Path) -> None:
    """Who cannot write the checkout uses the one that lies there, and one of their own for more."""
    needs("setpriv")
    system = shutil.which("python3", path="/usr/bin:/bin")
    assert system, "what runs ci/prepare-tests has it"
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        clone = Clone(Path(name) / "clone")
        clone.ends(REAL=str(system))
        clone.journal.chmod(0o666)
        clone.cache.mkdir()
        clone.cache.chmod(0o777)
        (clone.root / "ci").chmod(0o555)
        (clone.root / ".environments").chmod(0o555)
        for path in clone.link.resolve().rglob("*"):
            path.chmod(0o555)
        clone.link.resolve().chmod(0o555)
        clone.root.chmod(0o555)
        as_another = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []

        def ends(*words: str) -> list[str]:
            before = len(clone.journal.read_text().splitlines())
            variables = {"PYTHON": f"{name}/bin/python", "JOURNAL": str(clone.journal), "REAL": str(system)}
            variables |= {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(clone.cache)}
            argv = [*as_another, str(clone.root / "ci" / "environment"), *words]
            done = subprocess.run(argv, env=variables, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            self_said.append(done.stdout.strip())
            return clone.journal.read_text().splitlines()[before:]

        self_said: list[str] = []
        assert ends("--path") == []
        assert ends("--path", "test") == ["venv", "pip requirements.lock", "pip requirements-test.lock"]
        assert ends("--path", "test") == ends("--path") == []
        own = str(clone.cache / "boinc2docker" / "environments")
        assert [place.startswith(own) for place in self_said] == [False, True, True, True]
        clone.root.chmod(0o755)
        (clone.root / ".environments").chmod(0o755)


def test_several_at_once_make_one(clone: Clone) -> None:
    several = [clone.start("test") for _ in range(4)]
    assert [process.communicate(timeout=60) and process.returncode for process in several] == [0] * 4
    journal = clone.journal.read_text().splitlines()
    assert journal == ["venv", "pip requirements.lock", "pip requirements-test.lock"]


def test_only_groups_with_a_lock_are_known(clone: Clone) -> None:
    for name in ("none", "../x", "test;id"):
        assert clone.ends(name, code=1) == []


def test_only_the_checkouts_own_environment_is_added_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(places, "CHECKOUT", tmp_path)
    extras.bring("test")  # there is no ci/environment
    (tmp_path / ".stamp").touch()
    monkeypatch.setattr(places, "CHECKOUT", None)
    extras.bring("test")
    monkeypatch.setattr(places, "CHECKOUT", tmp_path)
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
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    (tmp_path / ".stamp").touch()
    assert extras.how_to_install("plot") == "ci/environment plot"


def test_every_extra_has_a_library_that_shows_it() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    assert extras.LIBRARIES.keys() == project["optional-dependencies"].keys()
    for module in extras.LIBRARIES.values():
        assert importlib.util.find_spec(module), f"the tests run without {module}"
