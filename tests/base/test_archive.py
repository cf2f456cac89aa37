"""A whole small archive, signed by the tests' own key: index to lock, lock to packages, and everything in between."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from boinc2docker.base import mirrors, package_list, signature
from boinc2docker.base.archive import Archive
from boinc2docker.base.mirrors import ARCHIVE, SECURITY, Mirrors
from boinc2docker.base.package_list import SuiteOf
from boinc2docker.errors import BuilderError, NetworkError, VerificationError
from boinc2docker.fetch.cache import Cache
from boinc2docker.fetch.download import Downloader, GoneError
from tests.base.debian_archive import Deb, Mirror, clear_signed, key
from tests.equipment import answers
from tests.equipment.checkout import PROJECT_ROOT
from tests.equipment.scripted_server import QUICK, Script

LIST = package_list.parse(
    """
suite = "trixie"
architecture = "amd64"
[[index]]
archive = "debian"
suite = "trixie"
[[index]]
archive = "debian-security"
suite = "trixie-security"
[sections.rootfs]
packages = ["curl"]
[sections.tools]
packages = ["mksquashfs"]
without = ["debconf"]
"""
)
DEBS = (
    Deb("curl", fields={"Depends": "libc6 (>= 1)"}),
    Deb("libc6", "2.41-12"),
    Deb("mksquashfs", fields={"Depends": "libc6, debconf"}),
    Deb("unneeded"),
)
FIXED = Deb("curl", "1.0+deb13u1", {"Depends": "libc6"})


@dataclass
class World:
    """Two archives and the means to read them."""

    main: Mirror
    security: Mirror
    cache: Cache

    def archive(self, *main: str, offline: bool = False, snapshots: Mapping[str, str] | None = None) -> Archive:
        keys = (self.main.signer.extract_certificate(), self.security.signer.extract_certificate())
        where = Mirrors({ARCHIVE: main or (self.main.url,), SECURITY: (self.security.url,)}, snapshots or {})
        return Archive(Downloader(self.cache, offline, QUICK), where, keys)


@pytest.fixture
def world(tmp_path: Path, cache: Cache) -> World:
    made = World(Mirror(tmp_path / "debian"), Mirror(tmp_path / "debian-security"), cache)
    made.main.publish("trixie", *DEBS, now=time.time() - 90 * 86400, days=None)
    made.security.publish("trixie-security", FIXED, now=int(time.time()) - 3600)
    return made


def refused(code: str, archive: Archive, now: float | None = None) -> BuilderError:
    with pytest.raises(BuilderError) as caught:
        archive.lock(LIST, now)
    assert caught.value.code == code, caught.value.message
    return caught.value


def test_lock_takes_the_highest_version_and_dates_itself_from_the_newest_index(world: World) -> None:
    lock = world.archive().lock(LIST)
    assert [(item.name, item.version, item.archive, item.sections) for item in lock.packages] == [
        ("curl", "1.0+deb13u1", "debian-security", ("rootfs",)),
        ("libc6", "2.41-12", "debian", ("rootfs", "tools")),
        ("mksquashfs", "1.0", "debian", ("tools",)),
    ]
    assert 3500 < time.time() - lock.epoch < 3700
    assert lock.inputs == LIST.digest


def test_packages_arrive_verified(world: World) -> None:
    archive = world.archive()
    lock = archive.lock(LIST)
    found = archive.fetch(lock)
    assert {item.name: path.read_bytes() for item, path in found.items()} == {
        "curl": FIXED.body,
        "libc6": b"libc6 2.41-12",
        "mksquashfs": b"mksquashfs 1.0",
    }


def test_package_with_other_bytes_is_refused(world: World) -> None:
    archive = world.archive()
    lock = archive.lock(LIST)
    world.main.write(DEBS[1].pool, b"libc6 2.41-1X")
    with pytest.raises(VerificationError) as caught:
        archive.fetch(lock)
    assert "libc6 2.41-12" in caught.value.message


def test_package_that_left_the_mirror_is_gone(world: World) -> None:
    archive = world.archive()
    lock = archive.lock(LIST)
    (world.main.root / DEBS[1].pool).unlink()
    with pytest.raises(GoneError, match="libc6"):
        archive.fetch(lock)


def test_package_that_left_every_mirror_is_fetched_from_the_past(world: World, server: HTTPServer) -> None:
    """Of the service only what is gone is asked, a day after its own archive's index, then a week after it."""
    lock = world.archive().lock(LIST)
    assert lock.date(ARCHIVE) < lock.epoch - 80 * 86400
    (world.main.root / DEBS[1].pool).unlink()
    day, week = (time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(lock.date(ARCHIVE) + n * 86400)) for n in (1, 7))
    first = Script(server, f"/archive/debian/{day}/{DEBS[1].pool}", answers.status(404))
    state = Script(server, f"/archive/debian/20010203T040506Z/{DEBS[1].pool}", answers.rest(DEBS[1].body))
    second = Script(server, f"/archive/debian/{week}/{DEBS[1].pool}", answers.status(302, Location=state.url))
    past = {name: server.url_for(f"/archive/{name}") for name in (ARCHIVE, SECURITY)}
    ill = Script(server, f"/debian/{DEBS[1].pool}", answers.status(500))
    server.expect_request("/debian/pool/main/m/mksquashfs/mksquashfs_1.0_amd64.deb").respond_with_data("mksquashfs 1.0")
    with pytest.raises(NetworkError) as caught:
        world.archive(ill.url.removesuffix(f"/{DEBS[1].pool}"), snapshots=past).fetch(lock)
    assert caught.value.code == "download-failed", "a mirror that is ill may still have it"
    assert not first.requests
    found = world.archive(snapshots=past).fetch(lock)
    assert found[lock["libc6"]].read_bytes() == DEBS[1].body
    assert (len(first.requests), len(second.requests), len(state.requests)) == (1, 1, 1)
    assert not [request.path for request, _ in server.log if request.path.startswith("/archive/debian-security")]


