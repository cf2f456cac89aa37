"""Which entries of a project are package-app's own, and what an upgrade does to them and to all others."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from boinc2docker.app.changes import masked
from boinc2docker.app.installed import Installed, file_name
from boinc2docker.app.merge import Entry
from boinc2docker.app.package import Options, package_app
from boinc2docker.errors import InputError
from tests.app.conftest import snapshot

CLASSES = "plan_class_spec.xml"


def max_threads(project: Path) -> list[str]:
    return [one.findtext("max_threads", "") for one in ET.parse(project / CLASSES).getroot()]


def upgrade(options: Options, project: Path, version: str, **settings: str) -> None:
    package_app(replace(options, project=project, version=version, settings=settings))


def test_changed_settings_of_the_plan_class_arrive(
    options: Options, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    upgrade(options, project, "1.02")
    capfd.readouterr()
    upgrade(options, project, "1.03", max_cpus="2", title="Another")
    assert max_threads(project) == ["2"]
    said = capfd.readouterr().err
    assert "plan_class_spec.xml: plan_class vbox64_mt is updated: max_threads: 4 -> 2\n" in said
    assert "user_friendly_name: Docker containers in a virtual machine -> Another\n" in said
    assert "daemon" not in said, "what stays and is equal is not told"
    upgrade(options, project, "1.04", max_cpus="8", title="Another")
    assert max_threads(project) == ["8"]
    capfd.readouterr()
    once = snapshot(project)
    upgrade(options, project, "1.04", max_cpus="8", title="Another")
    assert snapshot(project) == once


def test_an_edited_plan_class_is_the_operators(
    options: Options, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    upgrade(options, project, "1.02")
    path = project / CLASSES
    ours = path.read_text()
    path.write_text(ours.replace("<max_threads>4<", "<max_threads>3<"))
    edited = path.read_bytes()
    for version in ("1.03", "1.04"):
        upgrade(options, project, version, max_cpus="2")
        assert path.read_bytes() == edited
        assert "this version has max_threads: 3 -> 2" in capfd.readouterr().err
    path.write_text(ours)
    upgrade(options, project, "1.05", max_cpus="2")
    assert max_threads(project) == ["2"], "who undoes the edit has our entry again"


def test_an_old_installation_with_the_usual_settings_is_known(options: Options, project: Path) -> None:
    upgrade(options, project, "1.02")
    (project / file_name("boinc2docker")).unlink()
    upgrade(options, project, "1.03", max_cpus="2")
    assert max_threads(project) == ["2"]
    assert json.loads((project / file_name("boinc2docker")).read_text())["entries"]


def test_an_old_installation_with_settings_of_its_own_is_told(
    options: Options, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nobody knows whether an operator wrote them."""
    upgrade(options, project, "1.02", max_cpus="3")
    (project / file_name("boinc2docker")).unlink()
    upgrade(options, project, "1.03", max_cpus="2")
    assert max_threads(project) == ["3"]
    assert "max_threads: 3 -> 2" in capfd.readouterr().err
    upgrade(options, project, "1.04", max_cpus="3")
    assert max_threads(project) == ["3"]


def test_a_class_that_another_app_wrote_is_not_ours(
    options: Options, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    upgrade(options, project, "1.02")
    upgrade(options, project, "1.00", name="second", max_cpus="2")
    assert max_threads(project) == ["4"]
    upgrade(options, project, "1.01", name="second", max_cpus="2")
    assert max_threads(project) == ["4"]
    capfd.readouterr()
    upgrade(options, project, "1.03", max_cpus="8")
    assert max_threads(project) == ["8"]
    assert "the plan class vbox64_mt changes for second too" in capfd.readouterr().err


def test_a_note_that_cannot_be_read_is_refused(options: Options, project: Path) -> None:
    note = project / file_name("boinc2docker")
    for text in ("", "{", "[]", '{"entries": []}', '{"entries": {"a": 1}}', "\xff"):
        note.write_text(text, encoding="latin-1")
        with pytest.raises(InputError, match=r"boinc2docker_installed\.json is not the note"):
            package_app(replace(options, project=project))


def test_without_a_note_an_entry_of_others_is_not_ours() -> None:
    entry = Entry("plan_class", "x", "<plan_class><name>x</name></plan_class>")
    assert Installed("a").owns(entry, entry.canonical)
    assert not Installed("a", shared=["plan_class x"]).owns(entry, entry.canonical)
    assert not Installed("a", {}).owns(entry, entry.canonical)
    assert Installed("a").with_entries([]) is None


def test_passwords_are_in_no_diff(options: Options, project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = project / "config.xml"
    text = config.read_text()
    start, end = text.index("    <tasks>"), text.index("</boinc>")
    keys = "<recaptcha_private_key>\n  k3y\n</recaptcha_private_key>"
    text = text[:start] + text[end:]
    text = text.replace("<db_passwd></db_passwd>", "").replace(
        "    </config>", f"{keys}<db_passwd>pa&amp;ss</db_passwd></config>"
    )
    config.write_text(text.replace("<!-- as", "<!-- <replica_db_passwd>0ld</replica_db_passwd> as"))
    package_app(replace(options, project=project))
    shown = "".join(capfd.readouterr())
    assert "<db_passwd>(hidden)</db_passwd>" in shown
    for secret in ("k3y", "pa&amp;ss", "0ld"):
        assert secret in config.read_text()
        assert secret not in shown


def test_masking_keeps_lines_and_what_is_no_secret() -> None:
    text = "<min_passwd_length>6</min_passwd_length>\n<db_passwd>\nx\ny\n</db_passwd>\n<db_name>n</db_name>"
    assert masked(text) == text.replace("x\ny", "(hidden)\n(hidden)")
    assert masked("<db_passwd></db_passwd>") == "<db_passwd></db_passwd>"
