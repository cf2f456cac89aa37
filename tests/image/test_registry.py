"""Images out of a real registry: every kind of manifest and layer, by tag and by digest, mirrors, passwords."""

from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from boinc2docker.errors import BuilderError, InputError, NetworkError
from boinc2docker.formats.compression import zstd
from boinc2docker.image.delivery import Delivery, Via, obtain
from boinc2docker.image.image import Image
from boinc2docker.image.image_name import parse_name
from boinc2docker.image.reference import parse as parse_reference
from boinc2docker.image.registry import Access, Registry
from boinc2docker.job.job import Job
from boinc2docker.job.job_directory import prepare
from tests.equipment import real_registry as kinds
from tests.equipment.archives import LAYERS, Sample, gzipped, sha
from tests.equipment.real_registry import RealRegistry
from tests.equipment.services import running_registry

GZIPPED = [(gzipped(layer), kinds.DOCKER_LAYER) for layer in LAYERS]
OCI_GZIPPED = [(gzipped(layer), kinds.OCI_LAYER + "+gzip") for layer in LAYERS]
SAMPLE = Sample()
ARM = Sample(architecture="arm64", layers=LAYERS[:1])


def resolve(registry: RealRegistry, name: str, access: Access) -> Image:
    return Registry(parse_name(f"{registry.host}/{name}"), access).resolve()


def refused(registry: RealRegistry, name: str, access: Access, code: str, kind: type[BuilderError] = InputError) -> str:
    with pytest.raises(kind) as caught:
        resolve(registry, name, access)
    assert caught.value.code == code
    assert caught.value.message.startswith(f"image {registry.host}/{name.partition('@')[0]}")
    assert "\n" not in caught.value.message
    return caught.value.message


def push_index(registry: RealRegistry, repository: str, tag: str, entries: list[dict[str, Any]], media: str) -> str:
    document = {"schemaVersion": 2, "mediaType": media, "manifests": entries}
    return registry.push_manifest(repository, tag, document, media)


def platform(descriptor: dict[str, Any], os_name: str, architecture: str, variant: str = "") -> dict[str, Any]:
    found = {"os": os_name, "architecture": architecture} | ({"variant": variant} if variant else {})
    return {**descriptor, "platform": found}


def plain_docker(registry: RealRegistry) -> str:
    registry.push_image("kinds/docker", "1", SAMPLE.config_bytes, GZIPPED)
    return "kinds/docker:1"


def plain_oci(registry: RealRegistry) -> str:
    registry.push_image("kinds/oci", "1", SAMPLE.config_bytes, OCI_GZIPPED, oci=True)
    return "kinds/oci:1"


def oci_without_media_type(registry: RealRegistry) -> str:
    registry.push_image("kinds/bare", "1", SAMPLE.config_bytes, OCI_GZIPPED, oci=True, media_type=False)
    return "kinds/bare:1"


def docker_list(registry: RealRegistry) -> str:
    arm = registry.push_image("kinds/list", "arm", ARM.config_bytes, GZIPPED[:1])
    here = registry.push_image("kinds/list", "amd", SAMPLE.config_bytes, GZIPPED)
    entries = [platform(arm, "linux", "arm64", "v8"), platform(here, "linux", "amd64")]
    push_index(registry, "kinds/list", "1", entries, kinds.DOCKER_LIST)
    return "kinds/list:1"


def nested_indexes(registry: RealRegistry) -> str:
    """An index of an index, with an attestation, a variant that is not for everybody, and entries without platform."""
    name = "kinds/nested"
    arm = registry.push_image(name, "arm", ARM.config_bytes, OCI_GZIPPED[:1], oci=True)
    v3 = registry.push_image(name, "v3", replace(SAMPLE, layers=LAYERS[:1]).config_bytes, OCI_GZIPPED[:1], oci=True)
    here = registry.push_image(name, "amd", SAMPLE.config_bytes, OCI_GZIPPED, oci=True)
    witness = platform(arm, "unknown", "unknown")
    entries = [witness, platform(arm, "linux", "arm64"), platform(v3, "linux", "amd64", "v3")]
    entries.append(platform(here, "linux", "amd64"))
    inner = push_index(registry, name, "inner", entries, kinds.OCI_INDEX)
    size = len(json.dumps({"schemaVersion": 2, "mediaType": kinds.OCI_INDEX, "manifests": entries}).encode())
    outer = [{"mediaType": kinds.OCI_INDEX, "digest": inner, "size": size}]
    push_index(registry, name, "1", outer, kinds.OCI_INDEX)
    return f"{name}:1"


