"""A version from start to end: tree, tarball, installation into a project made as a new user would make it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from pytest_httpserver import HTTPServer

from boinc2docker import iso
from boinc2docker.app import code_key, signing
from boinc2docker.app.package import Options, package_app
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError, VerificationError
from tests.app.conftest import binary, database, refused, snapshot
from tests.conftest import call, needs
from tests.iso import sample_iso

PLATFORMS = ("windows_x86_64", "x86_64-apple-darwin", "x86_64-pc-linux-gnu")


def test_the_tree_holds_what_boinc_publishes_and_nothing_else(options: Options) -> None:
    assert package_app(options) == 0
    root = options.build / "apps" / "boinc2docker" / "1.02"
    assert sorted(path.name for path in root.iterdir()) == [f"{name}__vbox64_mt" for name in PLATFORMS]
    for directory in root.iterdir():
        listed = ET.parse(directory / "version.xml").getroot().findall("file")
        names = {one.findtext("logical_name", "main"): one.findtext("physical_name", "") for one in listed}
        assert set(names) == {"main", "vm_isocontext.iso", "vm_cache.vdi", "shared/heartbeat"}
        assert {*names.values(), "version.xml"} == {path.name for path in directory.iterdir()}
        assert os.access(directory / names["main"], os.X_OK)
        assert not (directory / names["vm_isocontext.iso"]).stat().st_mode & 0o111
        assert [one.find("copy_file") is not None for one in listed] == [False, True, True, True]
        assert (directory / names["shared/heartbeat"]).read_bytes() == b"                    \n"
        assert (directory / names["vm_isocontext.iso"]).read_bytes() == options.iso.read_bytes()


def test_the_tarball_is_reproducible_and_unpacks_to_the_tree(options: Options, tmp_path: Path) -> None:
    package_app(options)
    first = (options.build / "boinc2docker-1.02.tar").read_bytes()
    old = os.umask(0o077)
    try:
        package_app(replace(options, build=tmp_path / "elsewhere"))
    finally:
        os.umask(old)
    assert (tmp_path / "elsewhere" / "boinc2docker-1.02.tar").read_bytes() == first
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xf", options.build / "boinc2docker-1.02.tar", "-C", tmp_path / "out"], check=True)
    unpacked = {name: data for name, data in snapshot(tmp_path / "out").items() if data is not None}
    built = {f"apps/{k}": data for k, data in snapshot(options.build / "apps").items() if data is not None}
    assert unpacked == built


def test_installed_twice_is_installed_once(options: Options, project: Path) -> None:
    run = replace(options, project=project, run=True)
    assert package_app(run) == 0
    once = snapshot(project)
    assert package_app(run) == 0
    assert snapshot(project) == once
    found = database(project)
    assert len(found) == 3
    for one in found:
        assert {"dont_throttle", "needs_network", "is_wrapper"} <= set(one["flags"])  # type: ignore[call-overload]
        assert len(one["files"]) == 4  # type: ignore[arg-type]
        assert all(file["published"] for file in one["files"])  # type: ignore[attr-defined]


def require_usable(project: Path, count: int = 3) -> None:
    """What a client asks of a version: files of the right length that the project's key has signed."""
    key = signing.load_public(project / "keys" / "code_sign_public")
    versions = database(project)
    assert len(versions) == count
    for file in (one for version in versions for one in version["files"]):  # type: ignore[attr-defined]
        data = (project / "download" / file["name"]).read_bytes()
        signature = code_key.parse_hex(file["signature"], file["name"])
        assert len(data) == file["nbytes"], file
        assert signing.signature_holds(hashlib.md5(data).hexdigest(), signature, key), file


def breaks_signing(project: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "bin" / "sign_executable").write_text("#!/none/such\n")


