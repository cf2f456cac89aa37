"""Which mirrors are asked: apt's sources in both forms, choices, and hosts that are not Debian."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from boinc2docker.base.mirrors import ARCHIVE, SECURITY, Source, choose, classify, parse
from boinc2docker.errors import InputError

PUBLIC = {ARCHIVE: ["https://public.example.org/debian/"], SECURITY: ["https://public.example.org/debian-security"]}

ONE_LINE = """\
# deb http://comment.example.org/debian trixie main
deb [ arch=amd64 signed-by=/usr/share/keyrings/x.gpg ] http://a.example.org/debian/ bookworm main contrib # here
deb-src http://src.example.org/debian bookworm main
deb http://a.example.org/debian bookworm-updates main
deb http://s.example.org/debian-security bookworm-security main
deb https://packages.example.org/apt tool-bookworm main
deb cdrom:[Debian]/ bookworm main
deb broken
"""

STANZAS = """\
Types: deb deb-src
# a comment inside
URIs: http://a.example.org/debian
 https://b.example.org/debian/
Suites: trixie trixie-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 URIs: http://evil.example.org/debian
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://off.example.org/debian
Suites: trixie
Enabled: no

Types: deb-src
URIs: http://src.example.org/debian
Suites: trixie

types: deb
uris: http://s.example.org/debian-security
suites: trixie-security
"""

UBUNTU = """\
Types: deb
URIs: http://archive.example.com/ubuntu/
Suites: noble noble-updates noble-backports
Components: main universe

Types: deb
URIs: http://security.example.com/ubuntu/
Suites: noble-security
"""


def test_one_line_style() -> None:
    found = classify(parse(ONE_LINE, ".list"))
    assert found == {ARCHIVE: ["http://a.example.org/debian"], SECURITY: ["http://s.example.org/debian-security"]}


def test_stanza_style() -> None:
    found = classify(parse(STANZAS, ".sources"))
    assert found[ARCHIVE] == ["http://a.example.org/debian", "https://b.example.org/debian"]
    assert found[SECURITY] == ["http://s.example.org/debian-security"]


def test_ubuntu_and_third_parties_are_left_out() -> None:
    assert classify(parse(UBUNTU, ".sources")) == {ARCHIVE: [], SECURITY: []}
    third = [
        Source("https://download.example.com/linux/debian", "trixie"),
        Source("https://x.example.org/apt", "stable"),
    ]
    assert classify(third)[ARCHIVE] == ["https://download.example.com/linux/debian"]
    assert classify([Source("https://x.example.org/apt", "trixie")]) == {ARCHIVE: [], SECURITY: []}


def test_old_name_of_the_security_suite() -> None:
    assert classify([Source("http://s.example.org/debian-security", "bullseye/updates")])[SECURITY]


def test_hosts_apt_comes_before_the_public_mirrors(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(ONE_LINE)
    (tmp_path / "sources.list.d" / "debian.sources").write_text(STANZAS)
    (tmp_path / "sources.list.d" / "debian.sources.bak").write_text("deb http://bak.example.org/debian trixie main")
    found = choose(PUBLIC, environment={}, apt=tmp_path)
    assert found.archives[ARCHIVE] == (
        "http://a.example.org/debian",
        "https://b.example.org/debian",
        "https://public.example.org/debian",
    )
    assert found.archives[SECURITY][0] == "http://s.example.org/debian-security"


def test_host_without_apt_uses_the_public_mirrors(tmp_path: Path) -> None:
    found = choose(PUBLIC, environment={}, apt=tmp_path / "none")
    assert found.archives[ARCHIVE] == ("https://public.example.org/debian",)


def test_choice_is_the_only_one_asked_and_options_come_before_the_environment(tmp_path: Path) -> None:
    environment = {"BOINC2DOCKER_DEBIAN_MIRROR": "http://env.example.org/debian/ file:///srv/debian"}
    found = choose(PUBLIC, environment=environment, apt=tmp_path)
    assert found.archives[ARCHIVE] == ("http://env.example.org/debian", "file:///srv/debian")
    assert found.archives[SECURITY] == ("https://public.example.org/debian-security",)
    chosen = choose(PUBLIC, chosen={ARCHIVE: "http://option.example.org/d"}, environment=environment, apt=tmp_path)
    assert chosen.archives[ARCHIVE] == ("http://option.example.org/d",)


def test_the_past_is_asked_for_a_day_after_the_index_and_not_where_a_mirror_was_chosen(tmp_path: Path) -> None:
    found = choose(PUBLIC, snapshot="https://past.example.org/archive/", environment={}, apt=tmp_path)
    assert found.past(SECURITY, "pool/g++_1~b.deb", 1_790_000_000) == (
        "https://past.example.org/archive/debian-security/20260922T141320Z/pool/g++_1~b.deb",
        "https://past.example.org/archive/debian-security/20260928T141320Z/pool/g++_1~b.deb",
    )
    assert choose(PUBLIC, environment={}, apt=tmp_path).past(SECURITY, "x", 0) == ()
    own: dict[str, Any] = {"snapshot": "https://past.example.org/archive", "apt": tmp_path}
    option = choose(PUBLIC, chosen={ARCHIVE: "http://a.example.org/debian"}, environment={}, **own)
    variable = choose(PUBLIC, environment={"BOINC2DOCKER_DEBIAN_MIRROR": "http://a.example.org/debian"}, **own)
    assert option.past(ARCHIVE, "x", 0) == variable.past(ARCHIVE, "x", 0) == ()
    assert option.past(SECURITY, "x", 0)


@pytest.mark.parametrize("url", ["mirror.example.org/debian", "ftp://mirror.example.org/debian", "http:///debian"])
def test_choice_that_is_no_url(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match="mirror"):
        choose(PUBLIC, chosen={ARCHIVE: url}, environment={}, apt=tmp_path)


def test_urls_are_quoted_and_no_mirror_is_said_so(tmp_path: Path) -> None:
    found = choose(PUBLIC, environment={}, apt=tmp_path)
    assert found.urls(ARCHIVE, "pool/main/g/g++/g++_1%3a2~b_amd64.deb") == (
        "https://public.example.org/debian/pool/main/g/g++/g++_1%253a2~b_amd64.deb",
    )
    with pytest.raises(InputError) as caught:
        choose({}, environment={}, apt=tmp_path).urls(SECURITY, "x")
    assert "BOINC2DOCKER_SECURITY_MIRROR" in (caught.value.hint or "")


def test_mirror_lists_of_cloud_images(tmp_path: Path) -> None:
    (tmp_path / "mirrors.list").write_text(
        "# comment\nhttps://a.example.org/debian\tpriority:1\n\nhttp://b.example.org/debian\n"
    )
    url = f"mirror+file://{tmp_path}/mirrors.list"
    (tmp_path / "sources.list").write_text(f"deb {url} trixie main\ndeb mirror+file:/none trixie main\n")
    found = choose({}, environment={}, apt=tmp_path)
    assert found.archives[ARCHIVE] == ("https://a.example.org/debian", "http://b.example.org/debian")