ALL_KINDS = [plain_docker, plain_oci, oci_without_media_type, docker_list, nested_indexes]


@pytest.mark.parametrize("push", ALL_KINDS)
def test_every_kind_is_resolved_and_staged(
    push: Callable[[RealRegistry], str], registry: RealRegistry, access: Access, tmp_path: Path
) -> None:
    name = push(registry)
    source = parse_reference(f"{registry.host}/{name}")
    image = obtain(source, tmp_path / "image", Delivery(via=Via.BOINC, access=access))
    assert image.config == SAMPLE.config_bytes
    assert image.command == ("/bin/first",)
    assert [str(layer.diff_id) for layer in image.layers] == SAMPLE.diff_ids
    assert image.sources == ()
    for layer, plain in zip(image.layers, LAYERS, strict=True):
        # The very bytes that were pushed: nothing is compressed again.
        assert (tmp_path / "image" / layer.digest.hex).read_bytes() == gzipped(plain)
        assert (layer.size, layer.compression) == (len(gzipped(plain)), "gzip")
    names = {layer.digest.hex for layer in image.layers} | {sha(SAMPLE.config_bytes)}
    assert {path.name for path in (tmp_path / "image").iterdir()} == names
    # The pinned name means the same bits, also when the tag has moved on.
    registry.push_image(name.partition(":")[0], "1", ARM.config_bytes, GZIPPED[:1])
    again = Registry(parse_name(image.pinned), access).resolve()
    assert (again.config, again.layers, again.pinned) == (image.config, image.layers, image.pinned)


def test_a_second_staging_asks_for_the_tag_only(registry: RealRegistry, access: Access, tmp_path: Path) -> None:
    registry.push_image("again/image", "1", SAMPLE.config_bytes, GZIPPED)
    source = parse_reference(f"{registry.host}/again/image:1")
    delivery = Delivery(via=Via.BOINC, access=access)
    first = obtain(source, tmp_path / "1", delivery)
    before = len(registry.answers())
    assert obtain(source, tmp_path / "2", delivery) == first
    assert [(one.method, one.path) for one in registry.answers()[before:]] == [("HEAD", "/v2/again/image/manifests/1")]
    before = len(registry.answers())
    obtain(parse_reference(first.pinned), tmp_path / "3", delivery)
    assert registry.answers()[before:] == []


@pytest.mark.parametrize("form", ["zstd", "none"])
def test_layers_that_are_not_gzip(form: str, registry: RealRegistry, access: Access, tmp_path: Path) -> None:
    """zstd becomes gzip on its way through BOINC; plain tars and whatever hosts fetch themselves stay as they are."""
    pack = zstd.compress if form == "zstd" else bytes
    media = kinds.OCI_LAYER + ("+zstd" if form == "zstd" else "")
    layers = [(pack(layer), media) for layer in LAYERS]
    registry.push_image(f"packed/{form}", "1", SAMPLE.config_bytes, layers, oci=True)
    source = parse_reference(f"{registry.host}/packed/{form}:1")
    staged = obtain(source, tmp_path / "boinc", Delivery(via=Via.BOINC, access=access))
    for layer, (data, _), plain in zip(staged.layers, layers, LAYERS, strict=True):
        kept = (tmp_path / "boinc" / layer.digest.hex).read_bytes()
        assert layer.compression == ("gzip" if form == "zstd" else "none")
        assert sha(kept) == layer.digest.hex
        assert len(kept) == layer.size
        if form == "zstd":
            unpacked = subprocess.run(["gzip", "-dc"], input=kept, capture_output=True, check=True).stdout
            assert unpacked == plain
        else:
            assert kept == data
    fetched = obtain(source, tmp_path / "registry", Delivery(access=access, reads_zstd=True))
    assert [layer.digest.hex for layer in fetched.layers] == [sha(data) for data, _ in layers]
    assert {layer.compression for layer in fetched.layers} == {form}


