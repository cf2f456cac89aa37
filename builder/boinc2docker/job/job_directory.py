"""Writes the directory of a job, which a machine sees as ``shared``, atomically."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from boinc2docker import console, leftovers
from boinc2docker.atomic import explain
from boinc2docker.digest import CHUNK
from boinc2docker.errors import HostError
from boinc2docker.image import delivery as deliveries
from boinc2docker.image.image import Image
from boinc2docker.image.reference import Source
from boinc2docker.job import inputs
from boinc2docker.job.job import Job
from boinc2docker.job.remote_input import obtain
from boinc2docker.job.script import container_words, render
from boinc2docker.job.shipment import PLACE, ship, unpackings


@dataclass(frozen=True)
class Prepared:
    """A job directory that is ready to run."""

    path: Path
    image: Image


def prepare(job: Job, source: Source, target: Path, *, delivery: deliveries.Delivery | None = None) -> Prepared:
    """Makes ``target`` (which must not exist) with ``boinc_app``, ``image/<hex>`` and the inputs.

    Everything about the job is checked before an image is read. On any error nothing is left. Raises the errors of
    ``delivery.obtain``, ``boinc_app.render`` and ``inputs``; HostError for a full disk.
    """
    way = delivery or deliveries.Delivery()
    deliveries.check(source, way)
    container_words(job)
    for one in job.inputs:
        for _ in inputs.files_of(one):
            pass
    remote = [(one.name, obtain(one)[1]) for one in job.remote_inputs]
    with appearing(target) as directory:
        image = deliveries.obtain(source, directory / "image", way)
        (directory / PLACE).mkdir()
        shipped = [ship(one, directory / PLACE) for one in job.inputs]
        script = directory / "boinc_app"
        script.write_bytes(render(job, image, unpackings(shipped)).encode())
        script.chmod(0o755)
        plain = [(one.content, one.name) for one in shipped if one.unpacks_to is None]
        _copy([*plain, *((path, name) for name, path in remote)], directory)
    return Prepared(target, image)


@contextlib.contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """Yields a temporary directory beside ``target``; on a clean exit it becomes ``target``."""
    if target.exists():
        raise HostError("exists", f"{target} exists already", hint="choose another directory")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with leftovers.directory_part_of(target) as temporary:
            yield temporary
            temporary.chmod(0o755)
            temporary.rename(target)
    except OSError as error:
        raise explain(error, f"write {target}") from error


def _copy(files: list[tuple[Path, str]], directory: Path) -> None:
    """Copies input files: content and executable bit only."""
    total = sum(path.stat().st_size for path, _ in files)
    with console.progress("copying inputs", total) as advance:
        for path, name in files:
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with path.open("rb") as source, target.open("wb") as output:
                while chunk := source.read(CHUNK):
                    output.write(chunk)
                    advance(len(chunk))
            target.chmod(0o755 if os.access(path, os.X_OK) else 0o644)
