"""The Python environment that a project's daemons run from: a copy, inside the project, of what runs package-app.

``PROJECT/boinc2docker/environments/DIGEST`` never changes once it has its name, which tells its content. So nothing
that happens to a checkout, a wheel or a virtual environment elsewhere reaches a running project. What it shares with
the server is the interpreter and its standard library. Layout: PEP 405.
"""

from __future__ import annotations

import compileall
import contextlib
import hashlib
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from boinc2docker import atomic, leftovers
from boinc2docker.app.distributions import SITE, Contents
from boinc2docker.errors import HostError

DIRECTORY = Path("boinc2docker/environments")
PYTHON = Path("bin/python3")
_MARK = "environment.json"
_NAMED = re.compile(rf"{DIRECTORY}/([0-9a-f]{{16}})/".encode())
_TRIAL = """\
import sys
import boinc2docker.cli.classic, boinc2docker.results.assimilate
import boinc2docker.results.validate_compare, boinc2docker.results.validate_init
if not boinc2docker.__file__.startswith(sys.argv[1]):
    sys.exit(f"it runs {boinc2docker.__file__}")
"""
"""Loads all that the scripts of ``app_template/bin`` load."""


@dataclass(frozen=True)
class Environment:
    """An environment of the project in ``root``, there already or still to be made."""

    root: Path
    name: str
    interpreter: Path
    contents: Contents = field(repr=False)

    @classmethod
    def of(cls, root: Path, contents: Contents) -> Environment:
        """Named after its interpreter, which is this process's, and all its files but for the compiled ones."""
        interpreter = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
        total = hashlib.sha256(f"{interpreter} {sys.version_info[:2]}\n".encode())
        for place, content in sorted(contents.items()):
            if not place.endswith(".pyc"):
                total.update(f"{place} {_digest(content)}\n".encode())
        return cls(root, total.hexdigest()[:16], interpreter, contents)

    @property
    def path(self) -> Path:
        return self.root / DIRECTORY / self.name

    @property
    def directories(self) -> tuple[Path, ...]:
        """The project's own for environments, and this one; from outside."""
        return self.root / DIRECTORY.parent, self.root / DIRECTORY, self.path

    @property
    def python(self) -> Path:
        return self.path / PYTHON

    @property
    def size(self) -> int:
        """Bytes on the disk, about."""
        return sum(len(one) if isinstance(one, bytes) else one.stat().st_size for one in self.contents.values())

    def is_there(self) -> bool:
        return is_complete(self.path)

    def make(self) -> bool:
        """Makes it unless it is there, and tries it; returns whether it was made. Nothing stays of a failure.

        Raises HostError.
        """
        if self.is_there():
            return False
        try:
            atomic.make_directory(self.path.parent)
            for directory in self.directories[:-1]:
                _give(directory, self.root)
            with leftovers.directory_part_of(self.path) as staging:
                self._fill(staging)
                self._try(staging)
                shutil.rmtree(self.path, ignore_errors=True)  # what an interrupted removal left
                os.sync()
                staging.rename(self.path)
            atomic.flush(self.path.parent)
        except OSError as error:
            raise atomic.explain(error, f"make the environment {self.path}") from error
        return True

    def _fill(self, staging: Path) -> None:
        staging.chmod(0o755)
        for place, content in self.contents.items():
            target = staging / place
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                shutil.copyfile(content, target)
                shutil.copystat(content, target)  # compiled files know their source by its time
        compileall.compile_dir(staging, quiet=2)  # his daemons may not write here
        (staging / SITE).mkdir(parents=True, exist_ok=True)
        (staging / PYTHON).parent.mkdir()
        (staging / PYTHON).symlink_to(self.interpreter)
        version = ".".join(map(str, sys.version_info[:3]))
        (staging / "pyvenv.cfg").write_text(
            f"home = {self.interpreter.parent}\ninclude-system-site-packages = false\nversion = {version}\n"
        )
        about = {"about": "Made by package-app, whose scripts in bin/ name it. Never changed.", "python": version}
        (staging / _MARK).write_text(json.dumps(about) + "\n")
        self._open(staging)

    def _open(self, staging: Path) -> None:
        """Everybody may read it, whatever the umask was; it belongs to the project's owner."""
        for directory, _, names in os.walk(staging):
            _give(Path(directory), self.root)
            for path in (Path(directory, name) for name in names):
                _give(path, self.root)
                if not path.is_symlink():
                    path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
            Path(directory).chmod(0o755)

    def _try(self, staging: Path) -> None:
        """As the project's owner, if that is in our power: his daemons run it."""
        owner = self.root.stat()
        user, group, groups = None, None, None
        if os.geteuid() == 0 and owner.st_uid != 0:
            user, group, groups = owner.st_uid, owner.st_gid, _groups(owner.st_uid)
        argv = [str(staging / PYTHON), "-I", "-c", _TRIAL, str(staging)]
        try:
            done = subprocess.run(
                argv,
                user=user,
                group=group,
                extra_groups=groups,
                cwd="/",
                env={"PATH": os.defpath},
                capture_output=True,
                text=True,
                check=False,
            )
            said = done.stderr.strip() if done.returncode else ""
        except PermissionError as error:
            said = str(error)
        if said:
            raise HostError(
                "environment-broken",
                f"the project's owner (user {owner.st_uid}) cannot run the environment that was made for it:\n{said}",
                hint=f"he has to be able to enter {self.root} and to run {self.interpreter}; "
                "PYTHON=/usr/bin/python3 ci/invoke … takes the system's Python",
            )


