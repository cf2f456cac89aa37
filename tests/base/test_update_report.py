"""What a reviewer of a refreshed lock reads: what is urgent first, with the CVEs that the packages themselves name."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from boinc2docker.base import lock as locks
from boinc2docker.base import update_report
from boinc2docker.errors import InputError
from tests.base.debian.deb_writer import entry, write
from tests.base.test_lock import lock, package

CHANGELOG = """\
curl (8.14.1-2+deb13u3) trixie-security; urgency=high

  * Fix CVE-2026-1000 and CVE-2026-20000.

 -- Somebody <x@example.org>  Mon, 01 Jun 2026 10:00:00 +0000

curl (8.14.1-2+deb13u2) trixie-security; urgency=high

  * Fix CVE-2026-0999.

 -- Somebody <x@example.org>  Fri, 01 May 2026 10:00:00 +0000

curl (8.14.1-2) unstable; urgency=medium

  * Mentions CVE-2025-1111.

 -- Somebody <x@example.org>  Thu, 01 May 2025 10:00:00 +0000
"""


def test_only_newer_entries_count() -> None:
    assert update_report.fixed(CHANGELOG, "8.14.1-2+deb13u1") == ["CVE-2026-0999", "CVE-2026-1000", "CVE-2026-20000"]
    assert update_report.fixed(CHANGELOG, "8.14.1-2+deb13u2") == ["CVE-2026-1000", "CVE-2026-20000"]
    assert update_report.fixed(CHANGELOG, "8.14.1-2+deb13u3") == []
    assert update_report.fixed("no changelog at all", "1") == []


def test_the_security_archive_comes_first() -> None:
    before = lock(package("curl"), package("tar"), package("gone"), package("same"))
    urgent = replace(package("curl", "2.0"), archive="debian-security")
    after = lock(urgent, package("tar", "1.1"), package("same"))
    assert update_report.from_security(before, after) == [urgent]
    text = update_report.render(before, locks.compare(before, after), [urgent], {"curl": ["CVE-2026-1000"]})
    assert text.startswith(
        "## From the security archive\n\n* curl 1.0 → 2.0: CVE-2026-1000\n\n"
        "## Other packages\n\n* gone 1.0 (gone)\n* tar 1.0 → 1.1\n\n"
    )
    assert update_report.render(None, [], [], {}).startswith("No package changed.")
    assert update_report.from_security(after, after) == []


def test_a_package_that_moved_between_archives_is_no_update() -> None:
    """Neither way: a point release takes it from the security archive, or a mirror lists it there again."""
    plain, urgent = package("curl"), replace(package("curl"), archive="debian-security")
    for was, now in [(plain, urgent), (urgent, plain)]:
        before, after = lock(was), lock(now)
        assert update_report.from_security(before, after) == []
        text = update_report.render(before, locks.compare(before, after), [], {})
        assert text.startswith(
            f"## Other packages\n\n* curl 1.0 (moved to another archive: {was.archive} → {now.archive}, same bytes)\n"
        )


def test_cves_are_read_out_of_the_packages(tmp_path: Path) -> None:
    packed = entry("./usr/share/doc/curl/changelog.Debian.gz", gzip.compress(CHANGELOG.encode()))
    path = write(tmp_path / "curl.deb", "curl", [packed])
    old, new = package("curl", "8.14.1-2"), package("curl", "8.14.1-2+deb13u3")
    assert update_report.fixes(lock(old), {new: path})["curl"] == ["CVE-2026-0999", "CVE-2026-1000", "CVE-2026-20000"]
    assert update_report.fixes(None, {new: path}) == {}
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="cannot read the package curl"):
        update_report.fixes(lock(old), {new: path})


def test_a_kernel_of_another_abi_is_an_update_of_the_old_one(tmp_path: Path) -> None:
    """Its name has the ABI in it, so only the source tells what it was before."""
    log = CHANGELOG.replace("curl (", "linux (").encode()
    deb = write(tmp_path / "2.deb", "linux-2", [entry("./usr/share/doc/linux-2/changelog.gz", gzip.compress(log))])
    old = replace(package("linux-1", "8.14.1-2+deb13u1"), source="linux", archive="debian-security")
    new = replace(package("linux-2", "8.14.1-2+deb13u3"), source="linux", archive="debian-security")
    before, after = lock(old, package("tar")), lock(new)
    cves = update_report.fixes(before, {new: deb})
    assert cves == {"linux-2": ["CVE-2026-0999", "CVE-2026-1000", "CVE-2026-20000"]}
    text = update_report.render(before, locks.compare(before, after), [new], cves)
    assert text.startswith(
        "## From the security archive\n\n* linux-1 8.14.1-2+deb13u1 (gone)\n"
        "* linux-2 8.14.1-2+deb13u3 (new): CVE-2026-0999, CVE-2026-1000, CVE-2026-20000\n\n"
        "## Other packages\n\n* tar 1.0 (gone)\n\n"
    )
    assert update_report.fixes(before, {replace(new, source="other"): deb}) == {}
