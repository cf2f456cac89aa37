"""A release as small as one can be: right documents, signed by minisign if wished, and an ISO of a few bytes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from boinc2docker.base.lock import LockedPackage
from boinc2docker.digest import Digest
from boinc2docker.release import contents, provenance
from boinc2docker.release.contents import MEASUREMENTS, NOTES, SUMS, Names
from boinc2docker.release.provenance import Source, Statement
from tests.equipment.checkout import PROJECT_ROOT

NAMES = Names("2.0.0")
PACKAGE = LockedPackage(
    "busybox",
    "1:1.37.0-6",
    "amd64",
    "debian",
    "pool/main/b/busybox.deb",
    7,
    Digest.of(b"b"),
    "busybox",
    "1",
    ("rootfs",),
)


def write(place: Path) -> Path:
    """An unsigned release in ``place``."""
    texts = {name: f"content of {name}\n" for name in NAMES.subjects if name != NOTES} | {NOTES: "# Notes\n"}
    return with_documents(place, texts)


def with_documents(place: Path, texts: Mapping[str, str]) -> Path:
    """A release of these files, and of all that speaks of them: nothing tells that they are not as they were made."""
    place.mkdir(parents=True, exist_ok=True)
    texts = dict(texts)
    digests = {name: Digest.of(text.encode()) for name, text in texts.items()}
    source = Source("a" * 40, "b" * 40, {"guest/debian/packages.lock": Digest.of(b"lock")})
    statement = Statement("2.0.0", 1_700_000_000, source, None, digests)
    texts[NAMES.provenance] = provenance.render(statement, [PACKAGE], Digest.of(b"base"))
    sums = contents.sums_text({name: Digest.of(text.encode()) for name, text in texts.items()})
    texts |= {SUMS: sums, MEASUREMENTS: contents.measurements_text({"phases": {"boot": 12.5}}, sums)}
    for name, text in texts.items():
        (place / name).write_text(text, encoding="utf-8")
    return place


def new_key(directory: Path) -> Path:
    """A secret key without a password."""
    directory.mkdir(exist_ok=True)
    secret = directory / "minisign.key"
    command: list[str | Path] = ["minisign", "-G", "-W", "-f", "-p", directory / "minisign.pub", "-s", secret]
    subprocess.run(command, check=True, capture_output=True)
    return secret


def sign(place: Path, secret: Path) -> Path:
    environment = {**os.environ, "MINISIGN_KEY_FILE": str(secret)}
    subprocess.run([PROJECT_ROOT / "ci" / "sign", place], check=True, capture_output=True, env=environment)
    return place