def is_complete(path: Path) -> bool:
    return (path / _MARK).is_file()


def home_of(interpreter: Path) -> Path | None:
    """The home directory in which the interpreter lies, where its user may remove it; None for the system's."""
    homes = [Path.home(), *(Path(one) for one in ("/home", "/root", "/Users"))]
    return next((one for one in homes if one != Path("/") and interpreter.is_relative_to(one)), None)


def unused(root: Path, kept: set[str]) -> tuple[list[Path], list[Path]]:
    """The environments of a project that can go, and those that stay only because a process runs from them.

    What ``kept`` or a program in ``bin/`` names is in use.
    """
    named = {*kept, *_named(root / "bin")}
    there = [path for path in sorted((root / DIRECTORY).glob("*")) if re.fullmatch("[0-9a-f]{16}", path.name)]
    idle = [path for path in there if path.name not in named]
    running = [path for path in idle if _runs(path)]
    return [path for path in idle if path not in running], running


def remove(path: Path) -> None:
    """Removes an environment; an interrupted removal leaves none that counts as complete."""
    with contextlib.suppress(OSError):
        (path / _MARK).unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)


def _named(programs: Path) -> Iterator[str]:
    for path in programs.glob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and path.stat().st_size < 1 << 16 and ".before-" not in path.name:  # which is a backup
                yield from (one.decode() for one in _NAMED.findall(path.read_bytes()))


def _runs(path: Path) -> bool:
    """Whether a process was started from it; yes where the system does not tell."""
    processes = list(Path("/proc").glob("[0-9]*/cmdline"))
    if not processes:
        return True
    for one in processes:
        with contextlib.suppress(OSError):
            if one.read_bytes().startswith(os.fsencode(path) + b"/"):
                return True
    return False


def _digest(content: Path | bytes) -> str:
    data = content if isinstance(content, bytes) else content.read_bytes()
    return hashlib.sha256(data).hexdigest()


def _groups(user: int) -> list[int]:
    try:
        entry = pwd.getpwuid(user)
    except KeyError:
        return []
    return os.getgrouplist(entry.pw_name, entry.pw_gid)


def _give(path: Path, root: Path) -> None:
    """What root makes in somebody's project is that one's."""
    if os.geteuid() == 0:
        owner = root.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