def test_hosts_that_cannot_read_zstd_get_gzip(registry: RealRegistry, access: Access, tmp_path: Path) -> None:
    """Only those layers travel with the job; the others are fetched by the hosts all the same."""
    first, second, third = LAYERS
    layers = [(zstd.compress(first), kinds.OCI_LAYER + "+zstd"), (gzipped(second), kinds.OCI_LAYER + "+gzip")]
    layers.append((third, kinds.OCI_LAYER))
    registry.push_image("packed/mixed", "1", SAMPLE.config_bytes, layers, oci=True)
    source = parse_reference(f"{registry.host}/packed/mixed:1")
    image = obtain(source, tmp_path / "old", Delivery(access=access, reads_zstd=False))
    assert [layer.compression for layer in image.layers] == ["gzip", "gzip", "none"]
    assert [layer.digest.hex for layer in image.layers[1:]] == [sha(data) for data, _ in layers[1:]]
    assert image.sources
    sent = {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()}
    assert set(sent) == {image.config_digest.hex, image.layers[0].digest.hex}
    assert gzip.decompress(sent[image.layers[0].digest.hex]) == first
    new = obtain(source, tmp_path / "new", Delivery(access=access, reads_zstd=True))
    assert [layer.digest.hex for layer in new.layers] == [sha(data) for data, _ in layers]
    assert [path.name for path in (tmp_path / "new").iterdir()] == [new.config_digest.hex]


def test_a_job_for_the_registry_carries_no_layers(registry: RealRegistry, access: Access, tmp_path: Path) -> None:
    registry.push_image("job/image", "1", SAMPLE.config_bytes, GZIPPED)
    source = parse_reference(f"{registry.host}/job/image:1")
    before = registry.blob_bytes()
    delivery = Delivery(access=access, seen_by_hosts=lambda url: url.replace("127.0.0.1", "10.0.2.2"))
    prepared = prepare(Job(), source, tmp_path / "job", delivery=delivery)
    assert registry.blob_bytes() - before == len(SAMPLE.config_bytes)
    assert [path.name for path in (tmp_path / "job" / "image").iterdir()] == [sha(SAMPLE.config_bytes)]
    lines = (tmp_path / "job" / "boinc_app").read_text().splitlines()
    port = registry.host.partition(":")[2]
    first = prepared.image.layers[0]
    assert lines[3:6] == [
        f"job_image '{registry.host}/job/image:1' 'sha256:{sha(SAMPLE.config_bytes)}' {len(SAMPLE.config_bytes)}",
        f"job_registry 'http://10.0.2.2:{port}/v2/job/image/blobs' ''",
        f"job_layer '{first.digest}' {first.size} '{first.diff_id}' gzip",
    ]
    assert lines[8:] == ["job_run '--'"]


def test_what_is_not_there(registry: RealRegistry, access: Access) -> None:
    plain_docker(registry)
    for name in ("kinds/docker:absent", "absent/image:1", f"kinds/docker@sha256:{'0' * 64}"):
        assert "404" in refused(registry, name, access, "no-such-image")


def test_images_that_cannot_run_here(registry: RealRegistry, access: Access) -> None:
    arm = registry.push_image("other/arm", "1", ARM.config_bytes, GZIPPED[:1])
    assert "linux/arm64" in refused(registry, "other/arm:1", access, "wrong-architecture")
    entries = [platform(arm, "linux", "arm64", "v8"), platform(arm, "windows", "amd64")]
    push_index(registry, "other/arm", "list", entries, kinds.DOCKER_LIST)
    assert "linux/arm64/v8, windows/amd64" in refused(registry, "other/arm:list", access, "wrong-architecture")
    push_index(registry, "other/arm", "empty", [], kinds.OCI_INDEX)
    assert "nothing" in refused(registry, "other/arm:empty", access, "wrong-architecture")


