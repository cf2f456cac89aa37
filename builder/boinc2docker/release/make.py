"""``release``: builds twice, boots, describes and signs, and only then moves the result into ``dist/``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boinc2docker import atomic, console, iso, leftovers, places
from boinc2docker.base import Sources, epoch
from boinc2docker.base.lock import Lock, LockedPackage
from boinc2docker.digest import Digest
from boinc2docker.errors import CommandError, HostError, InputError, VerificationError
from boinc2docker.release import checkout, compose, contents, inventory, notes, rooms
from boinc2docker.release.compose import Material
from boinc2docker.release.contents import MEASUREMENTS, SUMS, Names
from boinc2docker.release.notes import Previous
from boinc2docker.release.rooms import Materials

Measure = Callable[[Path], Mapping[str, Any]]
"""Boots an ISO, runs a job in it and measures both. Raises BuilderError if the job fails."""


@dataclass(frozen=True)
class Options:
    """The options of a release. ``previous`` is an earlier release's directory, instead of its tag."""

    version: str
    output: Path | None = None
    previous: Path | None = None
    key: Path | None = None
    mirror: str | None = None
    security_mirror: str | None = None


def release(options: Options, *, measure: Measure | None = None) -> Path:
    """Makes the release and returns its new directory. Raises BuilderErrors."""
    names = Names(options.version)
    target = check(options)
    material, debs = gather(options)
    notes.section(material.changelog, options.version)
    materials = _materials(material.lock, debs, epoch.chosen())
    with _finished(target) as place, leftovers.scratch() as work:
        built = build_twice(materials, work)
        shutil.move(built, place / names.iso)
        write_documents(place, names, material, debs)
        with console.step("Boot it, run a job, measure"):
            figures = (measure or _measure)(place / names.iso)
        text = contents.measurements_text(figures, (place / SUMS).read_text(encoding="utf-8"))
        atomic.write_text(place / MEASUREMENTS, text)
        if options.key is not None:
            sign(place, options.key)
    return target


def check(options: Options) -> Path:
    """The directory that the release will be in. Raises BuilderErrors for options that cannot work."""
    target = options.output or places.require_checkout("release") / "dist" / options.version
    checkout.require_version(options.version)
    _require_free(target)
    _require_signable(options.key)
    return target


def release_command(options: Options) -> None:
    """Makes the release and lists its files."""
    target = release(options)
    files = {path.name: path.stat().st_size for path in sorted(target.iterdir())}
    lines = [f"{target}", *(f"  {size:>11}  {name}" for name, size in files.items())]
    console.report({"release": str(target), "version": options.version, "files": files}, "\n".join(lines))


def gather(options: Options) -> tuple[Material, Mapping[LockedPackage, Path]]:
    """The commit's inputs and the locked packages' files. Raises BuilderErrors: dirty checkout, stale lock, network."""
    source, changelog = checkout.source(), checkout.changelog()
    where = Sources(mirror=options.mirror, security_mirror=options.security_mirror).debian()
    lock, debs = where.packages(where.current_lock(locked=True), locked=True)
    if options.previous is not None:
        before: Previous | None = previous_of(options.previous)
    else:
        before = checkout.previous(options.version, changelog)
    return Material(source, lock, changelog, before), debs


def previous_of(path: Path) -> Previous:
    """The release in a directory, or of an identity file alone. Raises InputError."""
    found = sorted(path.glob("boinc2docker-*.identity.json")) if path.is_dir() else [path]
    if len(found) != 1 or not found[0].is_file():
        raise InputError("no-release", f"--previous: expected a release or its identity file, found {path}")
    identity = iso.parse_identity(found[0].read_bytes())
    return Previous(identity.version, inventory.named(identity))


def _materials(lock: Lock, debs: Mapping[LockedPackage, Path], chosen: int | None) -> Materials:
    when = lock.epoch if chosen is None else chosen
    return Materials(checkout.archive(), Sources().cache, tuple(debs), when)


def build_twice(materials: Materials, work: Path) -> Path:
    """Builds the ISO in two different rooms. Raises VerificationError if the results differ."""
    built = []
    for number, room in enumerate((rooms.FIRST, rooms.SECOND), start=1):
        with console.step(f"Build {number} of 2: TZ={room.environment['TZ']}, umask {room.umask:03o}"):
            built.append(rooms.build(room, materials, work))
    first, second = (Digest.of_file(path) for path in built)
    if first != second:
        difference = iso.render_difference(iso.compare(built[0], built[1]))
        raise VerificationError(
            "not-reproducible",
            f"two builds of the same commit differ ({first}, {second}):\n{difference}",
            hint="nothing was released",
        )
    return built[0]


def write_documents(place: Path, names: Names, material: Material, debs: Mapping[LockedPackage, Path]) -> None:
    """Writes the documents of the ISO in ``place``. Raises VerificationError if the ISO is not intact."""
    with console.step("Describe it"):
        image = iso.inspect(place / names.iso)
        if not image.ours or image.problems:
            raise VerificationError("not-intact", f"the built ISO is not intact: {'; '.join(image.problems)}")
        parts = inventory.take(image, material.lock, debs, iso_name=names.iso, cache=Sources().cache)
        for name, text in compose.documents(names, image, parts, material).items():
            atomic.write_text(place / name, text)


def rebuilt_sums(when: int, options: Options, work: Path) -> Mapping[str, Digest]:
    """The ``SHA256SUMS`` of a release rebuilt from this checkout, without booting it."""
    names = Names(options.version)
    material, debs = gather(options)
    with console.step("Build it again"):
        built = rooms.build(rooms.SECOND, _materials(material.lock, debs, when), work)
    shutil.move(built, work / names.iso)
    write_documents(work, names, material, debs)
    return contents.parse_sums((work / SUMS).read_text(encoding="utf-8"))


def sign(place: Path, key: Path) -> None:
    """Signs with ``ci/sign``; minisign itself asks for a password, if the key has one. Raises CommandError."""
    argv = [str(places.require_checkout("release") / "ci" / "sign"), str(place)]
    with console.step("Sign it"):
        done = subprocess.run(argv, env={**os.environ, "MINISIGN_KEY_FILE": str(key)}, check=False)
    if done.returncode != 0:
        raise CommandError(argv, done.returncode, "")


def _measure(image: Path) -> Mapping[str, Any]:
    """Measures the ISO with ``bench``. Raises CommandError."""
    argv = [sys.executable, "-m", "boinc2docker.cli.program", "bench", "--iso", str(image), "--json"]
    root = places.require_checkout("release")
    environment = {**os.environ, "PYTHONPATH": f"{places.SOURCE}:{root}"}
    done = subprocess.run(argv, cwd=root, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise CommandError(argv, done.returncode, "")
    figures: Mapping[str, Any] = json.loads(done.stdout)
    return figures


def _require_free(target: Path) -> None:
    if target.exists():
        raise InputError("exists", f"{target} exists; a release is made only once", hint="remove it, or give --output")


def _require_signable(key: Path | None) -> None:
    if key is None:
        return
    if not key.is_file():
        raise InputError("no-key", f"--key: there is no file {key}")
    if shutil.which("minisign") is None:
        raise HostError("program-missing", "minisign is not on this machine", hint="apt-get install minisign")


@contextmanager
def _finished(target: Path) -> Iterator[Path]:
    """A directory beside ``target``: renamed to it on success, removed otherwise."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with leftovers.directory_part_of(target) as place:
            yield place
            place.chmod(0o755)
            place.rename(target)
            atomic.flush(target.parent)
    except OSError as error:
        raise atomic.explain(error, f"write {target}") from error
