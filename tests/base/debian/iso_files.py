"""Files out of an ISO."""

from __future__ import annotations

from pathlib import Path

import pycdlib


def extract(iso: Path, name: str, target: Path) -> None:
    """Copies the file with this Rock Ridge path to ``target``."""
    image = pycdlib.PyCdlib()
    image.open(str(iso))
    try:
        with target.open("wb") as stream:
            image.get_file_from_iso_fp(stream, rr_path=name)
    finally:
        image.close()


def read(iso: Path, name: str, work: Path) -> bytes:
    target = work / "extracted"
    extract(iso, name, target)
    return target.read_bytes()
