"""What each command does: options in, parts called in their order, one report out. Only ``tasks.py`` imports this."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from boinc2docker import __version__, base, console, extras, iso, places
from boinc2docker.digest import Digest
from boinc2docker.errors import HostError, UsageError


def default_iso(base_name: str | None = None) -> Path:
    """Where ``build-iso`` writes unless told: the plain name is the default base's."""
    mark = f"-{re.sub(r'[^A-Za-z0-9._-]', '_', Path(base_name).name)}" if base_name not in (None, "debian") else ""
    return places.output() / f"boinc2docker-{__version__}{mark}.iso"


def build_iso(
    spec: str | None,
    *,
    sha256: str | None,
    output: Path | None,
    locked: bool,
    offline: bool,
    mirror: str | None,
    security_mirror: str | None,
) -> None:
    """Obtains the base, remasters it, says what came out."""
    began = time.monotonic()
    digest = Digest.parse(sha256) if sha256 else None
    target = output or default_iso(spec)
    with console.step(f"Base {spec or 'debian'}"):
        found = base.obtain(
            spec, sha256=digest, locked=locked, offline=offline, mirror=mirror, security_mirror=security_mirror
        )
    with console.step(f"Remaster to {shown(target)}"):
        identity = iso.BaseIdentity(found.name, found.digest, found.facts)
        made = iso.remaster(found.path, target, base=identity, version=__version__, epoch=found.epoch)
    seconds = round(time.monotonic() - began, 1)
    console.report(
        {
            "iso": str(made.path),
            "sha256": made.digest.hex,
            "bytes": made.bytes,
            "base": found.name,
            "base_sha256": found.digest.hex,
            "seconds": seconds,
        },
        f"{shown(made.path)}\n"
        f"  sha256  {made.digest.hex}\n"
        f"  size    {made.bytes / 1e6:.1f} MB\n"
        f"  base    {found.name} ({found.digest})\n"
        f"  time    {seconds} s",
    )


def fetch(spec: str | None, *, locked: bool, mirror: str | None, security_mirror: str | None) -> None:
    """Brings what a base needs into the cache."""
    with console.step(f"Fetch {spec or 'debian'}"):
        sources = base.Sources(mirror=mirror, security_mirror=security_mirror)
        found = base.fetch(spec, locked=locked, sources=sources)
    console.report(
        {"base": found.name, "files": found.files, "bytes": found.bytes},
        f"{found.name}: {found.files} files, {found.bytes / 1e6:.1f} MB in the cache; "
        "`build-iso --offline` works from now on",
    )


def update_base(*, mirror: str | None, security_mirror: str | None, report: Path | None = None) -> None:
    """Refreshes the lock and prints what changed; ``report``: a directory for the lock and what a reviewer reads."""
    sources = base.Sources(mirror=mirror, security_mirror=security_mirror)
    with console.step("Resolve the debian base's packages from the signed index"):
        changes = base.update_lock(sources=sources) if report is None else base.update_and_report(sources, report)
    lines = [str(change) for change in changes] or ["nothing changed"]
    console.report(
        {"changes": [{"name": one.name, "before": one.before, "after": one.after} for one in changes]},
        "\n".join(lines),
    )


def shown(path: Path) -> str:
    """A path as the user would type it from here."""
    with contextlib.suppress(ValueError):
        return str(path.resolve().relative_to(Path.cwd()))
    return str(path)


def inspect(path: Path) -> int:
    """Tells what is in an ISO; 1 if it is ours and not intact."""
    report = iso.inspect(path)
    console.report(iso.report_json(report), iso.render_report(report))
    return 1 if report.problems else 0


def diff(first: Path, second: Path, *, quick: bool) -> int:
    """Explains how two ISOs differ; 1 if they do."""
    found = iso.compare(first, second, deep=not quick)
    console.report(iso.difference_json(found), iso.render_difference(found))
    return 0 if found.same else 1


def customize(
    path: Path,
    *,
    settings: Sequence[str],
    add: Sequence[str],
    remove: Sequence[str],
    show: bool,
    reset: bool,
) -> None:
    """Changes or shows a project's settings in an ISO."""
    changes = bool(settings or add or remove or reset)
    if show and changes:
        raise UsageError("show-and-change", "--show changes nothing; expected it alone")
    if not show and not changes:
        raise UsageError("nothing-to-do", "expected --set, --add, --remove, --reset or --show")
    if show:
        done = iso.show(path)
    else:
        done = iso.customize(path, settings=iso.parse_settings(settings), add=add, remove=remove, reset=reset)
    console.report(iso.customisation_json(done), iso.render_customisation(done))


def test(*, exhaustive: bool, quick: bool, words: Sequence[str]) -> int:
    """Prepares the environment and the machine and runs pytest; its exit code is the result."""
    root = places.require_checkout("test")
    extras.bring("test")
    if exhaustive:
        with contextlib.suppress(HostError):  # the tests that need it skip and say so
            extras.bring("fuzz")
    if subprocess.run([str(root / "ci" / "prepare-tests")], check=False).returncode != 0:
        raise HostError("no-test-packages", "the packages that real tests need could not be installed; see above")
    options = ["--exhaustive"] if exhaustive else []
    options += ["-m", "not machine"] if quick else []
    workers = ["-n", str(min(os.cpu_count() or 1, 4)), "--dist", "loadfile", "--no-loadscope-reorder"]
    argv = [sys.executable, "-m", "pytest", *workers, *options, *words]
    return subprocess.run(argv, cwd=root, check=False).returncode
