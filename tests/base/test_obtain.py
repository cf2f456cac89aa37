"""The public face: names, paths and URLs; locks that are stale, gone and locked; the assembled ISO's cache."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from boinc2docker import base
from boinc2docker.base import Sources, mirrors
from boinc2docker.base import debian as assembler
from boinc2docker.base import lock as locks
from boinc2docker.base.lock import LockedPackage
from boinc2docker.digest import Digest
from boinc2docker.errors import BuilderError, HostError, InputError, NetworkError, UsageError, VerificationError
from boinc2docker.fetch.cache import Cache
from tests.base.debian_archive import Deb, Mirror
from tests.equipment import answers
from tests.equipment.scripted_server import QUICK, Script

ISO = bytes(16 * 2048) + b"\1CD001" + bytes(824) + b"2020061718021500\0" + bytes(3000)
LIST = """
suite = "trixie"
architecture = "amd64"
[[index]]
archive = "debian"
suite = "trixie"
[sections.rootfs]
packages = ["curl"]
"""
BASES = """
default = "debian"
[bases.debian]
kind = "assembled"
[bases.fixed]
kind = "download"
urls = ["{url}/fixed.iso"]
sha256 = "{digest}"
[bases.floating]
kind = "download"
urls = ["{url}/floating.iso"]
"""


class Assembler:
    """Stands in for the Debian assembly, which has tests of its own: an ISO that lists its packages."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(
        self, debs: Mapping[LockedPackage, Path], files: Path, output: Path, *, epoch: int
    ) -> dict[str, object]:
        self.calls += 1
        lines = [f"{item.name} {path.read_text()}" for item, path in sorted(debs.items())]
        output.write_text("\n".join([*lines, str(epoch), (files / "isolinux.cfg").read_text()]))
        return {"kernel": "6.12", "packages": [{"name": item.name} for item in debs]}


@pytest.fixture
def assembly(monkeypatch: pytest.MonkeyPatch) -> Assembler:
    made = Assembler()
    monkeypatch.setattr(assembler, "assemble", made)
    return made


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    made = Mirror(tmp_path / "mirror")
    made.publish("trixie", Deb("curl", fields={"Depends": "libc6"}), Deb("libc6"), now=time.time() - 3600)
    return made


@pytest.fixture
def sources(tmp_path: Path, mirror: Mirror, cache: Cache, server: HTTPServer) -> Sources:
    guest = tmp_path / "guest"
    keys = guest / "debian" / "keys"
    keys.mkdir(parents=True)
    (keys / "test.asc").write_text(str(mirror.signer.extract_certificate()))
    (guest / "debian" / "packages.toml").write_text(LIST)
    (guest / "debian" / "isolinux.cfg").write_text("default linux\n")
    url = server.url_for("").rstrip("/")
    (guest / "bases.toml").write_text(BASES.format(url=url, digest=Digest.of(ISO).hex))
    return Sources(guest, cache, mirror=mirror.url, security_mirror=mirror.url, patience=QUICK)


def refused(kind: type[BuilderError], code: str, spec: Any, sources: Sources, **options: Any) -> BuilderError:
    with pytest.raises(kind) as caught:
        base.obtain(None if spec is None else str(spec), sources=sources, **options)
    assert caught.value.code == code, caught.value.message
    return caught.value


# --- files of the user's


def test_path_is_used_where_it_lies(tmp_path: Path, sources: Sources) -> None:
    path = tmp_path / "my.iso"
    path.write_bytes(ISO)
    for spec in (str(path), path.as_uri()):
        found = base.obtain(spec, sources=sources)
        assert (found.name, found.path, found.digest, found.epoch) == ("my.iso", path, Digest.of(ISO), 1592416935)
    assert base.obtain(str(path), sha256=Digest.of(ISO), sources=sources).path == path
    refused(VerificationError, "wrong-digest", path, sources, sha256=Digest.of(b"other"))


def test_what_is_no_file_is_refused(tmp_path: Path, sources: Sources) -> None:
    os.mkfifo(tmp_path / "fifo")
    refused(InputError, "not-a-file", tmp_path, sources)
    refused(InputError, "not-a-file", tmp_path / "fifo", sources)
    refused(InputError, "not-a-file", "/dev/null", sources)
    refused(InputError, "no-such-file", tmp_path / "none.iso", sources)
    refused(InputError, "no-such-file", "none.iso", sources)
    refused(InputError, "unknown-base", "debain", sources)
    refused(UsageError, "bad-url", "ftp://example.org/a.iso", sources)
    refused(UsageError, "bad-url", "https:///a.iso", sources)


