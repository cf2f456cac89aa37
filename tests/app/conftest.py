"""What the tests of packaging share: a project as make_project leaves it, small wrappers, an ISO."""

from __future__ import annotations

import json
import shutil
import struct
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from boinc2docker.app import code_key, distributions, environment
from boinc2docker.app.package import Options, package_app
from boinc2docker.errors import BuilderError
from boinc2docker.results.settings_check import check_settings
from tests.equipment.checkout import PROJECT_ROOT
from tests.equipment.light_python import light_contents
from tests.iso import sample_iso

INSTALL = """\
import sys
from pathlib import Path
from boinc2docker.app.package import Options, package_app
from boinc2docker.results.settings_check import check_settings

project, iso, wrappers, build = map(Path, sys.argv[1:])
sys.exit(package_app(Options("1.02", iso, check_settings, wrapper=str(wrappers), project=project, build=build)))
"""
"""What ``package-app`` does with these paths, without the command line."""

CONFIG = """\
<?xml version="1.0" ?>
<boinc>
    <config>
        <!-- as a new project has them, and what its operator wrote -->
        <long_name>Sample &amp; Co</long_name>
        <db_user>boincadm</db_user>
        <db_name>sample</db_name>
        <db_passwd></db_passwd>
        <db_host>localhost</db_host>
        <shmem_key>0x1111bc4a</shmem_key>
        <uldl_dir_fanout>1024</uldl_dir_fanout>
        <max_wus_to_send>50</max_wus_to_send>
        <daily_result_quota>500</daily_result_quota>
        <cache_md5_info/>
        <one_result_per_user_per_wu>0</one_result_per_user_per_wu>
        <dont_generate_upload_certificates>1</dont_generate_upload_certificates>
        <ignore_upload_certificates>1</ignore_upload_certificates>
        <master_url>http://127.0.0.1/sample/</master_url>
        <download_url>http://127.0.0.1/sample/download</download_url>
        <upload_url>http://127.0.0.1/sample_cgi/file_upload_handler</upload_url>
        <download_dir>{root}/download</download_dir>
        <upload_dir>{root}/upload</upload_dir>
        <key_dir>{root}/keys/</key_dir>
        <app_dir>{root}/apps</app_dir>
        <log_dir>{root}/log_localhost</log_dir>
    </config>
    <tasks>
        <task>
            <period>24 hours</period>
            <output>update_stats.out</output>
            <cmd>update_stats</cmd> <!-- nightly -->
            <disabled>0</disabled>
        </task>
        <task>
            <period>1 hour</period>
            <output>own.out</output>
            <cmd>run_in_ops ./own.php --since "1 day" &gt; /dev/null</cmd>
            <use_shell/>
        </task>
    </tasks>
    <daemons>
        <daemon>
            <cmd>feeder -d 3 </cmd>
        </daemon>
        <daemon>
            <cmd>transitioner -d 3 </cmd>
        </daemon>
        <daemon>
            <cmd>sample_trivial_validator --app uppercase</cmd>
            <disabled>1</disabled>
        </daemon>
        <!-- <daemon><cmd>script_assimilator -app boinc2docker -script "old files"</cmd></daemon> -->
    </daemons>
</boinc>
"""

PROJECT = """\
<boinc>
    <platform>
        <name>windows_intelx86</name>
        <user_friendly_name>Windows, 32 bits</user_friendly_name>
    </platform>
    <platform>
        <name>x86_64-pc-linux-gnu</name>
        <user_friendly_name>Linux, as the operator calls it</user_friendly_name>
    </platform>
    <!-- our first app -->
    <app>
        <name>uppercase</name>
        <user_friendly_name>upperCASE</user_friendly_name>
    </app>
</boinc>
"""


