"""The lock file: what is written is read, what is wrong is said, what changed is shown."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.base import lock as locks
from boinc2docker.base import package_list
from boinc2docker.base.lock import Lock, LockedPackage
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError
from tests.equipment.checkout import PROJECT_ROOT

DEBIAN = PROJECT_ROOT / "guest" / "debian"


def package(
    name: str, version: str = "1.0", *, body: bytes = b"", sections: tuple[str, ...] = ("rootfs",)
) -> LockedPackage:
    return LockedPackage(
        name=name,
        version=version,
        architecture="amd64",
        archive="debian",
        pool=f"pool/main/{name[0]}/{name}/{name}_{version}_amd64.deb",
        size=len(body),
        digest=Digest.of(body),
        source=name,
        source_version=version,
        sections=sections,
    )


def lock(*packages: LockedPackage) -> Lock:
    return Lock("trixie", "amd64", 1_790_000_000, Digest.of(b"inputs"), tuple(sorted(packages)))


def test_each_archive_has_the_date_of_its_own_newest_index() -> None:
    made = replace(lock(package("curl")), dates=(("trixie", 5), ("trixie-security", 9), ("trixie-updates", 7)))
    assert [made.date(archive) for archive in locks.ARCHIVES] == [7, 9]
    assert lock(package("curl")).date("debian") == 1_790_000_000


NAMES = st.from_regex(r"\A[a-z0-9][a-z0-9+.-]{1,10}\Z")
PACKAGES = st.builds(
    package,
    NAMES,
    st.from_regex(r"\A[0-9][0-9a-z.+:~-]{0,10}\Z"),
    body=st.binary(max_size=5),
    sections=st.sampled_from([("rootfs",), ("kernel",), ("rootfs", "tools")]),
)


@given(
    st.lists(PACKAGES, min_size=1, max_size=5, unique_by=lambda item: item.name),
    st.dictionaries(st.sampled_from(["trixie", "trixie-security", "a.b/c"]), st.integers(0, 2**40)),
)
def test_what_is_written_is_read(packages: list[LockedPackage], dates: dict[str, int]) -> None:
    made = replace(lock(*packages), dates=tuple(sorted(dates.items())))
    text = locks.render(made)
    assert locks.parse(text) == made
    assert len(tomllib.loads(text)["package"]) == len(packages)
    assert locks.render(replace(made, packages=tuple(reversed(made.packages)))) == text


def test_text_is_what_reviewers_read() -> None:
    text = locks.render(lock(package("curl", "8.14.1-2", body=b"x")))
    assert text.splitlines()[1:8] == [
        "format = 1",
        'suite = "trixie"',
        'architecture = "amd64"',
        "epoch = 1790000000",
        f'inputs = "{Digest.of(b"inputs")}"',
        "",
        "[[package]]",
    ]
    assert 'version = "8.14.1-2"' in text
    assert "://" not in text


def test_changes_are_readable() -> None:
    before = lock(package("a"), package("curl", "8.14.1-2"), package("old"), package("same"))
    after = lock(package("a", body=b"rebuilt"), package("curl", "8.14.1-3"), package("new"), package("same"))
    assert [str(change) for change in locks.compare(before, after)] == [
        "a 1.0 (same version, different bytes)",
        "curl 8.14.1-2 → 8.14.1-3",
        "new 1.0 (new)",
        "old 1.0 (gone)",
    ]
    assert locks.compare(before, before) == []
    assert [str(change) for change in locks.compare(None, lock(package("a")))] == ["a 1.0 (new)"]


def test_what_differs_although_the_version_does_not_is_named() -> None:
    """A point release takes in what the security archive had: the same bytes under another path."""
    old = replace(package("curl", body=b"x"), archive="debian-security", pool="pool/updates/main/c/curl/curl_1.0.deb")
    moved = package("curl", body=b"x")
    elsewhere = replace(moved, pool="pool/main/c/curl8/curl_1.0.deb")
    for now, said in [
        (moved, "moved to another archive: debian-security → debian, same bytes"),
        (package("curl", body=b"y"), "same version, different bytes"),
        (replace(old, sections=("rootfs", "tools")), "same bytes, used in rootfs, tools instead of rootfs"),
    ]:
        assert [str(change) for change in locks.compare(lock(old), lock(now))] == [f"curl 1.0 ({said})"]
    assert "different entry" in str(locks.compare(lock(moved), lock(elsewhere))[0])


GOOD = locks.render(lock(package("curl"), package("tar")))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("format = 1", "format = 2", "format: expected 1, found 2"),
        ("[[package]]", "[[package", "not TOML"),
        ('name = "tar"', 'name = "curl"', "curl occurs twice"),
        ("size = 0", 'size = "0"', r"package\[0\]\.size: expected a whole number.*'0'"),
        ("size = 0", "size = -1", r"\.size: expected a whole number, 0 or more, found -1"),
        ("size = 0", "size = true", r"\.size: expected a whole number, found True"),
        ('archive = "debian"', 'archive = "ubuntu"', "ubuntu"),
        ('pool = "pool/main', 'pool = "../pool/main', "expected a path into the pool"),
        ('pool = "pool/main', 'pool = "http://x/pool/main', "expected a path into the pool"),
        ('sha256 = "', 'sha256 = "zz', "64 lower-case hex"),
        ('sections = ["rootfs"]', "sections = []", "sections: expected a list, not empty"),
        ("epoch", "epic", "epoch: missing"),
        ("epoch", "epoc", "unknown key 'epoc' .did you mean 'epoch'"),
    ],
)
def test_what_is_wrong_is_said(old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(InputError, match=said):
        locks.parse(GOOD.replace(old, new))


def test_missing_lock(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        locks.read(tmp_path / "packages.lock")
    assert "update-base" in (caught.value.hint or "")


def test_fields_that_would_break_the_file_are_refused() -> None:
    for name in ('a"b', "a\nb", "a\\b", "ä"):
        with pytest.raises(InputError):
            locks.render(lock(replace(package("x"), source=name)))


def test_section_and_name() -> None:
    made = lock(package("curl"), package("tar", sections=("rootfs", "tools")))
    assert [item.name for item in made.section("tools")] == ["tar"]
    assert made["curl"].version == "1.0"
    for ask in (lambda: made.section("nosuch"), lambda: made["nosuch"]):
        with pytest.raises(InputError):
            ask()


def test_stale_lock_is_noticed() -> None:
    made = lock(package("curl"))
    locks.require_current(made, Digest.of(b"inputs"))
    with pytest.raises(InputError) as caught:
        locks.require_current(made, Digest.of(b"other"))
    assert caught.value.code == "stale-lock"


def test_shipped_lock_answers_to_the_shipped_list_and_names_no_host() -> None:
    shipped = locks.read(DEBIAN / "packages.lock")
    wanted = package_list.read(DEBIAN / "packages.toml")
    locks.require_current(shipped, wanted.digest)
    assert locks.render(shipped) == (DEBIAN / "packages.lock").read_text()
    assert "://" not in locks.render(shipped)
    names = {item.name for item in shipped.packages}
    assert {name for section in wanted.sections.values() for name in section.packages} <= names
    for name, section in wanted.sections.items():
        assert not {item.name for item in shipped.section(name)} & (set(section.without) - set(section.packages))


def test_the_shipped_lock_knows_the_date_of_every_index() -> None:
    """Without it nothing keeps a mirror from serving an older index than the one the lock was made from."""
    shipped, wanted = locks.read(DEBIAN / "packages.lock"), package_list.read(DEBIAN / "packages.toml")
    assert {suite for suite, _ in shipped.dates} == {index.suite for index in wanted.indexes}
    assert shipped.epoch == max(date for _, date in shipped.dates)
