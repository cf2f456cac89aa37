"""Merged layers: applying one is the same as applying what it was made of, by an engine written for this test."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boinc2docker.digest import Digest
from boinc2docker.errors import VerificationError
from boinc2docker.image.image import Image, Layer
from boinc2docker.image.layer_merge import group, merge_layers

# A member: path, kind (or whiteout), and content or link target.
NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
MEMBERS = st.lists(st.tuples(PATHS, st.sampled_from(["file", "dir", "gone", "opaque", "link"]), NAMES), max_size=6)
Tree = dict[str, tuple[str, bytes]]


class Written:
    """A layer as tools write them: parents are listed, a path is listed once, links have their target before them."""

    def __init__(self, number: int) -> None:
        self.number, self.out = number, io.BytesIO()
        self.seen: dict[str, str] = {}
        self.files: list[str] = []
        self.tar = tarfile.TarFile(fileobj=self.out, mode="w")

    def put(self, name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", target: str = "") -> None:
        info = tarfile.TarInfo(name)
        info.type, info.size, info.linkname = kind, len(data), target
        self.tar.addfile(info, io.BytesIO(data))

    def fits(self, path: str) -> bool:
        parents = [path[:at] for at, letter in enumerate(path) if letter == "/"]
        if path in self.seen or any(self.seen.get(one, "dir") != "dir" for one in parents):
            return False
        if any(other.startswith(f"{path}/") for other in self.seen):
            return False
        for one in parents:
            if one not in self.seen:
                self.seen[one] = "dir"
                self.put(one, tarfile.DIRTYPE)
        return True

    def add(self, path: str, kind: str, word: str) -> None:
        above, _, name = path.rpartition("/")
        self.seen[path] = "dir" if kind in ("dir", "opaque") else "file"
        if kind == "gone":
            self.put(f"{above}/.wh.{name}".lstrip("/"))
        elif kind in ("dir", "opaque"):
            self.put(path, tarfile.DIRTYPE)
            if kind == "opaque":
                self.put(f"{path}/.wh..wh..opq")
        elif kind == "link" and self.files:
            self.put(path, tarfile.LNKTYPE, target=self.files[-1])
        else:
            self.files.append(path)
            self.put(path, data=f"{self.number}{word}{path}".encode())


def layer_of(members: list[tuple[str, str, str]], number: int) -> bytes:
    layer = Written(number)
    for path, kind, word in members:
        if layer.fits(path):
            layer.add(path, kind, word)
    layer.tar.close()
    return layer.out.getvalue()


def drop(tree: Tree, path: str, *, itself: bool) -> None:
    for one in [one for one in tree if one.startswith(f"{path}/") or (itself and one == path)]:
        del tree[one]


def take_away(tree: Tree, names: list[str]) -> None:
    for whole_name in names:
        above, _, name = whole_name.rpartition("/")
        if name == ".wh..wh..opq":
            drop(tree, above, itself=False)
        elif name.startswith(".wh."):
            drop(tree, f"{above}/{name[4:]}".lstrip("/"), itself=True)


def apply(tree: Tree, layer: bytes) -> Tree:
    """OCI image-spec, layer.md: whiteouts hide what is below this layer, wherever in it they stand."""
    found, here = dict(tree), dict[str, bytes]()
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        members = tar.getmembers()
        take_away(found, [member.name for member in members])
        for member in members:
            if member.name.rpartition("/")[2].startswith(".wh."):
                continue
            if not member.isdir() or found.get(member.name, ("dir", b""))[0] != "dir":
                drop(found, member.name, itself=True)
            if member.isdir():
                found[member.name] = ("dir", b"")
                continue
            stream = None if member.islnk() else tar.extractfile(member)
            here[member.name] = stream.read() if stream else here[member.linkname]
            found[member.name] = ("file", here[member.name])
    return found


def image_of(layers: list[bytes], where: Path) -> Image:
    made = []
    for data in layers:
        packed = gzip.compress(data, mtime=0)
        digest = hashlib.sha256(packed).hexdigest()
        (where / digest).write_bytes(packed)
        made.append(Layer(Digest(digest), len(packed), Digest.of(data), "gzip"))
    history = [{"created_by": "first", "empty_layer": True}, *({"created_by": "x"} for _ in layers)]
    config = {"rootfs": {"type": "layers", "diff_ids": [str(one.diff_id) for one in made]}, "history": history}
    return Image("x", json.dumps(config).encode(), tuple(made))


def whole(image: Image, where: Path, tree: Tree) -> Tree:
    for layer in image.layers:
        data = (where / layer.digest.hex).read_bytes()
        assert (Digest.of(data), len(data)) == (layer.digest, layer.size)
        plain = gzip.decompress(data)
        assert Digest.of(plain) == layer.diff_id
        tree = apply(tree, plain)
    return tree


@settings(max_examples=150)
@given(st.lists(MEMBERS, min_size=2, max_size=4))
def test_a_merged_image_has_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, described: list[list[tuple[str, str, str]]]
) -> None:
    where = tmp_path_factory.mktemp("layers")
    lower: Tree = dict.fromkeys(("a/b/c", "a/x", "b"), ("file", b"0")) | {"a": ("dir", b""), "a/b": ("dir", b"")}
    layers = [layer_of(one, number) for number, one in enumerate(described)]
    image = image_of(layers, where)
    merged = merge_layers(image, 1, lambda layer: where / layer.digest.hex, where)
    assert len(merged.layers) == 1
    for base in (lower, {}):
        assert whole(merged, where, base) == whole(image, where, base)


def test_the_config_says_the_same_of_fewer_layers(tmp_path: Path) -> None:
    image = image_of([layer_of([(name, "file", "x")], 0) for name in ("a", "b", "c", "d")], tmp_path)
    merged = merge_layers(image, 3, lambda layer: tmp_path / layer.digest.hex, tmp_path)
    config = json.loads(merged.config)
    assert config["rootfs"]["diff_ids"] == [str(layer.diff_id) for layer in merged.layers]
    assert sum(not step.get("empty_layer", False) for step in config["history"]) == 3
    assert len(config["history"]) == 5
    assert sum(layer in image.layers for layer in merged.layers) == 2, "the others keep their bytes"


def test_a_damaged_layer_is_noticed(tmp_path: Path) -> None:
    """The merged one has digests of its own: nobody could notice later."""
    image = image_of([layer_of([(name, "file", "x" * 3000)], 0) for name in ("a", "b")], tmp_path)
    path = tmp_path / image.layers[1].digest.hex
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"x" * 10, b"y" * 10)))
    with pytest.raises(VerificationError, match="uncompressed: expected"):
        merge_layers(image, 1, lambda layer: tmp_path / layer.digest.hex, tmp_path)


@given(st.lists(st.integers(1, 100), min_size=1, max_size=30), st.integers(1, 30))
def test_groups_are_neighbours(sizes: list[int], most: int) -> None:
    groups = group(sizes, most)
    assert [number for one in groups for number in one] == list(range(len(sizes)))
    assert len(groups) == min(most, len(sizes))


def test_small_layers_are_merged_first() -> None:
    assert group([1000, 1, 2, 1000, 3, 4], 4) == [[0], [1, 2], [3], [4, 5]]
