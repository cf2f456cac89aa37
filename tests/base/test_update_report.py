"""What a reviewer of a refreshed lock reads: what is urgent first, with the CVEs that the packages themselves name."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from builder.base import lock as locks
from builder.base import update_report
from builder.errors import InputError
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
    text = update_report.render(locks.compare(before, after), [urgent], {"curl": ["CVE-2026-1000"]})
    assert text.startswith(
        "## From the security archive\n\n* curl 1.0 → 2.0: CVE-2026-1000\n\n"
        "## Other packages\n\n* gone 1.0 (gone)\n* tar 1.0 → 1.1\n\n"
    )
    assert update_report.render([], [], {}).startswith("No package changed.")
    assert update_report.from_security(after, after) == []


def test_cves_are_read_out_of_the_packages(tmp_path: Path) -> None:
    packed = entry("./usr/share/doc/curl/changelog.Debian.gz", gzip.compress(CHANGELOG.encode()))
    path = write(tmp_path / "curl.deb", "curl", [packed])
    old, new = package("curl", "8.14.1-2"), package("curl", "8.14.1-2+deb13u3")
    assert update_report.fixes(lock(old), {new: path})["curl"] == ["CVE-2026-0999", "CVE-2026-1000", "CVE-2026-20000"]
    assert update_report.fixes(None, {new: path}) == {}
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="cannot read the package curl"):
        update_report.fixes(lock(old), {new: path})
