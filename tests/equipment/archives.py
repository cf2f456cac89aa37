"""Image archives made by hand, in every form the tools write, for the tests of their reader.

Written with the standard library only: nothing of the code under test helps to make its input.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Files = dict[str, bytes | tuple[str, str]]
"""Archive content: bytes, or ("symlink" | "hardlink", target)."""


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tar(files: Mapping[str, bytes | tuple[str, str]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.type = tarfile.SYMTYPE if content[0] == "symlink" else tarfile.LNKTYPE
                info.linkname = content[1]
                archive.addfile(info)
    return out.getvalue()


LAYERS = (tar({"etc/first": b"first" * 999}), tar({"etc/second": b"second" * 999}), tar({}))


@dataclass(frozen=True)
class Sample:
    """An image to be put into an archive."""

    layers: tuple[bytes, ...] = LAYERS
    architecture: str | None = "amd64"
    os: str | None = "linux"
    config: Mapping[str, Any] = field(default_factory=lambda: {"Entrypoint": None, "Cmd": ["/bin/first"]})
    name: str = "example/sample:1"

    @property
    def diff_ids(self) -> list[str]:
        return ["sha256:" + sha(layer) for layer in self.layers]

    @property
    def config_bytes(self) -> bytes:
        platform = {"architecture": self.architecture, "os": self.os}
        document = {key: value for key, value in platform.items() if value is not None}
        rootfs = {"type": "layers", "diff_ids": self.diff_ids}
        return json.dumps({**document, "config": dict(self.config), "rootfs": rootfs}).encode()


def old_docker(sample: Sample) -> Files:
    """``docker save`` before 25: a directory a layer, equal layers as links to the first."""
    config = sample.config_bytes
    files: Files = {}
    paths: list[str] = []
    first: dict[bytes, str] = {}
    for number, layer in enumerate(sample.layers):
        folder = sha(b"%d" % number)
        files[f"{folder}/VERSION"] = b"1.0"
        files[f"{folder}/layer.tar"] = ("symlink", f"../{first[layer]}/layer.tar") if layer in first else layer
        first.setdefault(layer, folder)
        paths.append(f"{folder}/layer.tar")
    files[f"{sha(config)}.json"] = config
    entry = {"Config": f"{sha(config)}.json", "RepoTags": [sample.name], "Layers": paths}
    files["manifest.json"] = json.dumps([entry]).encode()
    return files


def blobs(sample: Sample, pack: Any = None) -> tuple[Files, dict[str, Any]]:
    """The blobs of an image and the descriptor of its manifest."""
    files: Files = {}

    def put(data: bytes, media: str) -> dict[str, Any]:
        files[f"blobs/sha256/{sha(data)}"] = data
        return {"mediaType": media, "digest": "sha256:" + sha(data), "size": len(data)}

    packed = [put(pack(layer) if pack else layer, "application/vnd.oci.image.layer.v1.tar") for layer in sample.layers]
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(sample.config_bytes, "application/vnd.oci.image.config.v1+json"),
        "layers": packed,
    }
    return files, put(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")


def oci(*samples: Sample, pack: Any = None, nested: bool = False) -> Files:
    """An OCI archive; ``nested`` puts all images below one more index, as for several platforms of one name."""
    files: Files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
    entries = []
    for sample in samples:
        own, descriptor = blobs(sample, pack)
        files |= own
        platform = {"os": sample.os, "architecture": sample.architecture}
        names = {} if nested else {"annotations": {"io.containerd.image.name": f"docker.io/{sample.name}"}}
        entries.append({**descriptor, "platform": platform, **names})
    index: dict[str, Any] = {"schemaVersion": 2, "manifests": entries}
    if nested:
        data = json.dumps(index).encode()
        files[f"blobs/sha256/{sha(data)}"] = data
        media = "application/vnd.oci.image.index.v1+json"
        top = {"mediaType": media, "digest": "sha256:" + sha(data), "size": len(data)}
        name = {"org.opencontainers.image.ref.name": samples[0].name}
        index = {"schemaVersion": 2, "manifests": [{**top, "annotations": name}]}
    files["index.json"] = json.dumps(index).encode()
    return files


def new_docker(*samples: Sample, pack: Any = None) -> Files:
    """``docker save`` since 25: an OCI layout and a ``manifest.json`` with the same blobs."""
    files = oci(*samples, pack=pack)
    entries = []
    for sample in samples:
        layers = [pack(layer) if pack else layer for layer in sample.layers]
        paths = [f"blobs/sha256/{sha(layer)}" for layer in layers]
        config = f"blobs/sha256/{sha(sample.config_bytes)}"
        entries.append({"Config": config, "RepoTags": [sample.name], "Layers": paths})
    files["manifest.json"] = json.dumps(entries).encode()
    return files


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


ARM = replace(Sample(), architecture="arm64")
OTHER = Sample(layers=LAYERS[:1], name="example/other:2")
