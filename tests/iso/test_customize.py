"""inspect and customize on a real remastered ISO."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from boinc2docker.errors import BuilderError, HostError, InputError
from boinc2docker.formats import newc
from boinc2docker.iso import (
    customisation_json,
    customize,
    inspect,
    parse_settings,
    render_customisation,
    render_report,
    report_json,
    show,
)
from boinc2docker.iso.identity import SITE_PATH
from boinc2docker.iso.initramfs import list_initramfs
from boinc2docker.iso.site_area import AREA_BYTES
from boinc2docker.iso.volume import read_volume
from tests.iso.real_iso import real_iso
from tests.iso.sample_iso import needs_xorriso

pytestmark = needs_xorriso


def area_of(iso: Path) -> tuple[int, bytes]:
    with iso.open("rb") as stream:
        ((offset, length),) = read_volume(stream).files[SITE_PATH].extents
        stream.seek(offset)
        return offset, stream.read(length)


def overwrite(iso: Path, path: str, at: int, data: bytes) -> None:
    with iso.open("r+b") as stream:
        offset = read_volume(stream).files[path].extents[0][0]
        stream.seek(offset + at)
        stream.write(data)


def test_a_released_iso_is_intact(ours: Path, new_base: Path) -> None:
    report = inspect(ours)
    assert (report.kind, report.ours, report.intact, report.customised) == ("boinc2docker", True, True, False)
    assert report.problems == ()
    value = json.loads(json.dumps(report_json(report)))
    assert value["sha256"] == hashlib.sha256(ours.read_bytes()).hexdigest()
    assert value["version"] == "2.0.0"
    assert value["base"]["sha256"] == hashlib.sha256(new_base.read_bytes()).hexdigest()
    assert value["changed_against_base"] == {
        "added": ["/boinc2docker.json", "/boinc2docker.sha256", "/boot/boinc.img", "/boot/site.img"],
        "edited": ["/isolinux/isolinux.cfg"],
    }
    assert {file["path"] for file in value["files"] if file["ok"] is None} == {"/boinc2docker.sha256", "/boot/site.img"}
    assert value["labels"][0]["initrds"] == ["/boot/initrd.img", "/boot/boinc.img", "/boot/site.img"]
    assert "/opt/bootlocal.sh" in {entry["path"] for entry in value["overlay"]}
    text = render_report(report)
    assert "boinc2docker 2.0.0, intact" in text
    assert "kernel 4.19.130, docker 19.03.12" in text
    assert "boots    from CD by /isolinux/isolinux.bin, from a disk (isolinux-mbr); volume id B2D_2_0_0" in text


def test_other_isos(new_base: Path, tmp_path: Path) -> None:
    report = inspect(new_base)
    assert (report.kind, report.ours, report.intact, report.problems) == ("boot2docker-like", False, None, ())
    other = inspect(real_iso("memtest86+", tmp_path))
    assert other.kind == "other"
    assert "cannot be remastered: its EFI partition would be lost" in render_report(other)
    (tmp_path / "x").write_bytes(b"x")
    with pytest.raises(InputError, match="found no volume descriptor"):
        inspect(tmp_path / "x")


@pytest.mark.parametrize(
    ("path", "at", "problem"),
    [
        ("/boot/vmlinuz", 100, "/boot/vmlinuz has another digest"),
        ("/isolinux/isolinux.cfg", 3, "/isolinux/isolinux.cfg has another digest"),
        ("/boinc2docker.json", 0, "/boinc2docker.json cannot be read"),
        ("/boinc2docker.sha256", 0, "line 1"),
        ("/boot/boinc.img", 0, "expected a cpio"),
        ("/boot/site.img", 0, "site area is damaged"),
        ("/isolinux/isolinux.bin", 12, "boot information table"),
    ],
)
def test_a_changed_file_is_found(ours: Path, path: str, at: int, problem: str) -> None:
    overwrite(ours, path, at, b"!")
    report = inspect(ours)
    assert report.intact is False
    assert any(problem in found for found in report.problems), report.problems
    assert "problems:" in render_report(report)


def test_set_add_show_merge_remove_reset(ours: Path, tmp_path: Path) -> None:
    released = ours.read_bytes()
    certificate = tmp_path / "ca:1.crt"
    certificate.write_text("certificate")
    hook = tmp_path / "hook.sh"
    hook.write_text("#!/bin/sh\n")
    first = customize(ours, settings=parse_settings(["HTTP_PROXY=http://proxy:3128", "NO_PROXY=a='b'\n$c"]))
    second = customize(ours, add=[f"{certificate}:/etc/ssl/b2d/ca.crt", f"{hook}:hook:before-job"])
    assert second.site.settings == first.site.settings == {"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "a='b'\n$c"}
    assert show(ours) == second
    assert second.digest.hex == hashlib.sha256(ours.read_bytes()).hexdigest()
    value = json.loads(json.dumps(customisation_json(second)))
    assert value["files"]["/etc/ssl/b2d/ca.crt"]["bytes"] == 11
    assert value["hooks"]["before-job"]["bytes"] == 10
    assert "HTTP_PROXY='http://proxy:3128'" in render_customisation(second)
    report = inspect(ours)
    assert (report.intact, report.customised, report.site) == (True, True, second.site)
    offset, area = area_of(ours)
    unpacked = list_initramfs(area, keep=lambda _: True)
    assert unpacked["opt/boinc2docker/site/files/etc/ssl/b2d/ca.crt"].data == b"certificate"
    assert {"opt", "opt/boinc2docker"}.isdisjoint(unpacked)
    changed = ours.read_bytes()
    assert (changed[:offset], changed[offset + AREA_BYTES :]) == (released[:offset], released[offset + AREA_BYTES :])
    third = customize(ours, remove=["NO_PROXY", "/etc/ssl/b2d/ca.crt"], settings={"STORE_BUDGET_MB": "5"})
    assert third.site.settings == {"HTTP_PROXY": "http://proxy:3128", "STORE_BUDGET_MB": "5"}
    assert list(third.site.files) == []
    assert not customize(ours, reset=True).customised
    assert ours.read_bytes() == released
    customize(ours, settings={"NO_PROXY": "x"})
    customize(ours, remove=["NO_PROXY"])
    assert ours.read_bytes() == released


def attempt(iso: Path, **change: Any) -> BuilderError:
    before = iso.read_bytes() if iso.is_file() else b""
    with pytest.raises(BuilderError) as caught:
        customize(iso, **change)
    assert not iso.is_file() or iso.read_bytes() == before
    assert "\n" not in caught.value.message
    return caught.value


def test_what_is_wrong_changes_nothing(ours: Path, new_base: Path, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(AREA_BYTES + 1))
    nearly = tmp_path / "nearly"
    nearly.write_bytes(bytes(AREA_BYTES - 100))
    assert attempt(ours, settings={"NOPE": "1"}).code == "unknown-setting"
    assert attempt(ours, settings={"NO_PROXY": "fine"}, add=[f"{big}:/x"]).code == "site-area-full"
    assert attempt(ours, add=[f"{nearly}:/x"]).code == "site-area-full"
    assert attempt(ours, add=["nowhere:/x"]).code == "no-such-file"
    assert attempt(ours, add=[f"{tmp_path}:/x"]).code == "no-such-file"
    assert attempt(ours, add=[str(nearly)]).code == "bad-addition"
    assert attempt(ours, add=[f"{nearly}:/../x"]).code == "bad-guest-path"
    assert attempt(ours, remove=["HTTP_PROXY"]).code == "not-there"
    assert attempt(new_base, reset=True).code == "not-ours"
    assert attempt(tmp_path / "missing.iso", reset=True).code == "no-such-file"
    assert attempt(nearly, reset=True).code == "not-an-iso"
    with pytest.raises(InputError, match="KEY=VALUE"):
        parse_settings(["HTTP_PROXY"])
    ours.chmod(0o444)
    assert attempt(ours, reset=True).code == "no-permission"


def test_an_area_of_another_size_is_left_alone(ours: Path) -> None:
    """The length in the directory record, little- and big-endian."""
    data = ours.read_bytes()
    record = AREA_BYTES.to_bytes(4, "little") + AREA_BYTES.to_bytes(4, "big")
    assert data.count(record) == 1
    smaller = (AREA_BYTES - 2048).to_bytes(4, "little") + (AREA_BYTES - 2048).to_bytes(4, "big")
    ours.write_bytes(data.replace(record, smaller))
    assert attempt(ours, reset=True).code == "bad-site-area"


class PowerCut(Exception):
    """The moment the machine loses its power."""


def test_a_power_cut_leaves_old_new_or_an_area_that_boots_as_nothing(
    ours: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Cut after every flush; what was written since the flush before is there or not."""
    (tmp_path / "a").write_bytes(os.urandom(90_000))
    customize(ours, add=[f"{tmp_path / 'a'}:/a"])
    old = area_of(ours)[1]
    after = []
    for cut in range(1, 4):
        flushed = 0

        def fsync(_: int) -> None:
            nonlocal flushed
            flushed += 1
            if flushed == cut:  # noqa: B023 - used within this turn of the loop
                raise PowerCut

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(PowerCut):
            customize(ours, settings={"HTTP_PROXY": "http://new"}, add=[f"{tmp_path / 'a'}:/b"])
        monkeypatch.undo()
        after.append(area_of(ours)[1])
        if cut < 3:
            for found in (show, lambda iso: customize(iso, settings={"NO_PROXY": "x"})):
                with pytest.raises(InputError, match="interrupted") as caught:
                    found(ours)
                assert "--reset" in str(caught.value.hint)
            assert any("interrupted" in problem for problem in inspect(ours).problems)
            with pytest.raises(InputError, match="found 626f696e6332"):
                list_initramfs(after[-1])
            customize(ours, reset=True)
            customize(ours, add=[f"{tmp_path / 'a'}:/a"])
            assert area_of(ours)[1] == old
    assert set(show(ours).site.files) == {"a", "b"}
    assert after[2] not in (old, after[0], after[1])