@pytest.mark.parametrize(
    ("media", "words"),
    [
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "foreign"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "foreign"),
        ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "encrypted"),
        ("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "Docker does not read"),
    ],
)
def test_layers_nobody_can_fetch_or_read(media: str, words: str, registry: RealRegistry, access: Access) -> None:
    layers = [*OCI_GZIPPED[:2], (OCI_GZIPPED[2][0], media)]
    registry.push_image("odd/layer", "1", SAMPLE.config_bytes, layers, oci=True)
    message = refused(registry, "odd/layer:1", access, "unsupported-image")
    assert "layer 3" in message
    assert words in message


def test_things_that_are_no_images(registry: RealRegistry, access: Access) -> None:
    def push(document: dict[str, Any]) -> None:
        registry.push_manifest("odd/thing", "1", document, kinds.OCI_MANIFEST)

    data = b"{}"
    registry.push_blob("odd/thing", data)
    blob = {"digest": kinds.digest(data), "size": 2, "mediaType": "application/vnd.cncf.helm.config.v1+json"}
    push({"schemaVersion": 2, "mediaType": kinds.OCI_MANIFEST, "config": blob, "layers": []})
    assert "helm" in refused(registry, "odd/thing:1", access, "not-an-image")
    registry.push_image("odd/thing", "2", SAMPLE.config_bytes, GZIPPED[:2])
    assert "3 layers, the manifest 2" in refused(registry, "odd/thing:2", access, "bad-manifest")
    registry.push_image("odd/thing", "3", b"not json", GZIPPED)
    refused(registry, "odd/thing:3", access, "bad-manifest")


def test_mirrors_are_asked_first_and_may_fail(registry: RealRegistry, access: Access, tmp_path: Path) -> None:
    with running_registry(tmp_path / "mirror") as mirror:
        for one in (mirror, registry):
            one.push_image("mirrored/image", "1", SAMPLE.config_bytes, GZIPPED)
        before = len(registry.answers())
        mirrored = replace(access, mirrors=("127.0.0.1:1", f"{mirror.root}/"))
        source = parse_reference(f"{registry.host}/mirrored/image:1")
        image = obtain(source, tmp_path / "boinc", Delivery(via=Via.BOINC, access=mirrored))
        assert registry.answers()[before:] == []
        public = obtain(source, tmp_path / "registry", Delivery(access=mirrored)).sources
        assert [one.blobs_url for one in public] == [
            f"{root}/v2/mirrored/image/blobs" for root in (mirror.root, registry.root)
        ]
    fresh = replace(mirrored, cache=type(access.cache)(tmp_path / "other-cache"))
    assert obtain(source, tmp_path / "3", Delivery(via=Via.BOINC, access=fresh)) == image


@pytest.mark.parametrize("mirror", ["ftp://x", "https://", "https://user:pw@x", "https://x?q", "http://x:0", "a b"])
def test_bad_mirrors(mirror: str, access: Access) -> None:
    with pytest.raises(InputError) as caught:
        Registry(parse_name("python"), replace(access, mirrors=(mirror,)))
    assert caught.value.code == "bad-mirror"


def test_plain_http_only_on_request(registry: RealRegistry, access: Access) -> None:
    """A name that is not loopback's leads to the same registry: by TLS, which it does not speak, unless told."""
    plain_docker(registry)
    port = registry.host.partition(":")[2]
    host = f"{os.uname().nodename}:{port}"
    secure = Registry(parse_name(f"{host}/kinds/docker:1"), access)
    assert [one.root for one in secure._endpoints] == [f"https://{host}"]
    plain = Registry(parse_name(f"{host}/kinds/docker:1"), replace(access, plain_http=True))
    assert [one.root for one in plain._endpoints] == [f"http://{host}"]


