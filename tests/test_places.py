"""Where output and caches go: from a checkout, from somebody else's checkout, and from an installed wheel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from boinc2docker import places
from boinc2docker.base.obtain import Sources
from boinc2docker.cli.run import default_iso
from boinc2docker.errors import InputError, UsageError
from boinc2docker.fetch.cache import Cache


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory of an installed program, whose cache is beside it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("BOINC2DOCKER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(places, "CHECKOUT", None)
    return tmp_path / "here"


def test_what_the_package_brings_is_there() -> None:
    assert (places.GUEST / "bases.toml").is_file()
    assert (places.APP_TEMPLATE / "app.toml").is_file()


def test_a_checkout_takes_output_into_its_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "CHECKOUT", tmp_path)
    assert places.output() == tmp_path / "build"
    assert places.scratch() == tmp_path / "build" / "scratch"
    assert places.require_checkout("test") == tmp_path


def test_a_checkout_of_somebody_else_is_only_read(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = here.parent / "checkout" / "build"
    build.mkdir(parents=True)
    (build / "boinc2docker-0.iso").touch()
    monkeypatch.setattr(places, "CHECKOUT", build.parent)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert places.output() == here
    assert places.scratch() == here.parent / "cache" / "scratch"
    assert places.built("*.iso") == [build / "boinc2docker-0.iso"]


def test_an_installed_program_writes_here_and_to_the_cache(here: Path) -> None:
    assert places.output() == here
    assert places.scratch() == here.parent / "cache" / "scratch"
    assert Cache.of_user().root == here.parent / "cache"
    with pytest.raises(InputError, match=f"there is no ISO in {here}"):
        default_iso()
    (here / "boinc2docker-0.iso").touch()
    assert default_iso() == here / "boinc2docker-0.iso"
    with pytest.raises(UsageError, match="release works in a checkout of boinc2docker only"):
        places.require_checkout("release")


def test_the_cache_is_the_platforms_unless_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BOINC2DOCKER_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert places.cache() == tmp_path / "boinc2docker"


def test_an_installed_program_keeps_a_renewed_lock_in_the_cache(here: Path) -> None:
    """What lies in site-packages is never written; a build that had to resolve again remembers what it found."""
    debian = Sources().debian()
    shipped = (places.GUEST / "debian" / "packages.lock").read_text()
    assert debian.renewed is not None
    assert debian.renewed.parent == here.parent / "cache" / "guest"
    assert debian.lock_path == places.GUEST / "debian" / "packages.lock"

    debian.renewed.parent.mkdir(parents=True)
    debian.renewed.write_text(shipped.replace(debian.current_lock(locked=True).packages[0].version, "0~renewed"))
    assert debian.current_lock(locked=False).packages[0].version == "0~renewed"
    assert debian.current_lock(locked=True).packages[0].version != "0~renewed"


def test_a_checkout_keeps_a_renewed_lock_itself() -> None:
    assert Sources().debian().renewed is None
