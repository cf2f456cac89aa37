"""A project's own files and settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.machine import Machine
from tests.guest.scripts import HOME


@pytest.fixture
def machine(make: Callable[[str], Machine], world: str) -> Machine:
    made = make(world)
    home = made.root / "home"
    home.mkdir()
    for path in HOME.iterdir():
        (home / path.name).symlink_to(path)
    (home / "site" / "files").mkdir(parents=True)
    made.environment["B2D_HOME"] = str(home)
    return made


def early(machine: Machine) -> str:
    machine.sh('sh "$B2D_HOME/early"')
    return machine.log()


def put(machine: Machine, path: str, text: str, mode: int = 0o644) -> None:
    target = machine.root / "home" / "site" / "files" / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(mode)


def test_files_are_copied_and_directories_keep_their_modes(machine: Machine) -> None:
    root = machine.root / "root"
    (root / "etc").mkdir()
    (root / "etc").chmod(0o711)
    put(machine, "etc/motd", "hello", 0o600)
    put(machine, "usr/local/bin/a tool", "x", 0o755)
    (machine.root / "home" / "site" / "files" / "etc").chmod(0o777)
    assert "site files copied" in early(machine)
    assert (root / "etc" / "motd").read_text() == "hello"
    assert (root / "etc" / "motd").stat().st_mode & 0o777 == 0o600
    assert (root / "usr" / "local" / "bin" / "a tool").stat().st_mode & 0o777 == 0o755
    assert (root / "etc").stat().st_mode & 0o777 == 0o711


def test_certificates_join_the_bundle_once(machine: Machine) -> None:
    bundle = machine.root / "root" / "etc" / "ssl" / "certs" / "ca-certificates.crt"
    bundle.parent.mkdir(parents=True)
    bundle.write_text("BASE\n")
    put(machine, "etc/ssl/b2d/a.crt", "A")
    put(machine, "etc/ssl/b2d/b.pem", "B\n")
    put(machine, "etc/ssl/b2d/README", "no")
    early(machine)
    (machine.run_dir / "early-done").unlink()
    early(machine)
    assert bundle.read_text().split() == ["BASE", "A", "B"]


def test_the_engine_gets_proxies_and_mirrors(machine: Machine) -> None:
    settings = (
        "HTTP_PROXY='http://p:3128'\nNO_PROXY='it'\\''s'\nREGISTRY_MIRROR='https://m.example/\"x http://n'\nOTHER='y'\n"
    )
    (machine.root / "home" / "site" / "settings").write_text(settings)
    early(machine)
    environment = machine.run_dir / "docker.env"
    shown = machine.sh('. "$1"; printf "%s|%s|%s" "$HTTP_PROXY" "$NO_PROXY" "${HTTPS_PROXY-unset}"', str(environment))
    assert shown == b"http://p:3128|it's|unset"
    daemon = json.loads((machine.root / "root" / "etc" / "docker" / "daemon.json").read_text())
    assert daemon == {"registry-mirrors": ['https://m.example/"x', "http://n"]}


def test_a_boot2docker_gets_its_profile_and_a_new_start(machine: Machine) -> None:
    root = machine.root / "root"
    for folder in ("etc/init.d", "var/lib/boot2docker", "var/run"):
        (root / folder).mkdir(parents=True)
    script = root / "etc" / "init.d" / "docker"
    script.write_text(f'#!/bin/sh\necho "$1" >>"{machine.stub}/restarts"\n')
    script.chmod(0o755)
    (root / "var" / "run" / "docker.pid").write_text("3\n")
    (machine.root / "home" / "site" / "settings").write_text("HTTPS_PROXY='http://p:3128'\n")
    early(machine)
    (machine.run_dir / "early-done").unlink()
    early(machine)
    profile: Path = root / "var" / "lib" / "boot2docker" / "profile"
    assert profile.read_text() == "export HTTPS_PROXY='http://p:3128' # boinc2docker\n"
    assert (machine.stub / "restarts").read_text() == "restart\n"


def test_settings_no_shell_can_read_are_ignored(machine: Machine) -> None:
    (machine.root / "home" / "site" / "settings").write_text("HTTP_PROXY='http://p\n")
    assert "ignored" in early(machine)
    assert (machine.run_dir / "docker.env").read_text() == ""
