"""``docker-daemon:`` against a real Docker engine, and against machines that have none."""

from __future__ import annotations

import gzip
import json
import socket
from pathlib import Path

import docker
import pytest

from boinc2docker.errors import HostError, InputError
from boinc2docker.image.delivery import Delivery, obtain
from boinc2docker.image.image import MOST_LAYERS
from boinc2docker.image.image_archive import read_archive
from boinc2docker.image.local_docker import read_local
from boinc2docker.image.reference import parse as parse_reference
from tests.equipment import real_engine
from tests.equipment.archives import Sample, old_docker, sha, tar

pytestmark = pytest.mark.xdist_group("docker-engine")  # one engine, not one a worker


@pytest.fixture
def engine(docker_engine: str, monkeypatch: pytest.MonkeyPatch) -> docker.DockerClient:
    monkeypatch.setenv("DOCKER_HOST", docker_engine)
    client = docker.DockerClient(base_url=docker_engine)
    client.images.load(tar(old_docker(Sample())))
    return client


def test_reads_an_image_of_the_engine(engine: docker.DockerClient, tmp_path: Path) -> None:
    image = read_local("example/sample:1", tmp_path / "into")
    assert str(image.config_digest) == engine.images.get("example/sample:1").id
    assert image.name == "example/sample:1"
    assert image.command == ("/bin/first",)
    for layer in image.layers:
        assert sha((tmp_path / "into" / layer.digest.hex).read_bytes()) == layer.digest.hex
    assert not list((tmp_path / "into").glob(".*"))


def test_layers_of_the_engine_are_compressed_and_load_again(engine: docker.DockerClient, tmp_path: Path) -> None:
    """The same bytes each time; and the engine takes the gzip members back as the image they were."""
    source = parse_reference("docker-daemon:example/sample:1")
    first, second = (obtain(source, tmp_path / name, Delivery()) for name in ("1", "2"))
    assert first == second
    assert {layer.compression for layer in first.layers} == {"gzip"}
    files: dict[str, bytes] = {"config.json": first.config}
    for number, layer in enumerate(first.layers):
        data = (tmp_path / "1" / layer.digest.hex).read_bytes()
        assert "sha256:" + sha(gzip.decompress(data)) == str(layer.diff_id)
        files[f"{number}.tar.gz"] = data
    entry = {"Config": "config.json", "RepoTags": None, "Layers": [name for name in files if name != "config.json"]}
    files["manifest.json"] = json.dumps([entry]).encode()
    engine.images.remove("example/sample:1", force=True)
    (loaded,) = engine.images.load(tar(files))
    assert loaded.id == str(first.config_digest)


def test_an_image_of_more_layers_than_docker_loads_is_refused(engine: docker.DockerClient, tmp_path: Path) -> None:
    """The limit is the engine's: it loads the largest image that is accepted, and not the smallest that is refused."""

    def archive(layers: int) -> Path:
        sample = Sample(layers=tuple(tar({f"file {number}": b"x"}) for number in range(layers)))
        path = tmp_path / f"{layers}.tar"
        path.write_bytes(tar(old_docker(sample)))
        return path

    engine.api.timeout = 900  # a busy machine takes its time for so many layers
    largest, refused = archive(MOST_LAYERS), archive(MOST_LAYERS + 1)
    (loaded,) = engine.images.load(largest.read_bytes())
    assert len(obtain(parse_reference(str(largest)), tmp_path / "a", Delivery()).layers) == MOST_LAYERS
    engine.images.remove(str(loaded.id), force=True)
    with pytest.raises(docker.errors.ImageLoadError, match="max depth exceeded"):
        engine.images.load(refused.read_bytes())
    with pytest.raises(InputError, match="126 layers; Docker loads at most 125") as error:
        obtain(parse_reference(str(refused)), tmp_path / "b", Delivery())
    assert error.value.code == "too-many-layers"


def test_what_the_engine_saves_is_read(engine: docker.DockerClient, tmp_path: Path) -> None:
    """The engine's own archives, with one image and with two."""
    other = engine.api.import_image_from_data(tar({"x": b"y"}), repository="example/imported", tag="2")
    assert "sha256:" in other
    engine.images.get("example/sample:1").tag("example/alias", "3")
    with (tmp_path / "image.tar").open("wb") as output:
        output.writelines(engine.api.get_image("example/imported:2"))
    image = read_archive(tmp_path / "image.tar", tmp_path / "into")
    assert image.name == "example/imported:2"
    assert str(image.config_digest) == engine.images.get("example/imported:2").id


def test_an_image_the_engine_does_not_have(engine: docker.DockerClient, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_local("example/absent:1", tmp_path)
    assert caught.value.code == "no-such-image"
    assert "docker pull" in str(caught.value.hint)
    with pytest.raises((InputError, HostError)):
        read_local("Not A Name", tmp_path)


def test_an_image_for_another_platform(engine: docker.DockerClient, tmp_path: Path) -> None:
    engine.api.import_image_from_data(tar({"x": b"z"}), repository="example/arm", tag="1")
    engine.images.load(tar(old_docker(Sample(architecture="arm64", name="example/arm:1"))))
    with pytest.raises(InputError, match="expected linux/amd64, found linux/arm64"):
        read_local("example/arm:1", tmp_path)


def test_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/absent")
    with pytest.raises(HostError) as caught:
        read_local("busybox", tmp_path / "into")
    assert caught.value.code == "docker-unreachable"
    assert f"{tmp_path}/absent" in caught.value.message


def test_something_that_is_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        listener.close()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/s")
        with pytest.raises(HostError):
            read_local("busybox", tmp_path / "into")
    for nonsense in ("nonsense", "ftp://x", "tcp://"):
        monkeypatch.setenv("DOCKER_HOST", nonsense)
        with pytest.raises(HostError):
            read_local("busybox", tmp_path / "into")


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("level=info msg=up\npanic: no sysfs\n\ngoroutine 1:\nmain.main()\n\t/x.go:1 +0x1\n", "panic: no sysfs"),
        ("INFO starting\nfailed to start daemon: no cgroup\n", "failed to start daemon: no cgroup"),
        ("INFO starting\nlast\n\n", "last"),
        ("", "it said nothing"),
    ],
)
def test_why_an_engine_ended_is_one_line(log: str, expected: str) -> None:
    assert real_engine.last_word(log) == expected
