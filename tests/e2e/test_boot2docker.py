"""The same agent on other bases: boot2docker's exact format in both layouts, and the real last release."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from boinc2docker.base import obtain
from tests.conftest import call, needs
from tests.e2e import boot2docker_format
from tests.e2e.images import old_archive

pytestmark = [pytest.mark.machine, pytest.mark.timeout(1500)]


def run_there(base: Path | str, tmp_path: Path, *more: str) -> dict[str, object]:
    """Remasters ``base``, boots the result, runs a container."""
    iso = tmp_path / "remastered.iso"
    built = call("build-iso", "--base", base, "--output", iso, "--json")
    assert built.returncode == 0, built.stderr
    archive = old_archive(tmp_path / "image.tar")
    script = "echo hello > /root/shared/results/out.txt"
    words: list[str | Path] = ["--iso", iso, "--memory", "3GB", "--results", tmp_path / "results", *more]
    done = call("run", "--json", archive, *words, "--", "/bin/sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results" / "out.txt").read_text() == "hello\n"
    assert "agent 2.0.0 on" in done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.exhaustive  # unpacking 225 MB of lzma takes minutes under emulation
@pytest.mark.parametrize("layout", ["new", "old"])
def test_boot2docker_format(layout: boot2docker_format.Layout, tmp_path: Path) -> None:
    needs("qemu-system-x86_64", "xorriso", "unsquashfs")
    if not Path("/usr/lib/ISOLINUX/isohdpfx.bin").exists() or not Path("/usr/lib/syslinux/modules/bios").exists():
        pytest.skip("Debian's isolinux and syslinux-common are not installed")
    base = tmp_path / f"b2d-{layout}.iso"
    with tempfile.TemporaryDirectory(dir=tmp_path) as work:
        boot2docker_format.build(obtain("debian", locked=True).path, base, layout, Path(work))
    run_there(base, tmp_path)


def test_real_boot2docker(tmp_path: Path) -> None:
    needs("qemu-system-x86_64")
    fetched = call("fetch", "--base", "boot2docker", "--locked", "--json")
    if fetched.returncode != 0:
        error = json.loads(fetched.stdout)["error"]
        assert error["code"] == "download-failed", error
        pytest.skip(f"boot2docker v19.03.12 cannot be downloaded from here: {error['message']}")
    run_there("boot2docker", tmp_path)