def binary(kind: str, body: bytes = b"wrapper") -> bytes:
    """The smallest thing that looks like a program of this kind."""
    if kind == "elf":
        return b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, 62) + body
    if kind == "pe":
        return b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + struct.pack("<H", 0x8664) + body
    parts = b"".join(struct.pack(">5I", cpu, 3, 0, 0, 0) for cpu in (0x0100000C, 0x01000007))
    return b"\xca\xfe\xba\xbe" + struct.pack(">I", 2) + parts + body


WRAPPERS = {
    "vboxwrapper_26210_x86_64-pc-linux-gnu": "elf",
    "vboxwrapper_26210_windows_x86_64.exe": "pe",
    "vboxwrapper_26210_x86_64-apple-darwin": "macho",
}


@cache
def signing_key() -> RSAPrivateKey:
    """The project's own key, as BOINC makes them."""
    return generate_private_key(65537, 1024)


def make_project(root: Path) -> Path:
    """The documented layout, with stand-ins for the programs that packaging calls."""
    for name in ("apps", "bin", "cgi-bin", "download", "keys", "log_localhost", "templates", "html/inc", "upload"):
        (root / name).mkdir(parents=True)
    (root / "config.xml").write_text(CONFIG.format(root=root))
    (root / "project.xml").write_text(PROJECT)
    key = signing_key()
    (root / "keys" / "code_sign_private").write_text(code_key.render_private(key))
    (root / "keys" / "code_sign_private").chmod(0o600)
    (root / "keys" / "code_sign_public").write_text(code_key.render_public(key.public_key()))
    (root / "bin" / "sign_executable").write_text("#!/bin/sh\necho signed by sign_executable\n")
    (root / "bin" / "sign_executable").chmod(0o755)
    text = Path(__file__).with_name("boinc_programs.py").read_text()
    for name in ("xadd", "update_versions"):
        program = root / "bin" / name
        program.write_text(f"#!{sys.executable}\n{text}")
        program.chmod(0o755)
    return root


def snapshot(root: Path) -> dict[str, bytes | None]:
    """Every path below ``root`` with its bytes and mode, but for the stand-ins' database."""
    return {
        f"{path.relative_to(root)} {path.stat().st_mode:o}": path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
        if path.name not in ("db.json", "reread_db")
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")


@pytest.fixture
def wrappers(tmp_path: Path) -> Path:
    """A directory with a wrapper for every platform."""
    directory = tmp_path / "wrappers"
    directory.mkdir()
    for name, kind in WRAPPERS.items():
        (directory / name).write_bytes(binary(kind))
    return directory


@pytest.fixture(scope="session")
def foreign_iso(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bootable ISO that is not ours."""
    if sample_iso.XORRISO is None or not sample_iso.ISOLINUX.exists():
        pytest.skip("needs the packages xorriso, isolinux and syslinux-common")
    return sample_iso.build(sample_iso.new_layout(), tmp_path_factory.mktemp("iso") / "base.iso")


@pytest.fixture
def options(tmp_path: Path, wrappers: Path, foreign_iso: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    """A command line that needs no network, building in a temporary directory."""
    for variable in ("PROJHOME", "BOINC_PROJECT_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("BOINC2DOCKER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(distributions, "contents", light_contents)
    monkeypatch.setattr(environment, "_TRIAL", "pass")
    monkeypatch.setattr(environment, "home_of", lambda _: None)  # wherever this Python lies
    templates = tmp_path / "app_template"
    shutil.copytree(PROJECT_ROOT / "app_template", templates)
    return Options(
        version="1.02",
        iso=foreign_iso,
        check_results=check_settings,
        wrapper=str(wrappers),
        build=tmp_path / "build",
        templates=templates,
    )


def database(project: Path) -> list[dict[str, object]]:
    return list(json.loads((project / "db.json").read_text())["versions"])


def refused(options: Options, project: Path, expected: str) -> BuilderError:
    """The error of an installation that must leave no trace in the project."""
    before = snapshot(project)
    with pytest.raises(BuilderError, match=expected) as caught:
        package_app(replace(options, project=project, run=True))
    assert snapshot(project) == before
    return caught.value