def test_the_past_is_never_asked_for_an_index(world: World, server: HTTPServer) -> None:
    past = {name: server.url_for(f"/archive/{name}") for name in (ARCHIVE, SECURITY)}
    (world.main.root / "dists/trixie/InRelease").unlink()
    with pytest.raises(GoneError):
        world.archive(snapshots=past).lock(LIST)
    assert server.log == []


def test_index_of_a_stranger(world: World) -> None:
    world.security.signer = key()
    world.security.publish("trixie-security", FIXED)
    archive = replace(world.archive(), keys=(world.main.signer.extract_certificate(),))
    refused("bad-signature", archive)


def test_index_that_was_tampered_with(world: World) -> None:
    path = "dists/trixie/InRelease"
    world.main.write(path, world.main.read(path).replace(b"Origin: Test", b"Origin: Tesu"))
    refused("bad-signature", world.archive())


def test_index_without_a_signature(world: World) -> None:
    text = world.main.read("dists/trixie/InRelease").split(b"\n\n", 1)[1].split(b"-----BEGIN PGP SIG")[0]
    world.main.write("dists/trixie/InRelease", text)
    refused("unsigned", world.archive())


def test_index_of_the_past_and_of_the_future(world: World) -> None:
    error = refused("expired-index", world.archive(), now=time.time() + 8 * 86400)
    assert "trixie-security" in error.message
    world.main.publish("trixie", *DEBS, now=time.time() + 7200, days=None)
    refused("future-index", world.archive())


def test_index_older_than_the_one_of_the_lock(world: World, tmp_path: Path) -> None:
    """Debian's main archive gives no Valid-Until: only what was seen before tells that a mirror leads back."""
    since = dict(world.archive().lock(LIST).dates)
    assert set(since) == {"trixie", "trixie-security"}
    assert world.archive().lock(LIST, since=since).dates == tuple(since.items())
    older = Mirror(tmp_path / "older", world.main.signer)
    older.publish("trixie", *DEBS, now=since["trixie"] - 1, days=None)
    assert world.archive(older.url).lock(LIST).dates[0] == ("trixie", since["trixie"] - 1)
    with pytest.raises(
        VerificationError, match=r"trixie InRelease is dated .*; packages\.lock was made from"
    ) as caught:
        world.archive(older.url).lock(LIST, since=since)
    assert caught.value.code == "old-index"
    assert world.archive(older.url, world.main.url).lock(LIST, since=since).dates == tuple(since.items())


