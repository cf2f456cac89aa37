"""The reader and the boot layout classifier: right about xorriso's ISOs, calm about anything else."""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycdlib import PyCdlib

from boinc2docker.errors import InputError
from boinc2docker.iso.boot_layout import SYSTEM_AREA, BootKind, catalogue_sector, classify, parse_catalogue
from boinc2docker.iso.image import read_image
from boinc2docker.iso.volume import chunks, open_file, read_head, read_volume
from tests.iso import sample_iso
from tests.iso.real_iso import PACKAGES, real_iso
from tests.iso.sample_iso import Sample, needs_xorriso, new_layout

calm = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@needs_xorriso
def test_names_modes_and_bytes_of_a_tree_with_odd_names(tmp_path: Path) -> None:
    files = {
        "a b/ünïcödé.txt": b"1",
        "a b/" + "x" * 200: b"2" * 5000,
        "Upper.CASE": b"",
        "deep/1/2/3/4/5/6": b"3",
        **{f"many/file-{number:04}": b"%d" % number for number in range(300)},
    }
    tree = tmp_path / "tree"
    for name, data in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(data)
    (tree / "Upper.CASE").chmod(0o751)
    target = tmp_path / "x.iso"
    subprocess.run(
        ["xorriso", "-no_rc", "-as", "mkisofs", "-R", "-J", "-o", target, tree], check=True, capture_output=True
    )
    with target.open("rb") as stream:
        volume = read_volume(stream)
        assert {path: b"".join(chunks(stream, file)) for path, file in volume.files.items()} == {
            f"/{name}": data for name, data in files.items()
        }
        assert volume.files["/Upper.CASE"].mode == 0o100751
        assert open_file(stream, volume.files["/a b/" + "x" * 200]).read() == b"2" * 5000
    assert (volume.rock_ridge, volume.joliet, volume.udf, volume.duplicates) == (True, True, False, ())
    assert "/deep/1/2" in volume.directories


def test_plain_iso9660_names_and_udf() -> None:
    iso = PyCdlib()
    iso.new(interchange_level=1, udf="2.60")
    iso.add_fp(io.BytesIO(b"data"), 4, "/README.TXT;1", udf_path="/README.TXT")
    written = io.BytesIO()
    iso.write_fp(written)
    iso.close()
    volume = read_volume(written)
    assert list(volume.files) == ["/readme.txt"]
    assert (volume.rock_ridge, volume.udf) == (False, True)


@needs_xorriso
def test_two_files_of_one_name_are_seen(new_base: Path) -> None:
    """What pycdlib does to an ISO of xorriso's if asked to add a file that is there (its names are lower case)."""
    iso = PyCdlib()
    iso.open(str(new_base))
    iso.get_rock_ridge_facade().add_fp(io.BytesIO(b"x"), 1, "/boot/initrd.img", 0o100444)
    written = io.BytesIO()
    iso.write_fp(written)
    iso.close()
    assert read_volume(written).duplicates == ("/boot/initrd.img",)


