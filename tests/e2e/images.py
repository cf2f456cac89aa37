"""A real image of a few hundred kilobytes: this host's static busybox, as an archive in each form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.conftest import needs
from tests.equipment import busybox_image
from tests.equipment.archives import Sample, new_docker, oci, old_docker, tar


def busybox_layer() -> bytes:
    """The layer; skips the test where there is no busybox."""
    needs("busybox")
    return busybox_image.busybox_layer()


def sample(name: str = "tests/busybox:1", **config: Any) -> Sample:
    """The image; ``config`` are members of its configuration such as ``Cmd``."""
    return Sample(layers=(busybox_layer(),), name=name, config={"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"], **config})


def old_archive(path: Path, **config: Any) -> Path:
    """As ``docker save`` of Docker before 25 writes it."""
    path.write_bytes(tar(old_docker(sample(**config))))
    return path


def new_archive(path: Path, **config: Any) -> Path:
    """As ``docker save`` of Docker 25 and later writes it: an OCI layout with a ``manifest.json`` beside it."""
    path.write_bytes(tar(new_docker(sample(**config))))
    return path


def oci_archive(path: Path, **config: Any) -> Path:
    """An OCI archive without anything of Docker's."""
    path.write_bytes(tar(oci(sample(**config))))
    return path
