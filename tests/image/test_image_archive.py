"""Image archives: every form is read, everything wrong ends in one clear error and leaves no layer behind."""

from __future__ import annotations

import bz2
import json
import lzma
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boinc2docker.errors import BuilderError, InputError, VerificationError
from boinc2docker.formats.compression import zstd
from boinc2docker.image.image_archive import read_archive
from tests.equipment.archives import ARM, LAYERS, OTHER, Files, Sample, gzipped, new_docker, oci, old_docker, sha, tar
from tests.equipment.checkout import PROJECT_ROOT

TWICE = Sample(layers=(LAYERS[0], LAYERS[1], LAYERS[0]))
FORMS: dict[str, Callable[[Sample], Files]] = {
    "old-docker": old_docker,
    "new-docker": new_docker,
    "oci": oci,
    "oci-gzip": lambda sample: oci(sample, pack=gzipped),
    "oci-zstd": lambda sample: oci(sample, pack=zstd.compress),
    "new-docker-gzip": lambda sample: new_docker(sample, pack=gzipped),
    "oci-nested": lambda sample: oci(replace(ARM, layers=()), sample, nested=True),
}


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def refused(data: bytes, work: Path, kind: type[BuilderError] = InputError, name: str | None = None) -> BuilderError:
    """The error for an archive of these bytes; no layer, config or temporary file may be left."""
    into = work / "into"
    with pytest.raises(kind) as caught:
        read_archive(write(work / "image.tar", data), into, name=name)
    assert "\n" not in caught.value.message
    assert not [path for path in into.iterdir() if path.name.startswith(".")]
    return caught.value


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sample", [Sample(), TWICE], ids=["plain", "repeated-layer"])
def test_reads_every_form(form: str, sample: Sample, tmp_path: Path) -> None:
    path = write(tmp_path / "image.tar", tar(FORMS[form](sample)))
    image = read_archive(path, tmp_path / "into")
    assert image.config == sample.config_bytes
    assert image.name == sample.name
    assert image.command == ("/bin/first",)
    assert [str(layer.diff_id) for layer in image.layers] == sample.diff_ids
    for layer in image.layers:
        data = (tmp_path / "into" / layer.digest.hex).read_bytes()
        assert (sha(data), len(data)) == (layer.digest.hex, layer.size)
        assert layer.compression == {"gzip": "gzip", "zstd": "zstd"}.get(form.rpartition("-")[2], "none")
    expected = {layer.digest.hex for layer in image.layers} | {sha(sample.config_bytes)}
    assert {entry.name for entry in (tmp_path / "into").iterdir()} == expected


