"""What a user can get wrong: one clear line, the exit code, and nothing half-installed."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from boinc2docker.app import code_key, signing
from boinc2docker.app.package import Options, package_app
from boinc2docker.cli.program import run_guarded
from tests.app.conftest import binary, make_project, snapshot

LINUX = "vboxwrapper_26210_x86_64-pc-linux-gnu"
Change = Callable[[Options, Path], Options | None]
"""Makes something wrong with the command line (which it returns then), or with what lies in the project."""


def writes(name: str, text: str | bytes, mode: int = 0o644) -> Change:
    def change(_options: Options, project: Path) -> None:
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)

    return change


def removes(name: str) -> Change:
    return lambda _options, project: (project / name).unlink()


def closes(name: str) -> Change:
    return lambda _options, project: (project / name).chmod(0o444)


def says(**changes: object) -> Change:
    return lambda options, _project: replace(options, **changes)  # type: ignore[arg-type]


def sets(**settings: str) -> Change:
    return lambda options, _project: replace(options, settings=settings)


def wrapper_file(data: bytes, name: str = LINUX) -> Change:
    def change(options: Options, _project: Path) -> None:
        folder = Path(str(options.wrapper))
        (folder / LINUX).unlink()
        (folder / name).write_bytes(data)

    return change


def zip_without_the_binary(options: Options, _project: Path) -> None:
    folder = Path(str(options.wrapper))
    (folder / LINUX).unlink()
    with zipfile.ZipFile(folder / f"{LINUX}.zip", "w") as archive:
        archive.writestr("README", "nothing else")


def at(name: str) -> Change:
    return lambda options, project: replace(options, project=make_project(project.with_name(name)))


def iso_file(data: bytes) -> Change:
    def change(options: Options, project: Path) -> Options:
        path = project.with_name("given.iso")
        path.write_bytes(data)
        return replace(options, iso=path)

    return change


def signed_by_another(options: Options, project: Path) -> None:
    package_app(replace(options, project=None, run=False))
    signing.sign_directory(options.build / "apps", generate_private_key(65537, 1024))


def key_of_another_project(_options: Options, project: Path) -> None:
    key = generate_private_key(65537, 1024)
    (project / "keys/code_sign_private").write_text(code_key.render_private(key))


PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIC\n-----END RSA PRIVATE KEY-----\n"
OTHERS = "<boinc><config><download_dir>/x</download_dir></config></boinc>"
QUOTE = "<boinc><app><name>x</name><user_friendly_name>it's</user_friendly_name></app></boinc>"

TABLE: dict[str, tuple[Change, int, str]] = {
    "version without a dot": (says(version="1"), 2, "expected a version such as 1.02"),
    "version of three parts": (says(version="1.2.3"), 2, "expected a version such as 1.02"),
    "version of letters": (says(version="abc"), 2, "expected a version such as 1.02"),
    "version below zero": (says(version="-1.0"), 2, "expected a version such as 1.02"),
    "name with a blank": (sets(name="two words"), 2, "--name: expected at most 50 letters"),
    "name with a quote": (sets(name="bob's"), 2, "--name: expected at most 50 letters"),
    "name in the shell": (sets(name="a;id"), 2, "--name: expected at most 50 letters"),
    "name that results reserve": (sets(name="failed"), 1, "expected the app's name"),
    "unknown platform": (says(platform=["amiga"]), 2, "no vboxwrapper is known for 'amiga'"),
    "unknown part": (says(dont_install=["everything"]), 2, "expected one of template_in"),
    "run without a project": (says(project=None), 2, "need --project DIR"),
    "no such ISO": (says(iso=Path("none.iso")), 1, "none.iso"),
    "an ISO that is none": (iso_file(b"no" * 40000), 1, "given.iso"),
    "an empty ISO": (iso_file(b""), 1, "given.iso"),
    "no such project": (says(project=Path("nowhere")), 1, "nowhere is not a directory"),
    "a directory that is no project": (removes("config.xml"), 1, "is not a BOINC project: it has no config.xml"),
    "a config.xml of something else": (writes("config.xml", OTHERS), 1, "lacks download_url, db_name"),
    "malformed config.xml": (writes("config.xml", "<boinc><config>"), 1, "config.xml, line 1"),
    "malformed project.xml": (writes("project.xml", "<boinc>\n<app>\n</boinc>"), 1, "project.xml, line 3"),
    "malformed plan classes": (writes("plan_class_spec.xml", "<plan_classes><plan_class>"), 1, "plan_class_spec.xml"),
    "project.xml with entities": (writes("project.xml", "<!DOCTYPE boinc []><boinc/>"), 1, "document type"),
    "read-only config.xml": (closes("config.xml"), 1, "config.xml: it is read-only"),
    "read-only project.xml": (closes("project.xml"), 1, "project.xml: it is read-only"),
    "a directory in the place of a file": (writes("templates/boinc2docker_in/x", ""), 1, "boinc2docker_in"),
    "a stray directory": (writes("apps/old stuff/x", ""), 1, "old stuff is no app of project.xml"),
    "a stray file": (writes("apps/notes.txt", "x"), 1, "notes.txt is no app of project.xml"),
    "a name published with other content": (writes(f"download/{LINUX}", b"other"), 1, "file names are immutable"),
    "a zip without the binary": (zip_without_the_binary, 1, f"expected {LINUX} in it, found README"),
    "a wrong platform's binary": (wrapper_file(binary("pe")), 1, "found a Windows program"),
    "a web page as the binary": (wrapper_file(b"<!DOCTYPE html>"), 1, "found a web page"),
    "no binary for a platform": (wrapper_file(b"", "other"), 1, "vboxwrapper_NNNNN_x86_64-pc-linux-gnu"),
    "a path with a blank": (at("my project"), 1, "put paths unquoted into shell commands"),
    "a path with a quote": (at("bob's"), 1, "put paths unquoted into shell commands"),
    "a path with a dollar": (at("a$b"), 1, "put paths unquoted into shell commands"),
    "no key and no signature": (removes("keys/code_sign_private"), 1, "sign the files first"),
    "a key of another form": (writes("keys/code_sign_private", PEM, 0o600), 1, "found a PEM file"),
    "a key of another project": (key_of_another_project, 1, "does not belong to code_sign_public"),
    "a server without the signer": (removes("bin/sign_executable"), 1, "sign_executable is missing or not executable"),
    "a server that may not sign": (closes("bin/sign_executable"), 1, "sign_executable is missing or not executable"),
    "signatures of another key": (signed_by_another, 1, "does not fit"),
    "a server without xadd": (removes("bin/xadd"), 1, "bin/xadd is not there"),
    "a server that may not run update_versions": (closes("bin/update_versions"), 1, "chmod +x"),
    "xadd that chokes on another's title": (writes("project.xml", QUOTE), 1, "xadd did not add the app boinc2docker"),
    "xadd that cannot be run": (writes("bin/xadd", "#!/none/such\n", 0o755), 1, "bin/xadd"),
    "update_versions that breaks": (
        writes("bin/update_versions", "#!/bin/sh\necho 'PHP Fatal error: x'\nexit 255\n", 0o755),
        1,
        "added no version, the installation was taken back",
    ),
}


@pytest.mark.parametrize("what", TABLE)
def test_bad_input(what: str, options: Options, project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    change, code, expected = TABLE[what]
    given = replace(options, project=project, run=True)
    given = change(given, project) or given
    if given.project and not given.project.is_dir():
        shutil.rmtree(project)
    roots = [path for path in (project, given.project) if path and path.is_dir()]
    before = [snapshot(root) for root in roots]
    capfd.readouterr()
    assert run_guarded(lambda: package_app(given)) == code
    said = capfd.readouterr().err
    told = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(told) == 1, said
    error = said[said.index(told[0]) :]
    assert expected in error
    assert "Traceback" not in said
    assert [snapshot(root) for root in roots] == before, "something was left in the project"


def test_a_key_that_others_may_read_is_warned_of(
    options: Options, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (project / "keys/code_sign_private").chmod(0o644)
    assert package_app(replace(options, project=project, run=True)) == 0
    assert "chmod 600" in capfd.readouterr().err
