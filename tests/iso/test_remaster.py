"""Remastering both boot2docker layouts, seen through xorriso and sha256sum; and everything that must be refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pycdlib import PyCdlib

from boinc2docker.errors import BuilderError, HostError, InputError, VerificationError
from boinc2docker.formats import newc
from boinc2docker.iso import BaseIdentity, remaster
from boinc2docker.iso.overlay import IDENTITY_NAME
from boinc2docker.iso.volume import read_volume
from tests.equipment.checkout import PYTHON_PATH
from tests.iso import sample_iso
from tests.iso.conftest import EPOCH, base_identity, remastered
from tests.iso.real_iso import PACKAGES, real_iso
from tests.iso.sample_iso import NEW_CONFIG, Sample, needs_xorriso, new_layout

pytestmark = needs_xorriso
ADDED = {"/boinc2docker.json", "/boinc2docker.sha256", "/boot/boinc.img", "/boot/site.img"}


def xorriso(iso: Path, *words: str) -> str:
    command = ["xorriso", "-no_rc", "-indev", str(iso), *words]
    return subprocess.run(command, check=True, capture_output=True, env={**os.environ, "LC_ALL": "C"}).stdout.decode()


def files_by_xorriso(iso: Path) -> set[str]:
    """Every file, the boot catalogue (type e in xorriso's eyes) included."""
    return set(re.findall(r"^[-e].*'(.*)'$", xorriso(iso, "-find", "/", "-exec", "lsdl", "--"), re.MULTILINE))


def extracted(iso: Path, target: Path) -> Path:
    xorriso(iso, "-osirrox", "on", "-extract", "/", str(target))
    return target


def test_both_layouts_as_xorriso_sees_them(new_base: Path, old_base: Path, overlay: Path, tmp_path: Path) -> None:
    for base, folder, kernel in ((new_base, "isolinux", "vmlinuz"), (old_base, "boot/isolinux", "vmlinuz64")):
        name = base.parent.name
        before = extracted(base, tmp_path / f"{name}-before")
        digest = hashlib.sha256(base.read_bytes()).digest()
        done = remaster(
            base, tmp_path / f"{name}.iso", base=base_identity(base), version="2.0.0", epoch=EPOCH, overlay=overlay
        )
        assert hashlib.sha256(base.read_bytes()).digest() == digest
        assert done.digest.hex == hashlib.sha256(done.path.read_bytes()).hexdigest()
        assert done.bytes == done.path.stat().st_size
        assert files_by_xorriso(done.path) == files_by_xorriso(base) | ADDED
        after = extracted(done.path, tmp_path / f"{name}-after")
        for payload in (f"boot/{kernel}", "boot/initrd.img", f"{folder}/ldlinux.c32"):
            assert (after / payload).read_bytes() == (before / payload).read_bytes()
        config = (after / folder / "isolinux.cfg").read_text()
        assert "/boot/initrd.img,/boot/boinc.img,/boot/site.img" in config
        assert "waitusb" not in config
        assert "noembed" in config
        boot = xorriso(done.path, "-report_el_torito", "plain", "-report_system_area", "plain")
        assert f"El Torito img path :   1  /{folder}/isolinux.bin" in boot
        assert "El Torito img opts :   1  boot-info-table isohybrid-suitable" in boot
        assert "MBR isohybrid" in boot
        assert "-volid 'B2D_2_0_0'" in xorriso(done.path, "-report_el_torito", "cmd")


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_the_list_of_digests_holds_for_the_finished_iso(ours: Path, tmp_path: Path) -> None:
    tree = extracted(ours, tmp_path / "tree")
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "boinc2docker.sha256"], cwd=tree, check=True, capture_output=True
    )
    covered = {f"/{line.split(': ')[0]}" for line in checked.stdout.decode().splitlines()}
    assert covered == files_by_xorriso(ours) - {"/boinc2docker.sha256", "/boot/site.img"}


def test_the_identity_is_the_same_inside_and_outside(ours: Path, new_base: Path, tmp_path: Path) -> None:
    tree = extracted(ours, tmp_path / "tree")
    entries, _ = newc.parse((tree / "boot/boinc.img").read_bytes())
    inside = next(entry.data for entry in entries if entry.name == IDENTITY_NAME)
    assert inside == (tree / "boinc2docker.json").read_bytes()
    value = json.loads(inside)
    assert value["version"] == "2.0.0"
    assert value["base"]["sha256"] == base_identity(new_base).digest.hex
    assert value["base"]["kernel"] == "4.19.130"
    original = hashlib.sha256(NEW_CONFIG.encode()).hexdigest()
    assert value["edited"] == {"/isolinux/isolinux.cfg": original}
    assert (tree / "boot/site.img").read_bytes() == bytes(256 * 1024)


