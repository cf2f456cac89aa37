"""A real image of a few hundred kilobytes: this host's static busybox, as an archive in each form."""

from __future__ import annotations

import io
import shutil
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.conftest import needs
from tests.work.archives import Sample, new_docker, oci, old_docker, tar

APPLETS = "sh cat echo printf env id ls sleep dd od tail touch mkdir test true false wc ps pwd sha256sum head grep"


@cache
def busybox_layer() -> bytes:
    """One layer: /bin/busybox, links for the applets, a world-writable /tmp."""
    needs("busybox")
    program = Path(str(shutil.which("busybox"))).read_bytes()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, mode in (("bin", 0o755), ("tmp", 0o1777)):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, mode
            archive.addfile(directory)
        binary = tarfile.TarInfo("bin/busybox")
        binary.mode, binary.size = 0o755, len(program)
        archive.addfile(binary, io.BytesIO(program))
        for applet in APPLETS.split():
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "/bin/busybox"
            archive.addfile(link)
    return out.getvalue()


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
