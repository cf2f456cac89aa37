"""A real image with Python, of a few megabytes: this host's interpreter with the modules that a program loads."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
from pathlib import Path

from tests.conftest import needs
from tests.equipment.archives import Sample, old_docker, tar

PYTHON = "/usr/bin/python3"


def python_archive(path: Path, program: Path) -> Path:
    """An image archive in which ``python`` runs ``program`` (which is not in it)."""
    needs("ldd", PYTHON)
    interpreter = Path(PYTHON).resolve()
    files = {interpreter, *_modules(program)}
    native = {one for one in files if one == interpreter or ".so" in one.name}
    libraries = {found for one in native for found in _libraries(one)}
    layer = _layer(sorted({*map(str, files), *libraries}), str(interpreter))
    image = Sample(layers=(layer,), name="tests/python:3", config={"Env": ["PATH=/usr/bin"], "Cmd": ["python"]})
    path.write_bytes(tar(old_docker(image)))
    return path


def _layer(names: list[str], interpreter: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            data = Path(name).read_bytes()
            info = tarfile.TarInfo(name.lstrip("/"))
            info.mode, info.size = 0o755, len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("usr/bin/python")
        link.type, link.linkname = tarfile.SYMTYPE, interpreter
        archive.addfile(link)
    return out.getvalue()


def _modules(program: Path) -> set[Path]:
    """The files of all modules that are loaded once the program's imports are done, and every codec."""
    listing = (
        "import runpy, sys, encodings, os; runpy.run_path(sys.argv[1]); "
        "print(*(m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)), sep='\\n'); "
        "print(*(os.path.join(os.path.dirname(encodings.__file__), n) for n in ('ascii.py', 'latin_1.py')), sep='\\n')"
    )
    argv = [PYTHON, "-E", "-s", "-c", listing, str(program)]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    said = subprocess.run(argv, capture_output=True, text=True, check=True, env=environment).stdout
    return {Path(line) for line in said.splitlines() if line.startswith("/usr/lib/")}


def _libraries(path: Path) -> list[str]:
    """The shared libraries of a program, under the names that it asks for."""
    said = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False).stdout
    return re.findall(r"(?:=> |^\s+)(/\S+) \(0x", said, re.MULTILINE)
