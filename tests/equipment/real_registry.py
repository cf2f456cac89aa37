"""Debian's docker-registry on loopback, and images pushed into it by its HTTP API from blobs made by hand."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from boinc2docker.errors import HostError

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
_ANSWER = re.compile(r'"(GET|HEAD) (/v2/\S+) HTTP/[\d.]+" (\d+) (\d+)')


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Answered:
    """A line of the registry's access log: what was asked for, and how many bytes of a body went out."""

    method: str
    path: str
    status: int
    sent: int


@dataclass
class RealRegistry:
    """A running registry. ``host`` is ``127.0.0.1:<port>``; ``login`` is (name, password) if it wants one."""

    host: str
    log: Path
    login: tuple[str, str] | None = None
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.trust_env = False
        self.session.auth = self.login

    @property
    def root(self) -> str:
        return f"http://{self.host}"

    def push_blob(self, repository: str, data: bytes) -> str:
        name = digest(data)
        begun = self.session.post(f"{self.root}/v2/{repository}/blobs/uploads/", timeout=30)
        begun.raise_for_status()
        place = begun.headers["Location"]
        separator = "&" if "?" in place else "?"
        self.session.put(f"{place}{separator}digest={name}", data=data, timeout=60).raise_for_status()
        return name

    def push_manifest(self, repository: str, tag: str, document: dict[str, Any], media_type: str) -> str:
        data = json.dumps(document).encode()
        answer = self.session.put(
            f"{self.root}/v2/{repository}/manifests/{tag}",
            data=data,
            headers={"Content-Type": media_type},
            timeout=30,
        )
        if not answer.ok:
            raise HostError("registry", f"the registry does not take a manifest: {answer.text}")
        return digest(data)

    def push_image(
        self,
        repository: str,
        tag: str,
        config: bytes,
        layers: Sequence[tuple[bytes, str]],
        *,
        oci: bool = False,
        media_type: bool = True,
    ) -> dict[str, Any]:
        """Pushes config and layers (bytes and media type); the descriptor of the manifest."""
        kind = OCI_MANIFEST if oci else DOCKER_MANIFEST
        config_kind = OCI_CONFIG if oci else DOCKER_CONFIG

        def described(data: bytes, media: str) -> dict[str, Any]:
            return {"mediaType": media, "digest": self.push_blob(repository, data), "size": len(data)}

        document: dict[str, Any] = {"schemaVersion": 2, "config": described(config, config_kind)}
        document["layers"] = [described(data, media) for data, media in layers]
        if media_type:
            document["mediaType"] = kind
        name = self.push_manifest(repository, tag, document, kind)
        return {"mediaType": kind, "digest": name, "size": len(json.dumps(document).encode())}

    def answers(self) -> list[Answered]:
        """Everything the registry has answered so far, by its own account."""
        found = _ANSWER.findall(self.log.read_text(errors="replace"))
        return [Answered(method, path, int(status), int(sent)) for method, path, status, sent in found]

    def blob_bytes(self) -> int:
        """Bytes of blobs that were sent to anybody."""
        return sum(one.sent for one in self.answers() if one.method == "GET" and "/blobs/" in one.path)


@contextmanager
def running_registry(
    directory: Path, *, extra: str = "", login: tuple[str, str] | None = None
) -> Iterator[RealRegistry]:
    """A registry with its storage and log in ``directory``; ``extra`` are more lines of its configuration.

    Raises HostError where there is none.
    """
    program = shutil.which("docker-registry")
    if program is None:
        raise HostError(
            "program-missing", "docker-registry is not on this machine", hint="apt-get install docker-registry"
        )
    directory.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = directory / "config.yml"
    config.write_text(
        "version: 0.1\n"
        f"storage:\n  filesystem:\n    rootdirectory: {directory}/data\n"
        f"http:\n  addr: 127.0.0.1:{port}\n" + extra
    )
    log = directory / "log"
    with log.open("wb") as output:
        server = subprocess.Popen([program, "serve", config], stdout=output, stderr=output)
    try:
        _until_it_answers(server, port, log)
        yield RealRegistry(f"127.0.0.1:{port}", log, login)
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _until_it_answers(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(300):
        if server.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise HostError("registry", "docker-registry does not answer: " + log.read_text()[-500:])