def _set_one(iso: Path, key: str, value: str) -> None:
    customize(iso, settings={key: value})


def test_two_at_once_lose_nothing(ours: Path) -> None:
    wanted = {
        "HTTP_PROXY": "http://1",
        "HTTPS_PROXY": "http://2",
        "NO_PROXY": "3",
        "STORE_BUDGET_MB": "4",
        "REGISTRY_MIRROR": "http://5",
    }
    workers = [multiprocessing.Process(target=_set_one, args=(ours, key, value)) for key, value in wanted.items()]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0] * 5
    assert show(ours).site.settings == wanted


def test_a_busy_iso_is_told(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["boinc2docker.iso.customize"]
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    alone: Callable[[Path], Any] = module._alone
    with alone(ours), pytest.raises(HostError, match="another customize"):
        _in_thread(lambda: customize(ours, reset=True))


def _in_thread(work: Callable[[], object]) -> None:
    """filelock lets the same thread in twice."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


def test_an_archive_as_large_as_fits(ours: Path, tmp_path: Path) -> None:
    overhead = len(newc.archive([newc.directory(f"opt/boinc2docker/site{rest}") for rest in ("", "/files")]))
    room = AREA_BYTES - overhead - 112 - len("opt/boinc2docker/site/files/x\0")
    (tmp_path / "x").write_bytes(b"\1" * (room - 8))
    customize(ours, add=[f"{tmp_path / 'x'}:x"])
    assert len(show(ours).site.files["x"].data) == room - 8