@needs_xorriso
@calm
@given(data=st.data())
def test_damage_is_refused_or_read_never_a_crash(new_base: Path, data: st.DataObject) -> None:
    image = bytearray(new_base.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        # Descriptors, directories and boot catalogue lie in the first 40 sectors.
        at = data.draw(st.integers(16 * 2048, 60 * 2048))
        image[at : at + 4] = data.draw(st.binary(min_size=4, max_size=4))
    with contextlib.suppress(InputError):
        read_image(io.BytesIO(bytes(image)), Path("x.iso"))


@calm
@given(st.binary(max_size=70_000))
def test_rubbish_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        read_volume(io.BytesIO(data))


@calm
@given(st.binary(max_size=2100), st.binary(max_size=600), st.integers(0, 63))
def test_any_bytes_are_classified(catalogue: bytes, area: bytes, sector: int) -> None:
    head = bytearray(65536)
    head[: len(area)] = area
    head[sector * 512 : sector * 512 + len(area)] = area
    valid = bytearray(catalogue.ljust(64, b"\0"))
    valid[:32] = bytes.fromhex("01") + bytes(27) + bytes.fromhex("aa5555aa")
    catalogue_sector(bytes(head))
    for candidate in (catalogue, bytes(valid)):
        layout = classify(bytes(head), candidate)
        # Whatever is in the system area, it is kept or said to be lost.
        kept = layout.kind is BootKind.ISOLINUX_MBR or not any(head[:SYSTEM_AREA])
        assert kept or not layout.rewritable


def classified(path: Path) -> tuple[BootKind, bool]:
    with path.open("rb") as stream:
        layout = read_image(stream, path).layout
    return layout.kind, layout.rewritable


@needs_xorriso
@pytest.mark.parametrize(
    ("options", "mbr", "kind", "rewritable"),
    [
        ((), False, BootKind.NONE, True),
        ((), True, BootKind.ISOLINUX_MBR, True),
        (("-eltorito-alt-boot", "-e", "boot/efi.img", "-no-emul-boot"), False, BootKind.NONE, False),
        (("-eltorito-alt-boot", "-e", "boot/efi.img", "-no-emul-boot", "-isohybrid-gpt-basdat"), True,
         BootKind.ISOLINUX_MBR_GPT, False),
        (("-append_partition", "2", "0xef", "EFI"), True, BootKind.EFI_APPENDED, False),
        (("-eltorito-alt-boot", "-b", "boot/efi.img", "-no-emul-boot"), True, BootKind.ISOLINUX_MBR, False),
    ],
    ids=["none", "isolinux", "efi-inside", "gpt", "appended", "two-bios"],
)  # fmt: skip
def test_layouts_that_xorriso_makes(
    options: tuple[str, ...], mbr: bool, kind: BootKind, rewritable: bool, tmp_path: Path
) -> None:
    efi = tmp_path / "efi.img"
    efi.write_bytes(b"\xeb\x3c\x90" + bytes(64 * 1024))
    sample = new_layout(boot__efi=None).with_files({"boot/efi.img": efi.read_bytes()})
    words = tuple(str(efi) if word == "EFI" else word for word in options)
    made = sample_iso.build(Sample(sample.files, sample.boot, words, mbr), tmp_path / "x.iso")
    assert classified(made) == (kind, rewritable)


@pytest.mark.parametrize("package", PACKAGES)
def test_real_isos(package: str, tmp_path: Path) -> None:
    expected = {"ipxe": BootKind.ISOLINUX_MBR, "memtest86+": BootKind.EFI_APPENDED}
    assert classified(real_iso(package, tmp_path)) == (expected[package], False)


def test_a_grub_boot_sector() -> None:
    area = bytearray(SYSTEM_AREA)
    area[:3], area[510:512] = b"\xeb\x63\x90", b"\x55\xaa"
    assert classify(bytes(area), b"").kind is BootKind.GRUB_MBR


def test_a_catalogue_with_sections() -> None:
    validation = bytes.fromhex("01") + bytes(27) + bytes.fromhex("aa5555aa")
    initial = struct.pack("<BBHBBHI20x", 0x88, 0, 0, 0, 0, 4, 26)
    section = struct.pack("<BBH28x", 0x91, 0xEF, 2)
    efi = struct.pack("<BBHBBHI20x", 0x88, 0, 0, 0, 0, 1, 99)
    found = parse_catalogue(validation + initial + section + efi + efi + bytes(64))
    assert [(entry.platform, entry.sector) for entry in found] == [(0, 26), (0xEF, 99), (0xEF, 99)]
    assert parse_catalogue(b"\1" + validation[1:28] + b"\0\0" + validation[30:] + initial) == ()


@needs_xorriso
def test_the_head_holds_the_catalogues_place(new_base: Path) -> None:
    report = subprocess.run(
        ["xorriso", "-no_rc", "-indev", new_base, "-report_el_torito", "plain"], check=True, capture_output=True
    ).stdout.decode()
    with new_base.open("rb") as stream:
        assert f"El Torito catalog  : {catalogue_sector(read_head(stream))} " in report