@pytest.mark.parametrize("pack", [gzipped, zstd.compress, lzma.compress, bz2.compress], ids=["gz", "zst", "xz", "bz2"])
def test_reads_compressed_archives(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = write(tmp_path / "image.bin", pack(tar(old_docker(Sample()))))
    assert read_archive(path, tmp_path / "into").config == Sample().config_bytes
    assert not list((tmp_path / "into").glob(".*"))


def test_reads_a_layout_directory(tmp_path: Path) -> None:
    for name, data in oci(Sample()).items():
        assert isinstance(data, bytes)
        (tmp_path / "layout" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "layout" / name).write_bytes(data)
    assert read_archive(tmp_path / "layout", tmp_path / "into").name == "example/sample:1"


def test_chooses_by_name_and_lists_what_there_is(tmp_path: Path) -> None:
    path = write(tmp_path / "image.tar", tar(new_docker(Sample(), OTHER)))
    assert read_archive(path, tmp_path / "a", name="example/other:2").config == OTHER.config_bytes
    error = refused(tar(new_docker(Sample(), OTHER)), tmp_path)
    assert error.code == "several-images"
    assert "example/sample:1; example/other:2" in error.message
    missing = refused(tar(new_docker(Sample(), OTHER)), tmp_path, name="third")
    assert missing.code == "no-such-image"
    assert "example/other:2" in str(missing.hint)


@pytest.mark.parametrize("form", ["old-docker", "new-docker", "oci"])
def test_names_the_architecture_found(form: str, tmp_path: Path) -> None:
    error = refused(tar(FORMS[form](ARM)), tmp_path)
    assert error.code == "wrong-architecture"
    assert "linux/arm64" in error.message


def test_a_config_without_architecture_is_refused(tmp_path: Path) -> None:
    error = refused(tar(old_docker(replace(Sample(), architecture=None))), tmp_path)
    assert "linux/?" in error.message


def test_a_missing_layer_is_named(tmp_path: Path) -> None:
    files = old_docker(Sample())
    name = next(name for name in files if name.endswith("layer.tar"))
    del files[name]
    error = refused(tar(files), tmp_path)
    assert error.code == "missing-file"
    assert name in error.message


@pytest.mark.parametrize("form", ["old-docker", "new-docker", "oci", "oci-gzip"])
def test_a_layer_with_another_digest_is_refused(form: str, tmp_path: Path) -> None:
    files = FORMS[form](Sample())
    victim = next(name for name, data in files.items() if data in (LAYERS[0], gzipped(LAYERS[0])))
    files[victim] = LAYERS[0].replace(b"first", b"worst")
    error = refused(tar(files), tmp_path, VerificationError)
    assert error.code == "wrong-digest"
    assert "layer 1 of 3" in error.message


@pytest.mark.parametrize("form", ["old-docker", "new-docker", "oci"])
def test_a_config_with_another_digest_is_refused(form: str, tmp_path: Path) -> None:
    files = FORMS[form](Sample())
    victim = next(name for name, data in files.items() if data == Sample().config_bytes)
    files[victim] = Sample().config_bytes + b" "
    assert refused(tar(files), tmp_path, VerificationError).code == "wrong-digest"


def test_another_number_of_layers_is_refused(tmp_path: Path) -> None:
    files = old_docker(Sample())
    manifest = json.loads(bytes(files["manifest.json"]))  # type: ignore[arg-type]
    manifest[0]["Layers"].pop()
    files["manifest.json"] = json.dumps(manifest).encode()
    assert "config lists 3 layers, the archive 2" in refused(tar(files), tmp_path).message


@pytest.mark.parametrize(
    "extra",
    [
        {"../evil": b"x"},
        {"/etc/evil": b"x"},
        {"a/../../evil": b"x"},
        {"a/layer.tar": ("symlink", "../../etc/passwd")},
        {"a/layer.tar": ("symlink", "/etc/passwd")},
        {"a/layer.tar": ("hardlink", "../etc/passwd")},
    ],
    ids=lambda extra: str(next(iter(extra.items()))),
)
def test_paths_that_lead_outside_are_refused(extra: Files, tmp_path: Path) -> None:
    assert refused(tar(old_docker(Sample()) | extra), tmp_path).code == "unsafe-path"


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x"])
def test_a_manifest_that_points_outside_is_refused(path: str, tmp_path: Path) -> None:
    for key, value in (("Config", path), ("Layers", [path] * 3)):
        files = old_docker(Sample())
        manifest = json.loads(bytes(files["manifest.json"]))  # type: ignore[arg-type]
        manifest[0][key] = value
        files["manifest.json"] = json.dumps(manifest).encode()
        assert refused(tar(files), tmp_path).code == "unsafe-path"


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    files = old_docker(Sample())
    name = next(name for name in files if name.endswith("layer.tar"))
    files[name] = ("symlink", "layer.tar")
    assert refused(tar(files), tmp_path).code == "unsafe-path"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "not-an-archive"),
        (b"hello, this is a text file\n" * 100, "not-an-archive"),
        (gzipped(b"hello, this is a text file\n" * 100), "not-an-archive"),
        (tar({"etc/passwd": b"root"}), "not-an-archive"),
        (tar({"repositories": b"{}"}), "not-an-archive"),
        (tar({"manifest.json": b"[]"}), "not-an-archive"),
        (tar({"manifest.json": b"{"}), "bad-archive"),
        (tar({"manifest.json": b"[" * 100_000}), "bad-archive"),
        (tar({"manifest.json": b'[{"Config": 3}]'}), "bad-archive"),
        (tar({"manifest.json": b'[{"Config": "\\ud800", "Layers": []}]'}), "bad-archive"),
        (tar({"manifest.json": b"9" * 5000}), "bad-archive"),
        (tar({"index.json": b'{"manifests": [{"digest": "sha256:xyz"}]}'}), "bad-digest"),
        (tar({"index.json": b'{"manifests": [{"digest": "sha512:aa"}]}'}), "bad-archive"),
        (gzipped(tar(old_docker(Sample())))[:-100], "bad-archive"),
    ],
    ids=[str(number) for number in range(14)],
)
def test_what_is_no_image_archive_is_refused(data: bytes, code: str, tmp_path: Path) -> None:
    assert refused(data, tmp_path).code == code


