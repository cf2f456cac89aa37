"""Archives and apps for these tests, made by hand as the agent and BOINC make them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

JOB = {
    "format": 1,
    "exit_code": 0,
    "image": "python:3-slim",
    "image_id": "sha256:" + "a" * 64,
    "message": "",
    "marks": {"init": 3.0, "run": 52.0, "results": 60.5, "report": 61.0},
    "downloaded_bytes": 5,
    "reused_bytes": 7,
    "memory_peak_mb": 120,
}


def file(name: str, data: bytes = b"") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info, data


def special(name: str, kind: bytes, target: str = "", size: int = 0) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info, b""


def plain_tar(members: Iterable[tuple[tarfile.TarInfo, bytes]], *, format: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return out.getvalue()


def tgz(files: Mapping[str, bytes], *, level: int = 6) -> bytes:
    """An archive of plain files, as the agent packs them."""
    return gzip.compress(plain_tar(file(name, data) for name, data in files.items()), level, mtime=0)


def log_tgz(**changes: object) -> bytes:
    return tgz({"stdout.txt": b"", "job.json": json.dumps({**JOB, **changes}).encode()})


def write_app(directory: Path, text: str = "", *, validator: str = "", rules: str = "") -> Path:
    """An app.toml named demo, with its results beside it."""
    directory.mkdir(parents=True, exist_ok=True)
    lines = ['name = "demo"', "[results]", 'directory = "results"', text]
    if rules:
        (directory / "rules.py").write_text(rules)
        lines.append('rules = "rules.py"')
    path = directory / "app.toml"
    path.write_text("\n".join([*lines, validator]) + "\n")
    return path


def upload(directory: Path, workunit: str, results: bytes, log: bytes | None = None, *, replica: int = 0) -> list[Path]:
    """Output files as the upload handler leaves them: upload/<hash>/<result name>_r<random>_<n>."""
    home = directory / "upload" / "3f"
    home.mkdir(parents=True, exist_ok=True)
    paths = [home / f"{workunit}_{replica}_r12345_{number}" for number in range(2)]
    paths[0].write_bytes(results)
    if log is not None:
        paths[1].write_bytes(log)
    return paths


def tree(directory: Path) -> dict[str, bytes]:
    """Every file below ``directory`` by relative name."""
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()
    }