def test_index_of_another_suite(world: World) -> None:
    world.main.write("dists/trixie/InRelease", world.security.read("dists/trixie-security/InRelease"))
    refused("wrong-suite", world.archive())


@pytest.mark.parametrize("by_hash", ["yes", "no"])
def test_package_index_that_the_signature_does_not_cover(world: World, by_hash: str) -> None:
    world.main.publish("trixie", *DEBS, days=None, by_hash=by_hash)
    good = world.main.read("dists/trixie/main/binary-amd64/Packages.xz")
    for path in (world.main.root / "dists/trixie/main").rglob("*"):
        if path.is_file():
            path.write_bytes(good[::-1])
    refused("wrong-digest", world.archive())


def test_by_hash_survives_a_mirror_in_the_middle_of_an_update(world: World) -> None:
    world.main.write("dists/trixie/main/binary-amd64/Packages.xz", b"the next index")
    assert world.archive().lock(LIST)["libc6"].version == "2.41-12"


def test_mirror_without_by_hash(world: World) -> None:
    for path in (world.main.root / "dists/trixie/main/binary-amd64/by-hash/SHA256").iterdir():
        path.unlink()
    assert world.archive().lock(LIST)["libc6"].version == "2.41-12"


def test_stale_and_forged_mirrors_are_passed_over(world: World, tmp_path: Path) -> None:
    stale, forged = Mirror(tmp_path / "stale", world.main.signer), Mirror(tmp_path / "forged")
    stale.publish("trixie", *DEBS, now=time.time() - 30 * 86400, days=7)
    forged.publish("trixie", Deb("curl", "9.0"), *DEBS[1:])
    lock = world.archive(stale.url, forged.url, world.main.url).lock(LIST)
    assert lock["curl"].version == "1.0+deb13u1"
    assert refused("expired-index", world.archive(stale.url, (tmp_path / "none").as_uri())).hint


def test_no_network_is_not_a_bad_signature(world: World, tmp_path: Path) -> None:
    with pytest.raises(NetworkError):
        world.archive((tmp_path / "none").as_uri()).lock(LIST)


def test_captive_portal(world: World, server: HTTPServer) -> None:
    portal = Script(server, "/debian/dists/trixie/InRelease", answers.whole(b"<html>Please log in</html>"))
    error = refused("unsigned", world.archive(portal.url.removesuffix("/dists/trixie/InRelease")))
    assert "captive portal" in (error.hint or "")


def test_offline_says_so_at_once(world: World) -> None:
    with pytest.raises(NetworkError) as caught:
        world.archive("http://mirror.example.org/debian", offline=True).lock(LIST)
    assert caught.value.code == "offline"


def test_signed_text_that_is_no_release_file(world: World) -> None:
    world.main.write("dists/trixie/InRelease", clear_signed("Hello\n", world.main.signer))
    refused("bad-index", world.archive())


def test_debians_own_index_is_signed_by_the_shipped_keys(cache: Cache) -> None:
    """The one test that asks a real mirror; it changes nothing and reads one small file."""
    where = mirrors.choose({})
    if not where.archives[SECURITY]:
        pytest.skip("this machine's apt names no Debian mirror")
    keys = tuple(signature.load_keys(PROJECT_ROOT / "guest" / "debian" / "keys"))
    archive = Archive(Downloader(cache, patience=replace(QUICK, connect=5, read=15)), where, keys)
    try:
        release = archive.release(SuiteOf(SECURITY, "trixie-security"))
    except NetworkError as error:
        pytest.skip(f"no Debian mirror can be reached: {error.message}")
    assert release.codename == "trixie-security"
    assert release.by_hash
    assert release.file("main/binary-amd64/Packages.xz").size > 1000