def test_an_index_that_contains_itself_through_depth_is_refused(tmp_path: Path) -> None:
    files: Files = {}
    inner: dict[str, Any] = {"manifests": []}
    for _ in range(20):
        data = json.dumps(inner).encode()
        files[f"blobs/sha256/{sha(data)}"] = data
        inner = {
            "manifests": [{"digest": "sha256:" + sha(data), "mediaType": "application/vnd.oci.image.index.v1+json"}]
        }
    files["index.json"] = json.dumps(inner).encode()
    assert "nested too deeply" in refused(tar(files), tmp_path).message


@pytest.mark.parametrize("form", ["old-docker", "new-docker-gzip", "oci-zstd"])
def test_every_truncation_that_loses_something_is_noticed(form: str, tmp_path: Path) -> None:
    data = tar(FORMS[form](Sample()))
    end = len(data.rstrip(b"\0"))
    noticed = 0
    for length in range(0, end - 512, 1001):
        try:
            image = read_archive(write(tmp_path / "cut.tar", data[:length]), tmp_path / "into")
        except (InputError, VerificationError):
            noticed += 1
        else:  # what was cut off is the second of two indexes
            assert image.config == Sample().config_bytes
    assert noticed >= end // 1001 - 2


READ = """
import resource, sys
from pathlib import Path
from boinc2docker.image.image_archive import read_archive
read_archive(Path(sys.argv[1]), Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_of_reading(path: Path, into: Path) -> int:
    """Peak memory, in kB, of a process of its own that reads an archive."""
    done = subprocess.run([sys.executable, "-c", READ, path, into], capture_output=True, check=True, cwd=PROJECT_ROOT)
    return int(done.stdout)


def test_memory_does_not_grow_with_the_layers(tmp_path: Path) -> None:
    little = write(tmp_path / "little.tar", tar(oci(Sample(), pack=gzipped)))
    # Once a layer that expands a thousandfold, once one that is large as it is.
    bomb = write(tmp_path / "bomb.tar", tar(oci(Sample(layers=(bytes(200 << 20),)), pack=gzipped)))
    large = write(tmp_path / "large.tar", tar(old_docker(Sample(layers=(random.Random(1).randbytes(100 << 20),)))))
    usual = peak_of_reading(little, tmp_path / "a")
    assert peak_of_reading(bomb, tmp_path / "b") < usual + (20 << 10)
    assert peak_of_reading(large, tmp_path / "c") < usual + (20 << 10)


SEEDS = [tar(make(Sample())) for make in FORMS.values()] + [gzipped(tar(old_docker(Sample())))]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.sampled_from(SEEDS),
    edits=st.lists(
        st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=16), st.booleans()), min_size=1, max_size=6
    ),
    keep=st.floats(0, 1),
)
def test_mutated_archives_never_crash_the_reader(
    seed: bytes, edits: list[tuple[float, bytes, bool]], keep: float
) -> None:
    data = bytearray(seed)
    for place, patch, at_a_header in edits:
        start = int(place * (len(data) - 1))
        start = start - start % 512 + (start % 300 if at_a_header else start % 512)
        data[start : start + len(patch)] = patch
    if keep < 0.2:
        del data[int(len(data) * keep * 5) :]
    with tempfile.TemporaryDirectory() as work:
        try:
            image = read_archive(write(Path(work) / "image.tar", bytes(data)), Path(work) / "into")
        except (InputError, VerificationError):
            return
        assert [str(layer.diff_id) for layer in image.layers] == json.loads(image.config)["rootfs"]["diff_ids"]
