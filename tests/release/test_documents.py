"""The documents of the real ISO: valid by their own tools, exactly the packages of the guest, the same bytes again."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from debian.deb822 import Deb822
from dissect.squashfs import SquashFS

from boinc2docker.cli import release_verdict as verify_command
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError
from boinc2docker.iso import inspect, volume
from boinc2docker.release import cyclonedx_sbom, make, notes, provenance, spdx_sbom
from boinc2docker.release.compose import Material
from boinc2docker.release.contents import MEASUREMENTS, NOTES, SUMS, Names, measurements_text
from boinc2docker.release.notes import Previous
from boinc2docker.release.provenance import Source
from boinc2docker.vm import Outcome
from ci.bench import bench
from tests.release.real_inputs import locked_packages

NAMES = Names("2.0.0")
OUTCOME = Outcome(
    exit_code=0,
    message=f"see {Path.home() / 'message'}",
    results=Path.home() / "results",
    log=Path.home() / "log",
    phases={"init": 3.5, "containerd": 9.0},
    downloaded_bytes=1000,
    reused_bytes=0,
    container_exit_code=0,
    guest_memory_mb=150,
    host_memory_mb=400,
    acceleration="tcg",
    seconds=60.0,
)
CHANGELOG = "# Changelog\n\n## 2.1.0\n\nLater.\n\n## 2.0.0 (2026)\n\n* The first.\n\n## 1.9.0\n\nEarlier.\n"


@pytest.fixture(scope="module")
def release(iso: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(iso, tmp_path_factory.mktemp("release"))


def written(iso: Path, place: Path) -> Path:
    lock, debs = locked_packages()
    source = Source("a" * 40, "b" * 40, {"guest/debian/packages.lock": Digest.of(b"")})
    previous = Previous("1.9.0", {"gone": "1", "tini": "0.18"})
    (place / NAMES.iso).hardlink_to(iso)
    make.write_documents(place, NAMES, Material(source, lock, CHANGELOG, previous), debs)
    figures = bench.as_json([], OUTCOME.as_json(), {}, {"total": 1})
    text = measurements_text(figures, (place / SUMS).read_text())
    (place / MEASUREMENTS).write_text(text)
    return place


@pytest.fixture(scope="module")
def status(iso: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """dpkg's own record in the guest's root file system, read by other code than wrote it."""
    image = tmp_path_factory.mktemp("rootfs") / "rootfs.squashfs"
    with iso.open("rb") as stream, image.open("wb") as output:
        for chunk in volume.chunks(stream, volume.read_volume(stream).files["/boot/rootfs.squashfs"]):
            output.write(chunk)
    with image.open("rb") as stream:
        text = SquashFS(stream).get("/var/lib/dpkg/status").open().read()
    return {entry["Package"]: entry["Version"] for entry in Deb822.iter_paragraphs(io.BytesIO(text))}


def test_both_lists_name_exactly_what_dpkg_knows_in_the_guest(release: Path, status: dict[str, str]) -> None:
    assert len(status) > 50
    for tool, name in ((cyclonedx_sbom, NAMES.cyclonedx), (spdx_sbom, NAMES.spdx)):
        listed = tool.listed((release / name).read_text())
        assert sorted((one.name, one.version) for one in listed if one.debian) == sorted(status.items())
        assert sorted(one.name for one in listed if not one.debian) == ["boinc2docker", "boinc2docker-agent"]


def test_both_lists_are_valid_by_their_own_tools(release: Path) -> None:
    tools: tuple[tuple[Any, str], ...] = ((cyclonedx_sbom, NAMES.cyclonedx), (spdx_sbom, NAMES.spdx))
    for tool, name in tools:
        text = (release / name).read_text()
        assert tool.problems(text) == []
        assert tool.problems(text.replace("SHA", "SHE", 1)) != []


def test_every_component_is_told_with_source_licence_and_digest(release: Path) -> None:
    lock, _ = locked_packages()
    listed = json.loads((release / NAMES.cyclonedx).read_text())["components"]
    assert listed[0]["name"] == "boinc2docker-agent"
    for one in listed[1:]:
        package = lock[one["name"]]
        facts = {entry["name"]: entry["value"] for entry in one["properties"]}
        assert one["hashes"] == [{"alg": "SHA-256", "content": package.digest.hex}]
        assert facts["boinc2docker:source"] == f"{package.source} {package.source_version}"
        assert one["licenses"][0]["expression"]
    certain = [one for one in listed if "LicenseRef" not in one["licenses"][0]["expression"]]
    assert len(certain) > 15


def test_everything_holds_together(release: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify_command.verify(release, key=None, unsigned=True, rebuild=False) == 0
    assert "every file as it was released" in capsys.readouterr().out


def test_a_document_of_another_iso_is_found(release: Path, tmp_path: Path) -> None:
    """Somebody replaced a document and all digests: the documents still have to follow from the ISO."""
    for path in release.iterdir():
        (tmp_path / path.name).hardlink_to(path)
    for name in (NAMES.cyclonedx, NAMES.identity, NAMES.sizes):
        text = (release / name).read_text()
        (tmp_path / name).unlink()
        (tmp_path / name).write_text(text.replace("busybox-static", "busybox-other").replace("12", "13"))
    found = {problem.file for problem in verify_command.documents(tmp_path, NAMES)}
    assert found == {NAMES.cyclonedx, NAMES.identity, NAMES.sizes}


def test_the_same_again_elsewhere_and_at_another_time(
    release: Path, iso: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Pacific/Chatham")
    time.tzset()
    before = os.umask(0o077)
    try:
        again = written(iso, tmp_path)
    finally:
        os.umask(before)
        monkeypatch.undo()
        time.tzset()
    assert (again / SUMS).read_bytes() == (release / SUMS).read_bytes()


def test_nothing_tells_of_the_machine(release: Path) -> None:
    for path in release.iterdir():
        if path.suffix in {".json", ".md", ""}:
            text = path.read_text()
            assert str(Path.home()) not in text or Path.home() == Path("/"), path.name
            assert str(release) not in text
    assert json.loads((release / MEASUREMENTS).read_text())["run"] == {
        "exit_code": 0,
        "acceleration": "tcg",
        "phases": {"init": 3.5, "containerd": 9.0},
        "downloaded_bytes": 1000,
        "reused_bytes": 0,
        "guest_memory_mb": 150,
        "host_memory_mb": 400,
    }


def test_provenance_names_what_went_in(release: Path) -> None:
    lock, _ = locked_packages()
    text = (release / NAMES.provenance).read_text()
    statement = provenance.parse(text)
    assert set(statement.subjects) == set(NAMES.subjects)
    assert statement.previous == "1.9.0"
    inputs = json.loads(text)["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert {package.digest.hex for package in lock.packages} <= {one["digest"].get("sha256") for one in inputs}


def test_notes(release: Path, iso: Path) -> None:
    text = (release / NOTES).read_text()
    assert "* The first.\n" in text
    assert "Later" not in text
    assert "Earlier" not in text
    assert "* gone 1 (gone)\n" in text
    assert "* tini 0.18 → 0.19" in text
    assert f"| total | {inspect(iso).bytes / 1e6:.2f} |" in text


def test_a_version_without_notes_is_refused() -> None:
    with pytest.raises(InputError, match=r"no section of 3\.0\.0"):
        notes.section(CHANGELOG, "3.0.0")
    with pytest.raises(InputError, match="no section"):
        notes.section("## 2.0.0\n\n## 1.9.0\n\ntext\n", "2.0.0")
    with pytest.raises(InputError, match="no section"):
        notes.section("", "2.0.0")
