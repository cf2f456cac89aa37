"""Release files and package indexes."""

from __future__ import annotations

import lzma

import pytest
from debian.deb822 import Packages

from boinc2docker.base.apt_index import (
    IndexFile,
    PackageIndex,
    Relation,
    parse_package,
    parse_release,
    relations,
    require_usable,
    unpack_packages,
)
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError, VerificationError
from tests.base.debian_archive import Deb, release_text

NOW = 1_790_000_000


def test_release_is_read() -> None:
    release = parse_release(release_text({"main/binary-amd64/Packages": b"abc"}, "trixie", now=NOW), "x")
    assert (release.codename, release.suite, release.date) == ("trixie", "stable", NOW)
    assert release.valid_until == NOW + 7 * 86400
    assert release.by_hash
    assert release.file("main/binary-amd64/Packages") == IndexFile(3, Digest.of(b"abc"))
    with pytest.raises(InputError):
        release.file("main/binary-arm64/Packages")


@pytest.mark.parametrize("missing", ["Codename", "Date", "SHA256"])
def test_release_without_a_field_is_refused(missing: str) -> None:
    text = release_text({"a": b""}, "trixie", now=NOW).replace(f"{missing}:", "Other:")
    with pytest.raises(VerificationError):
        parse_release(text, "x")


def usable(now: float, days: float | None = 7, codename: str = "trixie") -> None:
    release = parse_release(release_text({}, codename, now=NOW, days=days).replace("SHA256:\n", "SHA256: \n"), "x")
    require_usable(release, "trixie", now, "trixie InRelease")


def test_dates_and_suite() -> None:
    usable(NOW)
    usable(NOW - 500)
    usable(NOW + 6.9 * 86400)
    usable(NOW + 500 * 86400, days=None)
    for code, arguments in {
        "expired-index": (NOW + 7.1 * 86400,),
        "future-index": (NOW - 1000,),
        "wrong-suite": (NOW, 7, "trixie-security"),
    }.items():
        with pytest.raises(VerificationError) as caught:
            usable(*arguments)  # type: ignore[arg-type]
        assert caught.value.code == code


def test_unpacking_is_bounded_and_verified() -> None:
    data = b"Package: a\n" * 1000
    expected = IndexFile(len(data), Digest.of(data))
    assert unpack_packages(lzma.compress(data), expected, "x") == data
    bomb = lzma.compress(bytes(50_000_000))
    for packed in (bomb, b"garbage", lzma.compress(data)[:-40], lzma.compress(data[:-1]), lzma.compress(data[::-1])):
        with pytest.raises(VerificationError):
            unpack_packages(packed, expected, "x")


def test_relations() -> None:
    assert relations("") == []
    assert relations("libc6 (>= 2.38), a | b (<< 1~), python3:any") == [
        (Relation("libc6", ">=", "2.38"),),
        (Relation("a"), Relation("b", "<<", "1~")),
        (Relation("python3"),),
    ]


def test_package_agrees_with_python_debian() -> None:
    deb = Deb("curl", "8.14.1-2", {"Source": "curl-src (8.14-1)", "Depends": "libc6", "Pre-Depends": "init"})
    paragraph = deb.paragraph().encode()
    package = parse_package(paragraph, "debian")
    oracle = Packages(paragraph)
    assert package.pool == oracle["Filename"]
    assert package.size == int(oracle["Size"])
    assert (package.source, package.source_version) == (oracle.source, str(oracle.source_version))
    assert [relation.name for group in package.depends for relation in group] == ["init", "libc6"]
    plain = parse_package(Deb("tar", "1:1.35").paragraph().encode(), "debian")
    assert (plain.source, plain.source_version) == ("tar", "1:1.35")


@pytest.mark.parametrize(
    "pool", ["../../etc/passwd", "/etc/passwd", "pool/../x/y", "pool//x", "pool/x?y/z", "dists/x/y"]
)
def test_package_outside_the_pool_is_refused(pool: str) -> None:
    paragraph = Deb("curl").paragraph().replace(Deb("curl").pool, pool)
    with pytest.raises(InputError, match="curl"):
        parse_package(paragraph.encode(), "debian")


def test_index_finds_by_name_and_by_provides() -> None:
    debs = [
        Deb("mawk", fields={"Provides": "awk"}),
        Deb("gawk", fields={"Provides": "awk (= 5), other"}),
        Deb("awkward"),
        Deb("mawk", "2.0", {"Provides": "awk"}),
    ]
    index = PackageIndex("debian", "\n".join(deb.paragraph() for deb in debs).encode())
    assert [package.version for package in index.named("mawk")] == ["1.0", "2.0"]
    assert index.named("awk") == []
    assert {package.name for package in index.providing("awk")} == {"mawk", "gawk"}
    assert [package.name for package in index.providing("other")] == ["gawk"]