def test_joliet_sees_the_added_files_and_the_edited_configuration(
    old_base: Path, overlay: Path, tmp_path: Path
) -> None:
    done = remastered(old_base, tmp_path / "out.iso", overlay)
    iso = PyCdlib()
    iso.open(str(done))
    found = io.BytesIO()
    iso.get_file_from_iso_fp(found, joliet_path="/boot/isolinux/isolinux.cfg")
    assert b",/boot/boinc.img,/boot/site.img" in found.getvalue()
    assert {
        f"{folder}/{name}".replace("//", "/") for folder, _, names in iso.walk(joliet_path="/") for name in names
    } >= ADDED
    assert iso.joliet_vd is not None
    assert iso.joliet_vd.volume_identifier.decode("utf-16-be").rstrip() == "B2D_2_0_0"
    iso.close()


SCRIPT = """
import json, random, sys, time
from pathlib import Path
from unittest import mock
from tests.iso.conftest import remastered
base, output, overlay, clock = sys.argv[1:]
with mock.patch("time.time", return_value=float(clock)):
    remastered(Path(base), Path(output), Path(overlay))
"""


def test_the_same_inputs_are_the_same_bytes(new_base: Path, tmp_path: Path) -> None:
    """Another directory, umask, zone, clock, hash seed, file order and file times."""
    results = []
    for attempt, (zone, mask) in enumerate((("UTC", 0o022), ("Asia/Kathmandu", 0o077), ("America/St_Johns", 0o000))):
        folder = tmp_path / f"attempt {attempt}"
        folder.mkdir()
        base = Path(shutil.copy(new_base, folder / f"b{attempt}.iso"))
        tree = folder / "tree"
        files = [f"opt/boinc2docker/f{number}" for number in range(20)]
        files.sort(key=lambda name, attempt=attempt: hashlib.sha256(f"{attempt}{name}".encode()).digest())  # type: ignore[misc]
        for name in files:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(name)
            os.utime(tree / name, (attempt * 1e8 + hash(name) % 1000, attempt * 1e8 + hash(name) % 1000))
        output = folder / "out.iso"
        environment = {**os.environ, "TZ": zone, "PYTHONHASHSEED": str(attempt), "PYTHONPATH": PYTHON_PATH}
        command = [sys.executable, "-c", SCRIPT, str(base), str(output), str(tree), str(1e9 + attempt * 86_400_000)]
        subprocess.run(command, check=True, cwd=folder, env=environment, umask=mask)
        assert output.stat().st_mode & 0o777 == 0o644
        results.append(output.read_bytes())
    different = [
        at // 2048 for at in range(0, len(results[0]), 2048) if len({data[at : at + 2048] for data in results}) > 1
    ]
    assert not different, f"sectors that differ: {different}"
    assert results[0] == results[1] == results[2]


def test_no_mbr_a_deep_kernel_and_no_boot_directory(overlay: Path, tmp_path: Path) -> None:
    plain = Sample(
        {
            "isolinux.bin": sample_iso.ISOLINUX.read_bytes(),
            "isolinux.cfg": b"default linux initrd=initrd\nlabel l\nkernel LINUX\nappend initrd=initrd.gz\n"
            b"include more.cfg\n",
            "more.cfg": b"LABEL two\nKERNEL linux\nINITRD /initrd.gz\n",
            "unrelated/grub.cfg": b"set x=1\n",
            "linux": b"kernel",
            "initrd": sample_iso.base_initrd(),
            "initrd.gz": newc.archive([newc.directory("opt")]),
            "empty": b"",
        },
        boot=".",
        mbr=False,
    )
    base = sample_iso.build(plain, tmp_path / "base.iso")
    done = remastered(base, tmp_path / "out.iso", overlay)
    tree = extracted(done, tmp_path / "tree")
    assert b"INITRD /initrd.gz,/boot/boinc.img,/boot/site.img" in (tree / "more.cfg").read_bytes()
    assert b"initrd=initrd.gz,/boot/boinc.img" in (tree / "isolinux.cfg").read_bytes()
    assert (tree / "unrelated/grub.cfg").read_bytes() == b"set x=1\n"
    assert (tree / "boot/boinc.img").exists()