def breaks_copying(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cp = project.parent / "broken" / "cp"
    cp.parent.mkdir()
    cp.write_text(
        '#!/bin/sh\nhead -c 7 "$1" >"$2"\necho "cp: error writing \'$2\': No space left on device" >&2\nexit 1\n'
    )
    cp.chmod(0o755)
    monkeypatch.setenv("PATH", f"{cp.parent}:{os.environ['PATH']}")


@pytest.mark.parametrize("breaks", [breaks_signing, breaks_copying])
def test_a_version_is_usable_though_boincs_signer_or_cp_is_broken(
    options: Options, project: Path, monkeypatch: pytest.MonkeyPatch, breaks: Callable[..., None]
) -> None:
    breaks(project, monkeypatch)
    package_app(replace(options, project=project, run=True))
    require_usable(project)


@pytest.mark.parametrize("breaks", [breaks_signing, breaks_copying])
def test_the_stand_in_adds_what_it_could_not_sign_or_copy(
    options: Options, project: Path, monkeypatch: pytest.MonkeyPatch, breaks: Callable[..., None]
) -> None:
    """As BOINC's does: what the test above relies on."""
    package_app(replace(options, project=project, platform=["windows_x86_64"]))
    for path in (project / "apps").rglob("*.sig"):
        path.unlink()
    breaks(project, monkeypatch)
    subprocess.run([project / "bin/xadd"], cwd=project, check=True, capture_output=True)
    update = [str(project / "bin/update_versions"), "--noconfirm"]
    done = subprocess.run(update, cwd=project, check=True, capture_output=True, text=True)
    assert "App version added successfully" in done.stdout
    assert "not found" in done.stderr or "No space left on device" in done.stderr
    with pytest.raises((AssertionError, InputError), match=r"nbytes|expected lines of hex"):
        require_usable(project, 1)


def test_files_that_are_not_the_versions_afterwards_make_it_fail(
    options: Options, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever tore them: hosts would refuse each. The next run completes them, under the same names."""
    program = project / "bin" / "update_versions"
    intact = program.read_text()
    tears = '    for torn in Path("download").glob("*.iso"):\n        torn.write_bytes(torn.read_bytes()[:9])\n'
    program.write_text(intact.replace('    Path("reread_db").touch()\n', tears))
    assert package_app(replace(options, project=project, run=True)) == 1
    assert capsys.readouterr().out.count("UNUSABLE, though in the database") == 3
    program.write_text(intact)
    assert package_app(replace(options, project=project, run=True)) == 0
    require_usable(project)


def test_a_version_that_was_added_unsigned_is_told(
    options: Options, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By another's hand, earlier. PHP is what asks BOINC's database; the stand-in has none."""
    php = project.parent / "php"
    php.write_text("#!/bin/sh\nprintf 'PHP Notice:  x\\n\\nunsigned windows_x86_64__vbox64_mt\\n'\n")
    php.chmod(0o755)
    monkeypatch.setenv("PATH", f"{php.parent}:{os.environ['PATH']}")
    assert package_app(replace(options, project=project, run=True)) == 1
    told = capsys.readouterr().out
    assert "windows_x86_64__vbox64_mt: UNUSABLE, though in the database (without signatures" in told
    assert told.count("__vbox64_mt: in the database (ID") == 2


@pytest.mark.parametrize("length", [0, 9])
def test_an_interrupted_copy_is_completed(
    options: Options, project: Path, capfd: pytest.CaptureFixture[str], length: int
) -> None:
    package_app(replace(options, project=project, run=True))
    (iso_file,) = (project / "download").glob("*.iso")
    whole = iso_file.read_bytes()
    iso_file.write_bytes(whole[:length])
    left = iso_file.with_name(f".{iso_file.name}.abcdefgh.part")
    left.write_bytes(whole[:5])
    package_app(replace(options, project=project))
    assert f"by hand rm {iso_file}" in capfd.readouterr().err
    assert iso_file.read_bytes() == whole[:length], "without --run nothing is published"
    assert package_app(replace(options, project=project, run=True)) == 0
    assert iso_file.read_bytes() == whole
    assert not left.exists()
    iso_file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert f"damaged: rm {iso_file}" in str(refused(options, project, "other content").hint)


@pytest.mark.parametrize("early", [True, False])
def test_a_download_directory_without_room_is_told_before_boinc_fills_it(
    options: Options, project: Path, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if early:
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    else:  # another fills it meanwhile
        monkeypatch.setattr("shutil.copyfileobj", full)
    refused(options, project, "lacks room: the version has" if early else "the disk is full")


@pytest.mark.parametrize("run", [False, True])
def test_what_is_printed_is_all_that_is_to_be_undone(
    options: Options, project: Path, capsys: pytest.CaptureFixture[str], run: bool
) -> None:
    before = snapshot(project)
    package_app(replace(options, project=project, run=run))
    lines = capsys.readouterr().out.splitlines()
    for line in lines:
        words = line.split()
        if words[0] == "changed":
            backup = Path(words[1]).with_name(words[3].rstrip(")"))
            shutil.copyfile(backup, words[1])
            backup.unlink()
        if words[0] == "created":
            shutil.rmtree(words[1], ignore_errors=True)
            Path(words[1]).unlink(missing_ok=True)
    assert snapshot(project) == before
    assert lines[-2].startswith("next: cd ")
    assert len(lines[-1]) > 10


def test_a_dry_run_shows_everything_and_changes_nothing(
    options: Options, project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(project), snapshot(options.templates)
    assert package_app(replace(options, project=project, dry_run=True)) == 0
    assert (snapshot(project), snapshot(options.templates)) == before
    assert not options.build.exists()
    shown = capfd.readouterr()
    assert "+        <name>boinc2docker</name>" in shown.err
    assert f"would write  {project}/config.xml" in shown.out


def test_foreign_entries_and_comments_stay(options: Options, project: Path) -> None:
    package_app(replace(options, project=project))
    config, apps = (project / "config.xml").read_text(), (project / "project.xml").read_text()
    assert "<!-- nightly -->" in config
    assert "sample_trivial_validator --app uppercase" in config
    assert config.count("boinc2docker") == 10
    assert "Linux, as the operator calls it" in apps
    assert "<!-- our first app -->" in apps
    for file in ("project.xml", "config.xml", "plan_class_spec.xml"):
        ET.parse(project / file)


def test_apps_live_side_by_side(options: Options, project: Path) -> None:
    package_app(replace(options, project=project, run=True))
    other = replace(options, project=project, run=True, version="1.00", settings={"name": "second", "title": "Second"})
    assert package_app(other) == 0
    assert {one["key"][0] for one in database(project)} == {"boinc2docker", "second"}  # type: ignore[index]
    config = (project / "config.xml").read_text()
    assert "script_assimilator --app second --script second_assimilator" in config
    assert (project / "plan_class_spec.xml").read_text().count("<name>vbox64_mt</name>") == 1
    assert f"--settings {project}/second.toml " in (project / "bin/second_assimilator").read_text()
    assert (project / "boinc2docker.toml").is_file()


def test_another_version_with_other_content_only(options: Options, project: Path) -> None:
    package_app(replace(options, project=project, run=True))
    changed = replace(options, project=project, run=True, settings={"disk_mb": "4096"})
    with pytest.raises(InputError, match="other content") as caught:
        package_app(changed)
    assert "1.03" in str(caught.value.hint)
    assert package_app(replace(changed, version="1.03")) == 0
    assert len(database(project)) == 6


def test_the_project_comes_from_the_environment(
    options: Options, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROJHOME", str(project))
    package_app(options)
    assert (project / "apps" / "boinc2docker" / "1.02").is_dir()


def test_plan_classes_of_other_apps_are_not_switched_off(
    options: Options, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (project / "apps/uppercase/1.00/x86_64-pc-linux-gnu__mt").mkdir(parents=True)
    package_app(replace(options, project=project))
    assert not (project / "plan_class_spec.xml").exists()
    assert "built-in plan classes" in capfd.readouterr().err


def test_a_directory_that_an_interrupted_copy_left_is_no_other_app(options: Options, project: Path) -> None:
    (project / "apps/boinc2docker/1.02/.x86_64-pc-linux-gnu__vbox64_mt.abcdefgh.part").mkdir(parents=True)
    (project / "apps/.old/1.00/windows_x86_64__mt").mkdir(parents=True)
    package_app(replace(options, project=project))
    assert "<name>vbox64_mt</name>" in (project / "plan_class_spec.xml").read_text()


def test_what_is_no_iso_is_refused_and_what_is_not_ours_warned_of(
    options: Options, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    package_app(options)
    assert "was not made by build-iso" in capfd.readouterr().err
    (tmp_path / "no.iso").write_bytes(b"no" * 40000)
    with pytest.raises(InputError, match=r"no\.iso"):
        package_app(replace(options, iso=tmp_path / "no.iso", version="1.05"))


def test_the_store_budget_goes_into_a_copy_of_our_iso(options: Options, tmp_path: Path) -> None:
    overlay = sample_iso.sample_overlay(tmp_path / "overlay")
    base = iso.BaseIdentity("sample", Digest.of_file(options.iso))
    ours = tmp_path / "ours.iso"
    iso.remaster(options.iso, ours, base=base, version="2.0.0", epoch=1_600_000_000, overlay=overlay)
    before = ours.read_bytes()
    package_app(replace(options, iso=ours))
    package_app(replace(options, iso=ours, version="1.03", settings={"store_budget_mb": "5000"}))
    assert ours.read_bytes() == before
    found = {}
    for version in ("1.02", "1.03"):
        folder = options.build / "apps" / "boinc2docker" / version / "windows_x86_64__vbox64_mt"
        (found[version],) = folder.glob("boinc2docker_2.0.0_*.iso")
        assert Digest.of_file(found[version]).hex[:16] in found[version].name
    assert found["1.02"].read_bytes() == before, "the default budget leaves the released bytes"
    site = iso.show(found["1.03"]).site
    assert dict(site.settings) == {"STORE_BUDGET_MB": "5000"}
    at = before.index(sample_iso.KERNEL[:1024])
    ours.write_bytes(before[:at] + b"damage" + before[at + 6 :])
    with pytest.raises(InputError, match="damaged"):
        package_app(replace(options, iso=ours, version="1.04"))


def test_every_file_that_is_written_is_clean_xml(options: Options, project: Path) -> None:
    needs("xmllint")
    package_app(replace(options, project=project))
    files = [*project.glob("*.xml"), *(project / "templates").iterdir(), *(project / "apps").rglob("version.xml")]
    files.remove(project / "templates" / "boinc2docker_installed.json")
    assert len(files) == 9
    subprocess.run(["xmllint", "--noout", *map(str, files)], check=True, capture_output=True)


def test_the_stand_ins_are_as_unforgiving_as_boinc(options: Options, project: Path) -> None:
    package_app(replace(options, project=project))
    update = [str(project / "bin" / "update_versions"), "--noconfirm"]

    def said() -> str:
        done = subprocess.run(update, cwd=project, capture_output=True, text=True, check=True)
        return done.stdout

    assert said() == "app not found: boinc2docker\n", "xadd comes first"
    subprocess.run([str(project / "bin" / "xadd")], cwd=project, check=True, capture_output=True)
    folder = project / "apps" / "boinc2docker" / "1.02" / "windows_x86_64__vbox64_mt"
    (folder / "leftover.log").write_text("published by accident")
    assert said().count("added successfully") == 3
    assert (project / "download" / "leftover.log").is_file()
    (project / "apps" / "stray").mkdir()
    assert said() == "app not found: stray\n"


def test_the_commands_sign_and_verify(options: Options, tmp_path: Path) -> None:
    package_app(options)
    key = generate_private_key(65537, 1024)
    (tmp_path / "private").write_text(code_key.render_private(key))
    (tmp_path / "public").write_text(code_key.render_public(key.public_key()))
    folder = options.build / "apps" / "boinc2docker" / "1.02"
    assert call("verify-app", folder, "--key", tmp_path / "public").returncode == 1
    signed = call("sign-app", folder, "--key", tmp_path / "private", "--json")
    assert len(json.loads(signed.stdout)["signatures"]) == 12
    assert call("verify-app", folder, "--key", tmp_path / "public").returncode == 0
    assert call("sign-app", folder).returncode == 2
    wrong = call("package-app", "--version", "1.02", "--max-cpus", "0", "--validator-method", "exact")
    assert wrong.returncode == 2
    assert "--max-cpus: expected 1" in wrong.stderr
    assert "--validator-method: expected bitwise" in wrong.stderr


def test_new_digests_are_pinned_and_required(options: Options, httpserver: HTTPServer) -> None:
    file = "vboxwrapper_26212_x86_64-pc-linux-gnu"
    roots = f'roots = ["{httpserver.url_for("/dl/{file}")}"]\n'
    text = (options.templates / "wrappers.toml").read_text()
    start, end = text.index("roots = ["), text.index("]\n", text.index("roots = [")) + 2
    (options.templates / "wrappers.toml").write_text(text[:start] + roots + text[end:])
    httpserver.expect_ordered_request(f"/dl/{file}").respond_with_data(binary("elf"))
    wanted = replace(options, wrapper=None, platform=["x86_64-pc-linux-gnu"], download_only=True)
    pins = options.templates / "wrapper-pins.toml"
    package_app(replace(wanted, dry_run=True))
    assert not pins.exists(), "a dry run pins nothing"
    httpserver.expect_ordered_request(f"/dl/{file}").respond_with_data(binary("elf"))
    package_app(wanted)
    assert Digest.of(binary("elf")).hex in pins.read_text()
    assert package_app(replace(wanted, download_only=False, offline=True)) == 0
    shutil.rmtree(os.environ["BOINC2DOCKER_CACHE"])
    httpserver.expect_ordered_request(f"/dl/{file}").respond_with_data(binary("elf", b"another"))
    with pytest.raises(VerificationError, match="expected sha256"):
        package_app(wanted)
