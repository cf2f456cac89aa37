"""A small Debian archive made by the tests: signed with keys of their own, lying in a directory or served."""

from __future__ import annotations

import email.utils
import hashlib
import lzma
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pysequoia import SignatureMode, Tsk, sign

from boinc2docker.digest import Digest


@dataclass
class Deb:
    """A binary package of the archive."""

    name: str
    version: str = "1.0"
    fields: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""

    @property
    def pool(self) -> str:
        return f"pool/main/{self.name[0]}/{self.name}/{self.name}_{self.version}_amd64.deb"

    @property
    def body(self) -> bytes:
        return self.content or f"{self.name} {self.version}".encode()

    def paragraph(self) -> str:
        fields = {
            "Package": self.name,
            "Version": self.version,
            "Architecture": "amd64",
            **self.fields,
            "Filename": self.pool,
            "Size": str(len(self.body)),
            "SHA256": Digest.of(self.body).hex,
        }
        return "".join(f"{key}: {value}\n" for key, value in fields.items())


def key(name: str = "Test Archive <archive@example.org>") -> Tsk:
    return Tsk.generate(name)


def clear_signed(text: str, signer: Tsk) -> bytes:
    return sign(signer.signer(), text.encode(), mode=SignatureMode.CLEAR)


def date(seconds: float) -> str:
    return email.utils.formatdate(seconds).replace("-0000", "UTC")


def release_text(
    files: Mapping[str, bytes], codename: str, *, now: float, days: float | None = 7, by_hash: str = "yes"
) -> str:
    fields = {"Origin": "Test", "Suite": "stable", "Codename": codename, "Date": date(now), "Acquire-By-Hash": by_hash}
    if days is not None:
        fields["Valid-Until"] = date(now + days * 86400)
    sums = "".join(f" {hashlib.sha256(data).hexdigest()} {len(data):>8} {path}\n" for path, data in files.items())
    return "".join(f"{name}: {value}\n" for name, value in fields.items()) + "SHA256:\n" + sums


@dataclass
class Mirror:
    """A mirror's directory."""

    root: Path
    signer: Tsk = field(default_factory=key)

    @property
    def url(self) -> str:
        return self.root.as_uri()

    def publish(
        self,
        suite: str,
        *debs: Deb,
        pool: bool = True,
        now: float | None = None,
        days: float | None = 7,
        by_hash: str = "yes",
    ) -> None:
        """Writes (anew) the index of a suite, and the packages unless ``pool`` is False."""
        plain = "main/binary-amd64/Packages"
        packages = "\n".join(deb.paragraph() for deb in debs).encode()
        packed = lzma.compress(packages)
        files = {plain: packages, plain + ".xz": packed}
        hashed = f"main/binary-amd64/by-hash/SHA256/{Digest.of(packed).hex}"
        text = release_text(files, suite, now=time.time() if now is None else now, days=days, by_hash=by_hash)
        top = f"dists/{suite}"
        self.write(f"{top}/InRelease", clear_signed(text, self.signer))
        self.write(f"{top}/{plain}.xz", packed)
        self.write(f"{top}/{hashed}", packed)
        for deb in debs if pool else ():
            self.write(deb.pool, deb.body)

    def write(self, path: str, data: bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()