def test_one_more_epoch_or_version_is_another_iso(new_base: Path, overlay: Path, tmp_path: Path) -> None:
    outputs = set()
    for version, epoch in (("2.0.0", EPOCH), ("2.0.0", EPOCH + 1), ("2.0.1-rc.1", EPOCH)):
        target = tmp_path / "x.iso"
        remaster(new_base, target, base=base_identity(new_base), version=version, epoch=epoch, overlay=overlay)
        outputs.add(target.read_bytes())
    assert len(outputs) == 3
    assert b"B2D_2_0_1_RC_1 " in target.read_bytes()[32768:34816]


# What must end in one clear line -------------------------------------------------------------------------------------


def refused(base: Path, overlay: Path, output: Path) -> BuilderError:
    """The error a remaster ends in; nothing may be left of the output, and nothing of the base may have changed."""
    before = hashlib.sha256(base.read_bytes()).digest() if base.is_file() else b""
    with pytest.raises(BuilderError) as caught:
        remaster(base, output, base=base_identity_of_anything(), version="2.0.0", epoch=EPOCH, overlay=overlay)
    assert not list(output.parent.iterdir())
    assert not base.is_file() or hashlib.sha256(base.read_bytes()).digest() == before
    assert "\n" not in caught.value.message
    return caught.value


def base_identity_of_anything() -> BaseIdentity:
    return base_identity(Path(__file__))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out/x.iso"


@pytest.mark.parametrize("package", PACKAGES)
def test_real_isos_that_would_lose_their_efi_boot_are_refused(
    package: str, overlay: Path, out: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    error = refused(real_iso(package, tmp_path_factory.mktemp("package")), overlay, out)
    assert error.code == "unsupported-boot-layout"
    assert "EFI" in error.message
    assert error.hint


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"boot__initrd.img": None}, "missing-boot-file", "/boot/initrd.img"),
        ({"boot__vmlinuz": None}, "missing-boot-file", "/boot/vmlinuz"),
        ({"isolinux__isolinux.cfg": None}, "no-boot-config", "isolinux.cfg"),
        ({"isolinux__isolinux.cfg": b"label x\nkernel /boot/vmlinuz\n"}, "no-initrd", "initrd"),
        ({"boot__initrd.img": b"no archive at all"}, "bad-initramfs", "/boot/initrd.img"),
        (
            {"boot__initrd.img": sample_iso.base_initrd()[:60] if sample_iso.XORRISO else b""},
            "truncated-initramfs",
            "is truncated",
        ),
        ({"boot__initrd.img": newc.archive([newc.regular("opt", b"")])}, "bad-overlay", "a file or link of the base"),
        ({"boot__BOINC.img": b"x"}, "name-taken", "/boot/boinc.img"),
    ],
)
def test_a_base_that_lacks_something_is_refused(
    changes: dict[str, bytes | None], code: str, message: str, overlay: Path, tmp_path: Path, out: Path
) -> None:
    error = refused(sample_iso.build(new_layout(**changes), tmp_path / "base.iso"), overlay, out)
    assert (error.code, message in error.message) == (code, True), error.message


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda data: b"", "not-an-iso"),
        (lambda data: b"hello\n" * 9999, "not-an-iso"),
        (lambda data: bytes(100_000), "not-an-iso"),
        (lambda data: data[:40_000], "truncated-iso"),
        (lambda data: data[: len(data) // 2], "truncated-iso"),
        (lambda data: data[:200] + b"\x12" * 310 + b"\x55\xaa" + data[512:], "unsupported-boot-layout"),
        (lambda data: data[:600] + b"something" + data[609:], "unsupported-boot-layout"),
        (lambda data: data[:512] + b"EFI PART" + data[520:], "unsupported-boot-layout"),
        (lambda data: b"\xeb\x63\x90" + data[3:], "unsupported-boot-layout"),
        (lambda data: data.replace(b"EL TORITO SPECIFICATION", b"EL TORITO SPECIFICATIO_"), "no-isolinux"),
    ],
    ids=["empty", "text", "zeros", "cut-early", "cut-half", "partitions", "behind-mbr", "gpt", "grub", "no-el-torito"],
)
def test_what_is_no_whole_boot2docker_iso_is_refused(
    make: Callable[[bytes], bytes], code: str, new_base: Path, overlay: Path, tmp_path: Path, out: Path
) -> None:
    bad = tmp_path / "bad.iso"
    bad.write_bytes(make(new_base.read_bytes()))
    error = refused(bad, overlay, out)
    assert error.code == code, error.message
    assert str(bad) in error.message


