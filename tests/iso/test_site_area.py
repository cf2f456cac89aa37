"""The embed area's content: rendered, read back, and sourced by real shells."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boinc2docker.errors import InputError
from boinc2docker.formats import newc
from boinc2docker.iso import site_area
from boinc2docker.iso.site_area import AREA_BYTES, SETTINGS, Site, SiteFile, parse, render, shell_lines

SHELLS = {"ash": ["busybox", "ash"], "bash": ["bash"], "dash": ["dash"]}
VALUES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60)
NASTY = st.sampled_from(
    ["'", "''", '"', "$HOME", "`id`", "$(id)", "\\", "\\'", "\n", "\n\n", "a\nb='c'\n", "!", "*", "é\u2028", "\r"]
)
PATHS = st.lists(
    st.text("abc.-é ", min_size=1, max_size=5).filter(lambda name: name not in (".", "..")), min_size=2, max_size=4
)


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.dictionaries(st.sampled_from(list(SETTINGS)), st.one_of(VALUES, NASTY, st.lists(NASTY).map("".join))))
def test_what_a_shell_sources_is_the_value(shell: str, values: dict[str, str], tmp_path: Path) -> None:
    if shutil.which(SHELLS[shell][0]) is None:
        pytest.skip(f"{shell} is not on this machine")
    file = tmp_path / "settings"
    file.write_bytes(shell_lines(values).encode())
    keys = sorted(values)
    script = f". {file}\n" + "".join(f"printf '%s\\0' \"${key}\"\n" for key in keys)
    done = subprocess.run(
        [*SHELLS[shell], "-c", script], check=True, capture_output=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    )
    assert done.stderr == b""
    assert done.stdout == b"".join(values[key].encode() + b"\0" for key in keys)


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.sampled_from(list(SETTINGS)), VALUES),
    st.dictionaries(PATHS.map("/".join), st.builds(SiteFile, st.binary(max_size=50), st.booleans()), max_size=1),
    st.dictionaries(st.sampled_from(site_area.HOOKS), st.binary(max_size=50)),
)
def test_what_is_rendered_is_read_back(
    values: dict[str, str], files: dict[str, SiteFile], hooks: dict[str, bytes]
) -> None:
    site = Site(values, files, hooks)
    area = render(site)
    assert len(area) == AREA_BYTES
    assert parse(area) == site
    assert (area == bytes(AREA_BYTES)) == site.empty


def test_the_archive_brings_the_directories_that_nobody_has() -> None:
    site = Site().with_file("/etc/ssl/b2d/ca.crt", SiteFile(b"x")).with_hook("before-job", b"#!/bin/sh\n")
    entries = {entry.name: entry.mode for entry in newc.parse(render(site))[0]}
    root = site_area.ROOT
    assert entries == {
        root: 0o40755,
        f"{root}/files": 0o40755,
        f"{root}/files/etc": 0o40755,
        f"{root}/files/etc/ssl": 0o40755,
        f"{root}/files/etc/ssl/b2d": 0o40755,
        f"{root}/files/etc/ssl/b2d/ca.crt": 0o100644,
        f"{root}/hooks": 0o40755,
        f"{root}/hooks/before-job": 0o100755,
    }
    assert root not in {entry.name for entry in newc.parse(render(site, existing=[root]))[0]}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("UNKNOWN", "x"),
        ("STORE_BUDGET_MB", "many"),
        ("STORE_BUDGET_MB", "-1"),
        ("STORE_BUDGET_MB", "08000"),
        ("HTTP_PROXY", "proxy:3128"),
        ("HTTPS_PROXY", "http://a http://b"),
        ("REGISTRY_MIRROR", "ftp://x"),
        ("NO_PROXY", "a\0b"),
    ],
)
def test_settings_the_guest_cannot_use_are_refused(key: str, value: str) -> None:
    with pytest.raises(InputError, match="known are REGISTRY_MIRROR, HTTP_PROXY" if key == "UNKNOWN" else key):
        Site().with_setting(key, value)


def test_settings_the_guest_can_use() -> None:
    site = Site().with_setting("REGISTRY_MIRROR", "https://a.example http://b.example:5000/x")
    site = site.with_setting("HTTP_PROXY", "http://user:p'w@proxy:3128").with_setting("STORE_BUDGET_MB", "10000")
    assert parse(render(site.with_setting("NO_PROXY", ""))).settings["NO_PROXY"] == ""


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "..",
        "/../etc/passwd",
        "a/../../b",
        "a//b",
        "a/./b",
        "/etc/\n",
        "/proc/x",
        "dev",
        "/opt/boinc2docker/agent",
    ],
)
def test_unsafe_guest_paths_are_refused(path: str) -> None:
    with pytest.raises(InputError):
        Site().with_file(path, SiteFile(b""))


def test_too_much_is_told_with_figures() -> None:
    site = Site().with_file("small", SiteFile(b"x")).with_file("big", SiteFile(bytes(AREA_BYTES)))
    with pytest.raises(InputError, match=rf"take 26\d+ bytes; there is room for {AREA_BYTES}") as caught:
        render(site)
    assert caught.value.hint == f"the largest: big ({AREA_BYTES} bytes), small (1 bytes)"


def test_removing() -> None:
    site = Site().with_setting("NO_PROXY", "x").with_file("/etc/x", SiteFile(b"")).with_hook("after-job", b"")
    assert site.without("NO_PROXY").without("/etc/x").without("after-job").empty
    with pytest.raises(InputError) as caught:
        site.without("HTTP_PROXY")
    assert caught.value.hint == "present: NO_PROXY, /etc/x, after-job"


@pytest.mark.parametrize(
    "area",
    [
        b"x" * AREA_BYTES,
        newc.archive([newc.regular("etc/passwd", b"")]).ljust(AREA_BYTES, b"\0"),
        newc.archive([newc.symlink(f"{site_area.ROOT}/files/x", "/")]).ljust(AREA_BYTES, b"\0"),
        newc.archive([newc.regular(f"{site_area.ROOT}/settings", b"A=$(id)\n")]).ljust(AREA_BYTES, b"\0"),
        newc.archive([]) + b"more".ljust(AREA_BYTES, b"\0"),
    ],
    ids=["rubbish", "foreign", "link", "unquoted", "tail"],
)
def test_an_area_of_others_is_refused(area: bytes) -> None:
    with pytest.raises(InputError, match="damaged"):
        parse(area)


@given(st.binary(max_size=400))
def test_rubbish_never_crashes(data: bytes) -> None:
    if data.strip(b"\0"):
        with pytest.raises(InputError):
            parse(data)
