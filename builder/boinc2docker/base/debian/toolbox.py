"""The build's native tools, run from their locked packages with the packages' own loader and libraries.

So two machines with different distributions run the same ``mksquashfs``, ``depmod`` and ``xz``, and write the same
bytes. Works for an ordinary user on any Linux x86-64 whose temporary directory allows programs to be run.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from boinc2docker import programs as command
from boinc2docker.base.debian import package
from boinc2docker.base.debian.tree import Kind, Spool
from boinc2docker.errors import HostError

_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_LOADER = "ld-linux-x86-64.so.2"
_PROGRAMS = ("usr/bin/", "usr/sbin/")


@dataclass(frozen=True)
class Toolbox:
    """Unpacked tools below ``root``."""

    root: Path

    def argv(self, program: str, *words: str | Path) -> list[str]:
        """The command line of ``program`` (``usr/bin/xz``) with the arguments ``words``."""
        libraries = self.root / _LIBRARIES
        loader = libraries / _LOADER
        start = [loader, "--inhibit-cache", "--library-path", libraries, self.root / program]
        return [str(word) for word in (*start, *words)]

    def run(self, program: str, *words: str | Path, stdin: bytes | None = None) -> bytes:
        """Runs a tool and returns its stdout. Raises CommandError."""
        return command.run(self.argv(program, *words), env=ENVIRONMENT, stdin=stdin)

    def start(self, program: str, *words: str | Path, stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        """Starts a tool whose stdin and stdout are pipes."""
        argv = self.argv(program, *words)
        pipe = subprocess.PIPE
        return subprocess.Popen(argv, env=dict(ENVIRONMENT), stdin=pipe, stdout=pipe, stderr=stderr)


ENVIRONMENT: Mapping[str, str] = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}
"""A tool's environment: nothing of the caller's."""


def unpack(debs: Iterable[tuple[str, Path]], root: Path, spool: Spool, *, probe: str = "usr/bin/xz") -> Toolbox:
    """Writes programs and libraries of packages (name, path) below ``root``. Raises HostError where ``probe``, one of
    the programs, cannot run."""
    here = (platform.system(), platform.machine())
    if here != ("Linux", "x86_64"):
        raise HostError(
            "wrong-host",
            f"the debian base needs Linux x86-64 to assemble it, this is {' '.join(here)}",
            hint="build on Linux x86-64, or use a finished ISO with --base",
        )
    for name, path in debs:
        for where, node in package.nodes(path, name, _needed, spool):
            target = root / where
            if node.kind is Kind.DIRECTORY:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if node.kind is Kind.LINK:
                target.symlink_to(node.target)
                continue
            target.write_bytes(spool.read(node.content))
            target.chmod(0o755)
    return _proven(Toolbox(root), probe)


def _needed(path: str) -> bool:
    return path.startswith(_PROGRAMS) or (path.startswith(_LIBRARIES + "/") and ".so" in path.rsplit("/", 1)[1])


def _proven(toolbox: Toolbox, probe: str) -> Toolbox:
    try:
        toolbox.run(probe, "--version")
    except PermissionError as error:
        raise HostError(
            "noexec",
            f"programs cannot be run from the temporary directory {toolbox.root.parent}",
            hint="set TMPDIR to a directory on a file system that is not mounted noexec",
        ) from error
    return toolbox
