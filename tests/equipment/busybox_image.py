"""The smallest image that runs something: one layer with this host's static busybox. For benchmarks and tests."""

from __future__ import annotations

import io
import shutil
import tarfile
from functools import cache
from pathlib import Path

from boinc2docker.errors import HostError

APPLETS = "sh cat echo printf env id ls sleep dd od tail touch mkdir test true false wc ps pwd sha256sum head grep"


@cache
def busybox_layer() -> bytes:
    """An uncompressed tar: /bin/busybox, links for the applets, a world-writable /tmp. Raises HostError."""
    program = shutil.which("busybox")
    if program is None:
        raise HostError("program-missing", "busybox is not on this machine", hint="apt-get install busybox-static")
    content = Path(program).read_bytes()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, mode in (("bin", 0o755), ("tmp", 0o1777)):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, mode
            archive.addfile(directory)
        binary = tarfile.TarInfo("bin/busybox")
        binary.mode, binary.size = 0o755, len(content)
        archive.addfile(binary, io.BytesIO(content))
        for applet in APPLETS.split():
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "/bin/busybox"
            archive.addfile(link)
    return out.getvalue()