def test_an_iso_without_boot_or_without_rock_ridge_and_ours_again(
    overlay: Path, tmp_path: Path, out: Path, ours: Path
) -> None:
    data = sample_iso.build(Sample({"a": b"b"}, boot="", mbr=False), tmp_path / "data.iso")
    assert refused(data, overlay, out).code == "no-isolinux"
    plain = PyCdlib()
    plain.new(interchange_level=3)
    plain.add_fp(io.BytesIO(b"x"), 1, "/X.;1")
    plain.write(str(tmp_path / "plain.iso"))
    plain.close()
    assert refused(tmp_path / "plain.iso", overlay, out).code == "unsupported-iso"
    assert refused(ours, overlay, out).code == "already-ours"
    assert refused(tmp_path / "missing.iso", overlay, out).code == "no-such-file"


def test_the_base_is_never_its_own_output(new_base: Path, overlay: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.iso"
    link.symlink_to(new_base)
    with pytest.raises(InputError, match="never changed"):
        remastered(new_base, link, overlay)


def test_an_interrupt_leaves_what_was_there(
    new_base: Path, overlay: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.iso"
    target.write_bytes(b"older")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for step in ("write_image", "_record", "verify"):
        monkeypatch.setattr(sys.modules["boinc2docker.iso.remaster"], step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            remastered(new_base, target, overlay)
        monkeypatch.undo()
        assert [path.name for path in tmp_path.iterdir()] == ["out.iso"]
        assert target.read_bytes() == b"older"


def test_a_full_disk_is_told_and_leaves_nothing(new_base: Path, overlay: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", small], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small tmpfs: {mounted.stderr.decode().strip()}")
    try:
        with pytest.raises(HostError, match="the disk is full"):
            remastered(new_base, small / "out.iso", overlay)
        assert not list(small.iterdir())
    finally:
        subprocess.run(["umount", small], check=True)


DAMAGES: dict[str, Callable[[bytearray, Callable[[str], int]], None]] = {
    "kernel": lambda data, at: data.__setitem__(at("/boot/vmlinuz") + 5, 77),
    "config": lambda data, at: data.__setitem__(at("/isolinux/isolinux.cfg"), 77),
    "overlay": lambda data, at: data.__setitem__(at("/boot/boinc.img") + 200, 77),
    "boot file": lambda data, at: data.__setitem__(at("/isolinux/isolinux.bin") + 3000, 77),
    "boot information": lambda data, at: data.__setitem__(at("/isolinux/isolinux.bin") + 12, 77),
    "catalogue": lambda data, at: data.__setitem__(at("/isolinux/boot.cat") + 40, 77),
    "MBR code": lambda data, at: data.__setitem__(100, 77),
    "MBR pointer": lambda data, at: data.__setitem__(432, data[432] ^ 1),
    "MBR partition": lambda data, at: data.__setitem__(446 + 4, 0xEF),
    "behind the MBR": lambda data, at: data.__setitem__(5000, 1),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_writer_that_errs_is_caught(
    damage: str, new_base: Path, overlay: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["boinc2docker.iso.remaster"]
    write = module.write_image

    def damaging(base: Path, target: Path, made: object) -> None:
        write(base, target, made)
        data = bytearray(target.read_bytes())
        files = read_volume(io.BytesIO(data)).files
        DAMAGES[damage](data, lambda path: files[path].extents[0][0])
        target.write_bytes(data)

    monkeypatch.setattr(module, "write_image", damaging)
    with pytest.raises((VerificationError, InputError)):
        remastered(new_base, out, overlay)
    assert not list(out.parent.iterdir())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to tell a process's peak memory")
def test_memory_does_not_grow_with_the_iso(overlay: Path, tmp_path: Path) -> None:
    peaks = []
    for megabytes in (4, 90):
        sample = new_layout().with_files({"boot/rootfs.squashfs": os.urandom(1 << 20) * megabytes})
        base = sample_iso.build(sample, tmp_path / "base.iso")
        script = SCRIPT + "\nprint(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
        command = [sys.executable, "-c", script, str(base), str(tmp_path / "out.iso"), str(overlay), "1e9"]
        done = subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": PYTHON_PATH})
        peaks.append(int(done.stdout) // 1024)
    assert peaks[1] - peaks[0] < 12, f"peak memory in MB: {peaks}"