def test_the_loopback_is_not_asked_through_a_proxy(
    registry: RealRegistry, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = plain_docker(registry)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert resolve(registry, name, access).config == SAMPLE.config_bytes


LOVELACE = "$2b$05$XEEPw7SDDrZj23LM5CtXS.2XcAcjVS7fPAo4jfPgltwuAyALEBpWe"
"""The password of ada, as the registry keeps it (bcrypt)."""


@pytest.fixture(scope="module")
def closed_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """A real registry that wants a name and a password."""
    directory = tmp_path_factory.mktemp("closed")
    (directory / "users").write_text(f"ada:{LOVELACE}\n")
    extra = f"auth:\n  htpasswd:\n    realm: closed\n    path: {directory}/users\n"
    with running_registry(directory, extra=extra, login=("ada", "lovelace")) as made:
        made.push_image("closed/image", "1", SAMPLE.config_bytes, GZIPPED)
        yield made


def log_in(tmp_path: Path, content: dict[str, Any]) -> None:
    """What `docker login` leaves."""
    (tmp_path / "docker-config").mkdir(exist_ok=True)
    (tmp_path / "docker-config" / "config.json").write_text(json.dumps(content))


def auths(host: str, password: str) -> dict[str, Any]:
    return {"auths": {host: {"auth": base64.b64encode(f"ada:{password}".encode()).decode()}}}


def test_basic_authentication_with_dockers_own_config(
    closed_registry: RealRegistry, access: Access, tmp_path: Path
) -> None:
    log_in(tmp_path, auths(closed_registry.host, "lovelace"))
    source = parse_reference(f"{closed_registry.host}/closed/image:1")
    image = obtain(source, tmp_path / "image", Delivery(via=Via.BOINC, access=access))
    assert image.config == SAMPLE.config_bytes
    # Hosts have no password: what would send them there is refused before anything is submitted.
    with pytest.raises(InputError) as caught:
        obtain(source, tmp_path / "other", Delivery(access=access))
    assert caught.value.code == "private-image"
    assert "--via boinc" in str(caught.value.hint)
    assert not list((tmp_path / "other").iterdir())


@pytest.mark.parametrize("password", [None, "wrong"])
def test_without_the_right_password(
    password: str | None, closed_registry: RealRegistry, access: Access, tmp_path: Path
) -> None:
    if password:
        log_in(tmp_path, auths(closed_registry.host, password))
    message = refused(closed_registry, "closed/image:1", access, "registry-denied", NetworkError)
    assert "401" in message
    assert "wrong" not in message


HELPER = """#!/bin/sh
read -r host
[ "$1" = get ] && [ "$host" = %s ] || { echo "credentials not found in native keychain"; exit 1; }
printf '{"ServerURL": "x", "Username": "ada", "Secret": "lovelace"}'
"""


@pytest.mark.parametrize("key", ["credsStore", "credHelpers"])
def test_credential_helpers(
    key: str, closed_registry: RealRegistry, access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = closed_registry.host
    log_in(tmp_path, {key: "tested" if key == "credsStore" else {host: "tested"}})
    helper = tmp_path / "bin" / "docker-credential-tested"
    helper.parent.mkdir()
    helper.write_text(HELPER % host)
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{helper.parent}:{os.environ['PATH']}")
    assert resolve(closed_registry, "closed/image:1", access).config == SAMPLE.config_bytes


@pytest.mark.parametrize(
    "config", [{"credsStore": "absent-helper"}, {"auths": {"x": 3}}, {"auths": {"x": {"auth": "?"}}}, []]
)
def test_a_broken_docker_config_does_not_stop_what_is_public(
    config: Any, registry: RealRegistry, access: Access, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_in(tmp_path, config)
    assert resolve(registry, plain_docker(registry), access).config == SAMPLE.config_bytes
    assert "Traceback" not in capsys.readouterr().err
