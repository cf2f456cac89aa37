"""What the tests of packaging share: a project as make_project leaves it, small wrappers, an ISO."""

from __future__ import annotations

import shutil
import struct
import sys
from pathlib import Path

import pytest

from builder import PROJECT_ROOT
from builder.app.package import Options
from builder.results.check import check_settings
from tests.iso import sample_iso

CONFIG = """\
<?xml version="1.0" ?>
<boinc>
  <config>
    <!-- written by make_project -->
    <download_dir>{root}/download</download_dir>
    <download_url>http://127.0.0.1/sample/download</download_url>
    <key_dir>{root}/keys</key_dir>
    <uldl_dir_fanout>1024</uldl_dir_fanout>
  </config>
  <daemons>
    <daemon>
      <cmd>feeder -d 3 </cmd>
    </daemon>
    <daemon>
      <cmd>sample_trivial_validator --app uppercase</cmd>
    </daemon>
  </daemons>
  <tasks>
    <task>
      <cmd>update_stats</cmd> <!-- nightly -->
      <period>1 days</period>
    </task>
  </tasks>
</boinc>
"""

PROJECT = """\
<boinc>
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


def make_project(root: Path) -> Path:
    """The documented layout, with stand-ins for the programs that packaging calls."""
    for name in ("apps", "bin", "download", "keys", "templates", "html/inc", "upload"):
        (root / name).mkdir(parents=True)
    (root / "config.xml").write_text(CONFIG.format(root=root))
    (root / "project.xml").write_text(PROJECT)
    (root / "keys" / "code_sign_private").write_text("a key\n")
    text = Path(__file__).with_name("boinc_programs.py").read_text()
    for name in ("xadd", "update_versions"):
        program = root / "bin" / name
        program.write_text(f"#!{sys.executable}\n{text}")
        program.chmod(0o755)
    return root


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