def test_source_date_epoch_wins(tmp_path: Path, sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    (tmp_path / "my.iso").write_bytes(ISO)
    assert base.obtain(str(tmp_path / "my.iso"), sources=sources).epoch == 1234567890


# --- ISOs that are downloaded


def test_named_download_is_fetched_once_and_works_offline(server: HTTPServer, sources: Sources) -> None:
    script = Script(server, "/fixed.iso", answers.rest(ISO))
    refused(NetworkError, "offline", "fixed", replace(sources, offline=True))
    first = base.obtain("fixed", sources=sources, locked=True)
    assert base.obtain("fixed", sources=replace(sources, offline=True)) == first
    assert (first.name, first.digest, first.epoch) == ("fixed", Digest.of(ISO), 1592416935)
    assert len(script.requests) == 1


def test_named_download_with_another_content_is_refused(server: HTTPServer, sources: Sources) -> None:
    Script(server, "/fixed.iso", answers.rest(ISO + b"x"))
    refused(VerificationError, "wrong-digest", "fixed", sources)
    assert not list((sources.cache.root / "sha256").glob("*"))
    refused(VerificationError, "wrong-digest", "fixed", sources, sha256=Digest.of(ISO + b"x"))


def test_unpublished_digest_is_pinned_at_first_sight(server: HTTPServer, sources: Sources, tmp_path: Path) -> None:
    script = Script(server, "/floating.iso", answers.rest(ISO), answers.rest(ISO + b"changed"))
    refused(InputError, "unpinned", "floating", sources, locked=True)
    assert base.obtain("floating", sources=sources).digest == Digest.of(ISO)
    assert Digest.of(ISO).hex in (sources.guest / "base-pins.toml").read_text()
    elsewhere = replace(sources, cache=Cache(tmp_path / "another cache"))
    refused(VerificationError, "wrong-digest", "floating", elsewhere)
    assert base.obtain("floating", sources=replace(sources, offline=True), locked=True).digest == Digest.of(ISO)
    assert len(script.requests) == 2


def test_url_is_recorded_for_the_user(server: HTTPServer, sources: Sources) -> None:
    script = Script(server, "/some/b2d.iso", answers.rest(ISO), answers.rest(ISO + b"changed"))
    found = base.obtain(script.url, sources=sources)
    assert (found.name, found.digest) == ("b2d.iso", Digest.of(ISO))
    assert base.obtain(script.url, sources=replace(sources, offline=True)).path == found.path
    assert not (sources.guest / "base-pins.toml").exists()
    found.path.unlink()
    refused(VerificationError, "wrong-digest", script.url, sources)
    changed = base.obtain(script.url, sha256=Digest.of(ISO + b"changed"), sources=sources)
    assert changed.path.read_bytes() == ISO + b"changed"


def test_missing_download_says_where_it_was_looked_for(server: HTTPServer, sources: Sources) -> None:
    script = Script(server, "/none.iso", answers.status(404))
    assert script.url in refused(NetworkError, "gone", script.url, sources).message


# --- the debian base


def test_first_build_locks_fetches_assembles_and_the_second_does_nothing(
    sources: Sources, assembly: Assembler, mirror: Mirror
) -> None:
    first = base.obtain(sources=sources)
    assert first.path.read_text().splitlines()[:2] == ["curl curl 1.0", "libc6 libc6 1.0"]
    assert first.facts["kernel"] == "6.12"
    lock = locks.read(sources.guest / "debian" / "packages.lock")
    assert first.epoch == lock.epoch
    shutil.rmtree(mirror.root)
    packages = [sources.cache.path(one.digest) for one in lock.packages]
    for path in packages:
        os.utime(path, (0, 0))
    second = base.obtain("debian", locked=True, sources=replace(sources, offline=True))
    assert (second, assembly.calls) == (first, 1)
    assert all(path.stat().st_mtime > 0 for path in packages), "they stay in the cache while their ISO is used"
    assert not (sources.cache.root / "assembling").exists()


def test_what_decides_the_bytes_decides_the_cache(
    sources: Sources, assembly: Assembler, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sources.guest / "debian"
    first = base.obtain(sources=sources)
    (folder / "keys" / "README.md").write_text("not in the ISO")
    base.obtain(sources=sources)
    assert assembly.calls == 1
    (folder / "isolinux.cfg").write_text("default other\n")
    assert base.obtain(sources=sources).digest != first.digest
    (folder / "isolinux.cfg").chmod(0o755)
    base.obtain(sources=sources)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    assert base.obtain(sources=sources).epoch == 1234567890
    assert assembly.calls == 4


def test_files_that_change_during_the_assembly_are_not_credited_with_it(
    sources: Sources, assembly: Assembler, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = sources.guest / "debian" / "isolinux.cfg"

    def slow(debs: Any, files: Path, output: Path, *, epoch: int) -> dict[str, object]:
        made = assembly(debs, files, output, epoch=epoch)
        config.write_text("default edited\n")
        return made

    with monkeypatch.context() as patched:
        patched.setattr(assembler, "assemble", slow)
        assert "edited" not in base.obtain(sources=sources).path.read_text()
    assert "edited" in base.obtain(sources=sources).path.read_text()


def test_damaged_assembled_iso_is_made_again(sources: Sources, assembly: Assembler) -> None:
    first = base.obtain(sources=sources)
    first.path.write_bytes(b"damage")
    again = base.obtain(sources=sources)
    assert again.path.read_text().startswith("curl")
    assert assembly.calls == 2


def test_digest_may_be_required_of_the_assembled_base_too(sources: Sources, assembly: Assembler) -> None:
    first = base.obtain(sources=sources)
    base.obtain(sha256=first.digest, sources=sources)
    refused(VerificationError, "wrong-digest", None, sources, sha256=Digest.of(b"other"))


def test_gone_package_is_resolved_again_unless_locked(sources: Sources, assembly: Assembler, mirror: Mirror) -> None:
    base.update_lock(sources=sources)
    path = sources.guest / "debian" / "packages.lock"
    before = path.read_bytes()
    (mirror.root / Deb("curl").pool).unlink()
    mirror.publish("trixie", Deb("curl", "1.1", {"Depends": "libc6"}), Deb("libc6"))
    error = refused(NetworkError, "gone", None, sources, locked=True)
    assert "BOINC2DOCKER_DEBIAN_MIRROR or BOINC2DOCKER_SECURITY_MIRROR" in (error.hint or "")
    assert path.read_bytes() == before
    assert "curl curl 1.1" in base.obtain(sources=sources).path.read_text()
    assert 'version = "1.1"' in path.read_text()


def test_gone_package_is_fetched_from_the_past_unless_a_mirror_was_chosen(
    sources: Sources, assembly: Assembler, mirror: Mirror, server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    base.update_lock(sources=sources)
    path = sources.guest / "debian" / "packages.lock"
    before, old = path.read_bytes(), (mirror.root / Deb("curl").pool).read_bytes()
    (mirror.root / Deb("curl").pool).unlink()
    mirror.publish("trixie", Deb("curl", "1.1", {"Depends": "libc6"}), Deb("libc6"))
    catalogue = sources.guest / "bases.toml"
    snapshot = f'snapshot = "{server.url_for("/archive")}"\n'
    listed = f'[mirrors]\ndebian = ["{mirror.url}"]\n'
    catalogue.write_text(snapshot + catalogue.read_text() + listed)
    monkeypatch.setattr(mirrors, "of_host", lambda _: {})
    refused(NetworkError, "gone", None, sources, locked=True)
    assert server.log == [], "the chosen mirror is the only one asked"
    public = replace(sources, mirror=None)
    error = refused(NetworkError, "gone", None, public, locked=True)
    assert "the snapshot service did not help" in error.message
    assert "BOINC2DOCKER_DEBIAN_MIRROR" in (error.hint or "")
    server.expect_request(re.compile(rf"/archive/debian/\d{{8}}T\d{{6}}Z/{Deb('curl').pool}")).respond_with_data(old)
    assert "curl curl 1.0" in base.obtain(sources=public).path.read_text()
    assert path.read_bytes() == before


def test_gone_package_that_the_index_still_names(sources: Sources, assembly: Assembler, mirror: Mirror) -> None:
    base.update_lock(sources=sources)
    (mirror.root / Deb("curl").pool).unlink()
    error = refused(NetworkError, "gone", None, sources)
    assert "still names it" in error.message


def test_network_trouble_does_not_touch_the_lock(sources: Sources, assembly: Assembler, server: HTTPServer) -> None:
    base.update_lock(sources=sources)
    before = (sources.guest / "debian" / "packages.lock").read_bytes()
    ill = Script(server, f"/{Deb('curl').pool}", answers.status(500))
    Script(server, f"/{Deb('libc6').pool}", answers.status(404))
    url = ill.url.removesuffix(f"/{Deb('curl').pool}")
    refused(NetworkError, "download-failed", None, replace(sources, mirror=url))
    assert (sources.guest / "debian" / "packages.lock").read_bytes() == before


def test_stale_lock_is_written_anew_unless_locked(sources: Sources, assembly: Assembler) -> None:
    base.update_lock(sources=sources)
    listing = sources.guest / "debian" / "packages.toml"
    listing.write_text(LIST.replace('["curl"]', '["libc6"]'))
    refused(InputError, "stale-lock", None, sources, locked=True)
    assert base.obtain(sources=sources).path.read_text().startswith("libc6")
    base.obtain(sources=sources, locked=True)


def test_locked_needs_a_lock(sources: Sources, assembly: Assembler) -> None:
    refused(InputError, "bad-lock", None, sources, locked=True)
    assert not (sources.guest / "debian" / "packages.lock").exists()


def test_update_tells_what_changed_and_nothing_means_the_same_bytes(sources: Sources, mirror: Mirror) -> None:
    assert [str(change) for change in base.update_lock(sources=sources)] == ["curl 1.0 (new)", "libc6 1.0 (new)"]
    path = sources.guest / "debian" / "packages.lock"
    before = path.read_bytes()
    mirror.publish("trixie", Deb("curl", fields={"Depends": "libc6"}), Deb("libc6"))
    assert base.update_lock(sources=sources) == []
    assert path.read_bytes() == before, "a newer index with the same packages is no reason for other bytes"
    mirror.publish("trixie", Deb("curl", "1.1"))
    assert [str(change) for change in base.update_lock(sources=sources)] == ["curl 1.0 → 1.1", "libc6 1.0 (gone)"]


def test_a_report_holds_the_new_lock_and_what_a_reviewer_reads(
    sources: Sources, mirror: Mirror, tmp_path: Path
) -> None:
    changes = base.update_and_report(sources, tmp_path / "report")
    assert [str(change) for change in changes] == ["curl 1.0 (new)", "libc6 1.0 (new)"]
    lock = sources.guest / "debian" / "packages.lock"
    assert (tmp_path / "report" / "packages.lock").read_bytes() == lock.read_bytes()
    assert "* curl 1.0 (new)\n" in (tmp_path / "report" / "summary.md").read_text()
    assert base.update_and_report(sources, tmp_path / "report") == []
    assert (tmp_path / "report" / "summary.md").read_text().startswith("No package changed.")


def test_update_replaces_a_damaged_lock(sources: Sources, mirror: Mirror) -> None:
    path = sources.guest / "debian" / "packages.lock"
    path.write_text("<<<<<<< ours")
    assert len(base.update_lock(sources=sources)) == 2
    assert locks.read(path)["curl"].version == "1.0"


def test_bad_signature_leaves_the_lock_alone(sources: Sources, mirror: Mirror) -> None:
    base.update_lock(sources=sources)
    before = (sources.guest / "debian" / "packages.lock").read_bytes()
    path = mirror.root / "dists/trixie/InRelease"
    path.write_bytes(path.read_bytes().replace(b"Origin: Test", b"Origin: Tesu"))
    with pytest.raises(VerificationError):
        base.update_lock(sources=sources)
    assert (sources.guest / "debian" / "packages.lock").read_bytes() == before


def test_older_index_leaves_the_lock_alone(sources: Sources, mirror: Mirror) -> None:
    base.update_lock(sources=sources)
    before = (sources.guest / "debian" / "packages.lock").read_bytes()
    mirror.publish("trixie", Deb("curl", "0.9"), now=time.time() - 7200)
    with pytest.raises(VerificationError, match=r"packages\.lock was made from"):
        base.update_lock(sources=sources)
    assert (sources.guest / "debian" / "packages.lock").read_bytes() == before


def test_fetch_makes_a_later_build_work_offline(sources: Sources, assembly: Assembler, mirror: Mirror) -> None:
    brought = base.fetch(sources=sources)
    assert (brought.name, brought.files, brought.bytes) == ("debian", 2, len("curl 1.0libc6 1.0"))
    shutil.rmtree(mirror.root)
    remote = replace(sources, offline=True, mirror="http://mirror.example.org/debian")
    assert base.obtain(sources=remote).path.read_text().startswith("curl")


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), InputError("x", "y"), OSError(28, "No space left on device")])
def test_interrupted_assembly_leaves_nothing_and_the_next_build_works(
    sources: Sources, assembly: Assembler, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    def broken(debs: Any, files: Path, output: Path, *, epoch: int) -> dict[str, object]:
        output.write_text("half")
        raise failure

    with monkeypatch.context() as patched:
        patched.setattr(assembler, "assemble", broken)
        with pytest.raises(HostError if isinstance(failure, OSError) else type(failure)):
            base.obtain(sources=sources)
    assert not (sources.cache.root / "assembling").exists()
    assert not list((sources.cache.root / "records").rglob("*.json"))
    assert base.obtain(sources=sources).path.read_text().startswith("curl")
