"""The wheel, built and installed where an ordinary user finds no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.equipment.checkout import PROJECT_ROOT

NOBODY = 65534


def run(*argv: str | Path, **more: object) -> str:
    """What a program of the test's own prints; it has to succeed."""
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def build_wheel(target: Path) -> Path:
    """The wheel of this checkout."""
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", target, cwd=PROJECT_ROOT)
    [wheel] = target.glob("*.whl")
    return wheel


def python_for_everybody() -> str:
    """A Python of this version that an ordinary user can run; root's own may lie in a closed home."""
    if os.geteuid() != 0:
        return sys.executable
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    program = "import venv"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        try:
            subprocess.run([python, "-c", program], user=NOBODY, group=NOBODY, extra_groups=[], check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    return pytest.skip(f"an ordinary user can run no {version} with venv on this machine")


@dataclass(frozen=True)
class Installation:
    """An environment with the package in it, and the home and directory of the ordinary user who uses it."""

    environment: Path
    home: Path
    here: Path

    @classmethod
    def make(cls, room: Path) -> Installation:
        """An empty environment below ``room``, which the user can read but not write."""
        made = cls(room / "environment", room / "home", room / "here")
        run(python_for_everybody(), "-m", "venv", "--without-pip", made.environment)
        for directory in (made.home, made.here):
            directory.mkdir()
            if os.geteuid() == 0:
                os.chown(directory, NOBODY, NOBODY)
        return made

    @property
    def python(self) -> Path:
        return self.environment / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        return next((self.environment / "lib").glob("python*/site-packages"))

    def pip_install(self, *words: str | Path) -> None:
        """Installs with the pip of the tests."""
        run(sys.executable, "-m", "pip", "-q", "--python", self.python, "install", "--no-input", *words)

    def borrow_libraries(self) -> None:
        """Makes the libraries of the tests' environment importable, so that no network is needed."""
        libraries = [path for path in sys.path if path.endswith("-packages")]
        assert not any(Path(path, "boinc2docker").exists() for path in libraries), "they would hide what is installed"
        (self.site_packages / "borrowed.pth").write_text("\n".join(libraries) + "\n")
        self.says(self.python, "-c", "import requests")

    def call(self, *argv: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """A command of the ordinary user."""
        kept = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HTTPS_PROXY", "NO_PROXY")
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        environment |= {"HOME": str(self.home), "PATH": f"{self.environment / 'bin'}:/usr/bin:/bin"}
        person = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            [str(word) for word in argv],
            cwd=self.here,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            **person,
        )

    def says(self, *argv: str | Path) -> str:
        """What a command of the ordinary user prints; it has to succeed."""
        done = self.call(*argv)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout
