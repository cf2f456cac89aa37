"""`diff` finds what was changed, and only that, at every depth it promises to look at."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from boinc2docker.digest import Digest
from boinc2docker.formats import newc
from boinc2docker.iso import compare, customize, render_difference, squashfs_tree, tree_difference
from boinc2docker.iso.tree_difference import Leaf
from tests.conftest import call, needs
from tests.iso import sample_iso

pytestmark = sample_iso.needs_xorriso


def squashfs(tmp_path: Path, name: str, **files: str) -> bytes:
    needs("mksquashfs", "unsquashfs")
    root = tmp_path / name
    (root / "etc").mkdir(parents=True)
    (root / "link").symlink_to("etc")
    for path, text in files.items():
        (root / "etc" / path).write_text(text)
    image = tmp_path / f"{name}.squashfs"
    subprocess.run(["mksquashfs", root, image, "-quiet", "-no-progress", "-all-root"], check=True, capture_output=True)
    return image.read_bytes()


def test_the_same_bytes_are_said_to_be_the_same(new_base: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(new_base, tmp_path / "copy.iso"))
    found = compare(new_base, copy)
    assert found.same
    assert render_difference(found) == f"the same bytes: {Digest.of_file(new_base)}"


def test_files_and_boot_configuration(new_base: Path, tmp_path: Path) -> None:
    other = sample_iso.NEW_CONFIG.replace("loglevel=3", "loglevel=7").encode()
    sample = sample_iso.new_layout().with_files({"isolinux/isolinux.cfg": other, "added": b"new"})
    found = compare(new_base, sample_iso.build(sample, tmp_path / "other.iso"), deep=False)
    assert "-\tappend loglevel=3" in "\n".join(found.boot)
    assert "+\tappend loglevel=7" in "\n".join(found.boot)
    texts = [str(change) for change in found.files]
    assert any(text.startswith("/added only in the second: -") and text.endswith(" 3 bytes") for text in texts)
    assert any(text.startswith("/isolinux/isolinux.cfg: other content") for text in texts)
    assert not any("vmlinuz" in text for text in texts)


def test_inside_an_initramfs(new_base: Path, tmp_path: Path) -> None:
    entries = [newc.directory("tmp", 0o1777), newc.directory("opt"), newc.regular("init", b"#!/bin/ash\n", 0o755)]
    sample = sample_iso.new_layout().with_files({"boot/initrd.img": newc.archive(entries)})
    found = compare(new_base, sample_iso.build(sample, tmp_path / "other.iso"))
    assert {change.path for change in found.inside["/boot/initrd.img"]} == {"init", "etc"}


def test_an_initramfs_packed_another_way_is_told_apart_from_other_files(new_base: Path, tmp_path: Path) -> None:
    import lzma

    again = lzma.compress(lzma.decompress(sample_iso.base_initrd()), check=lzma.CHECK_CRC32)
    sample = sample_iso.new_layout().with_files({"boot/initrd.img": again})
    found = compare(new_base, sample_iso.build(sample, tmp_path / "other.iso"))
    assert found.inside["/boot/initrd.img"] == ()
    assert "the same files in both" in "\n".join(found.notes)


def test_inside_a_squashfs(tmp_path: Path) -> None:
    isos = []
    for name, text in (("one", "old"), ("two", "new")):
        image = squashfs(tmp_path, name, passwd="the same", **{f"only-{name}": "", "issue": text})
        sample = sample_iso.new_layout().with_files({"boot/rootfs.squashfs": image})
        isos.append(sample_iso.build(sample, tmp_path / f"{name}.iso"))
    found = compare(*isos)
    paths = {change.path for change in found.inside["/boot/rootfs.squashfs"]}
    assert paths == {"etc/issue", "etc/only-one", "etc/only-two"}
    assert "/boot/rootfs.squashfs" not in compare(*isos, deep=False).inside


def test_without_unsquashfs_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [sample_iso.new_layout().with_files({"boot/x": b"hsqs" + text}) for text in (b"1", b"2")]
    isos = [sample_iso.build(sample, tmp_path / f"{n}.iso") for n, sample in enumerate(samples)]
    monkeypatch.setattr(squashfs_tree, "available", lambda: False)
    assert "unsquashfs is not on this machine" in "\n".join(compare(*isos).notes)


def test_a_damaged_squashfs_is_a_note_and_no_failure(tmp_path: Path) -> None:
    needs("unsquashfs")
    samples = [sample_iso.new_layout().with_files({"boot/x": b"hsqs" + text}) for text in (b"1", b"2")]
    isos = [sample_iso.build(sample, tmp_path / f"{n}.iso") for n, sample in enumerate(samples)]
    assert "/boot/x cannot be looked into" in "\n".join(compare(*isos).notes)


def test_settings_of_a_project_and_packages(ours: Path, tmp_path: Path) -> None:
    other = Path(shutil.copy(ours, tmp_path / "customised.iso"))
    customize(other, settings={"HTTP_PROXY": "http://proxy.example:1"}, add=[], remove=[], reset=False)
    found = compare(ours, other)
    assert [change.path for change in found.files] == ["/boot/site.img"]
    assert any(change.path.endswith("site/settings") for change in found.inside["/boot/site.img"])
    assert found.packages == ()


def test_bytes_outside_of_files(new_base: Path, tmp_path: Path) -> None:
    data = bytearray(new_base.read_bytes())
    data[100] ^= 1
    (tmp_path / "other.iso").write_bytes(data)
    found = compare(new_base, tmp_path / "other.iso")
    assert found.files == ()
    assert found.elsewhere == ("system area: 1 sectors, the first at byte 0",)


def test_diffoscope_is_asked_where_it_is(
    new_base: Path, old_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "diffoscope" in "\n".join(compare(new_base, old_base).notes)
    monkeypatch.undo()
    program = tmp_path / "diffoscope"
    program.write_text("#!/bin/sh\necho told by diffoscope\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert compare(new_base, old_base).diffoscope == "told by diffoscope\n"


def test_the_command_exits_with_1_if_they_differ(new_base: Path, old_base: Path) -> None:
    assert call("diff", new_base, new_base).returncode == 0
    done = call("diff", new_base, old_base, "--quick", "--json")
    assert done.returncode == 1
    assert '"same": false' in done.stdout


def test_trees() -> None:
    before = {"a": Leaf("-rw-r--r--", 1, "x"), "b": Leaf("-rw-r--r--", 1, "y"), "c": Leaf("lrwxrwxrwx", 1, "t")}
    after = {"a": Leaf("-rwxr-xr-x", 1, "x"), "c": Leaf("lrwxrwxrwx", 1, "u"), "d": Leaf("-rw-r--r--", 2, "z")}
    assert [str(change) for change in tree_difference.compare(before, after)] == [
        "a: -rw-r--r-- → -rwxr-xr-x",
        "b only in the first: -rw-r--r-- 1 bytes",
        "c: points to t → u",
        "d only in the second: -rw-r--r-- 2 bytes",
    ]
    assert tree_difference.compare(before, before) == []
