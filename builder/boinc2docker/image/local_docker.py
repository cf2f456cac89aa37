"""Copies images out of the Docker engine on this machine, through its API (docker-py)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound
from docker.models.images import Image as DockerImage

from boinc2docker import console
from boinc2docker.atomic import explain
from boinc2docker.digest import CHUNK
from boinc2docker.errors import HostError, InputError
from boinc2docker.image.image import Image
from boinc2docker.image.image_archive import familiar, read_archive


def read_local(name: str, into: Path, *, pack: bool = False) -> Image:
    """Copies image ``name`` (NAME[:TAG], NAME@DIGEST or an ID) out of the local Docker into ``into``, verified.

    With ``pack`` layers are kept as gzip: an engine hands them out uncompressed.

    The engine is the one ``docker`` itself would use by DOCKER_HOST. Raises HostError if there is none or it may not be
    used, InputError if it has no such image or one for another platform.
    """
    into.mkdir(parents=True, exist_ok=True)
    with _engine() as client:
        image = _find(client, name)
        with tempfile.TemporaryDirectory(prefix=".docker-save.", dir=into) as scratch:
            archive = Path(scratch) / "image.tar"
            _save(image, archive, name)
            return read_archive(archive, into, shown=familiar(name), pack=pack)


def address() -> str:
    """The address of the local Docker."""
    return os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


@contextmanager
def _engine() -> Iterator[docker.DockerClient]:
    try:
        client = docker.from_env(timeout=600)
    except (DockerException, requests.RequestException, ValueError) as error:
        raise _unreachable(error) from error
    try:
        client.ping()
        yield client
    except requests.RequestException as error:
        raise _unreachable(error) from error
    finally:
        client.close()


def _unreachable(error: Exception) -> HostError:
    text = str(error)
    if "ermission denied" in text:
        return HostError(
            "docker-permission",
            f"the Docker engine at {address()} refuses this user",
            hint="join the group docker, or set DOCKER_HOST to an engine you may use",
        )
    return HostError(
        "docker-unreachable",
        f"no Docker engine answers at {address()}" + ("" if "FileNotFound" in text else f": {text[:300]}"),
        hint="start Docker, set DOCKER_HOST, or give the path of an archive made by `docker save`",
    )


def _find(client: docker.DockerClient, name: str) -> DockerImage:
    try:
        image = client.images.get(name)
    except ImageNotFound as error:
        raise InputError(
            "no-such-image",
            f"the Docker engine at {address()} has no image {name}",
            hint=f"`docker pull {name}` first, or look at `docker images`",
        ) from error
    except (APIError, DockerException) as error:
        raise HostError("docker-failed", f"the Docker engine at {address()}: {error}") from error
    platform = f"{image.attrs.get('Os', '?')}/{image.attrs.get('Architecture', '?')}"
    if platform != "linux/amd64":
        raise InputError(
            "wrong-architecture",
            f"image {name}: expected linux/amd64, found {platform}",
            hint=f"`docker pull --platform linux/amd64 {name}`",
        )
    return image


def _save(image: DockerImage, archive: Path, name: str) -> None:
    """Writes what ``docker save`` writes. The engine does not announce its length; the image's size is close."""
    total = image.attrs.get("Size")
    try:
        with (
            archive.open("wb") as output,
            console.progress(
                f"saving {name} from the local Docker", total if isinstance(total, int) else None
            ) as advance,
        ):
            for chunk in image.save(chunk_size=CHUNK):
                output.write(chunk)
                advance(len(chunk))
    except APIError as error:
        raise HostError("docker-failed", f"the Docker engine at {address()} cannot save {name}: {error}") from error
    except requests.RequestException:
        raise
    except OSError as error:
        raise explain(error, f"save image {name}") from error
