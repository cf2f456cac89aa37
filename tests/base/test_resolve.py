"""The closure of dependencies."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from debian.debian_support import Version
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.base.apt_index import Package, PackageIndex, Relation
from boinc2docker.base.package_list import Section
from boinc2docker.base.resolve import highest, merge, resolve, satisfies
from boinc2docker.errors import InputError
from tests.base.debian_archive import Deb


def index(*debs: Deb, archive: str = "debian") -> PackageIndex:
    return PackageIndex(archive, "\n".join(deb.paragraph() for deb in debs).encode())


def names(*wanted: str, from_: list[PackageIndex], without: tuple[str, ...] = ()) -> list[str]:
    return list(resolve(Section(wanted, without), from_, "amd64"))


def depends(text: str) -> Mapping[str, str]:
    return {"Depends": text}


def test_closure_follows_depends_and_pre_depends_and_nothing_else() -> None:
    fields = {"Depends": "b (>= 1)", "Pre-Depends": "c", "Recommends": "r", "Suggests": "s", "Conflicts": "b"}
    packages = index(Deb("a", fields=fields), Deb("b", fields=depends("d")), Deb("c"), Deb("d"), Deb("r"), Deb("s"))
    assert names("a", from_=[packages]) == ["a", "b", "c", "d"]


def test_cycle_ends() -> None:
    assert names("a", from_=[index(Deb("a", fields=depends("b")), Deb("b", fields=depends("a")))]) == ["a", "b"]


def test_first_alternative_that_can_be_had() -> None:
    packages = index(Deb("a", fields=depends("none | old (>= 2) | b | c")), Deb("old", "1"), Deb("b"), Deb("c"))
    assert names("a", from_=[packages]) == ["a", "b"]


def test_alternative_that_is_wanted_anyway_is_taken() -> None:
    packages = index(Deb("a", fields=depends("b | c")), Deb("b"), Deb("c"))
    assert names("a", "c", from_=[packages]) == ["a", "c"]


def test_virtual_package_real_one_first_then_by_name() -> None:
    packages = index(
        Deb("a", fields=depends("awk, mta")),
        Deb("mawk", fields={"Provides": "awk"}),
        Deb("gawk", fields={"Provides": "awk"}),
        Deb("mta"),
        Deb("exim", fields={"Provides": "mta"}),
    )
    assert names("a", from_=[packages]) == ["a", "gawk", "mta"]
    assert names("a", "mawk", from_=[packages]) == ["a", "mawk", "mta"]


def test_versioned_dependency_needs_a_versioned_provides() -> None:
    provided = [
        Deb("a", fields=depends("x (>= 2)")),
        Deb("p", fields={"Provides": "x"}),
        Deb("q", fields={"Provides": "x (= 2.1)"}),
    ]
    assert names("a", from_=[index(*provided)]) == ["a", "q"]
    with pytest.raises(InputError):
        names("a", from_=[index(*provided[:2])])


def test_highest_version_over_all_archives() -> None:
    main = index(Deb("a", "1.0-1"), Deb("b", "2:1"))
    security = index(Deb("a", "1.0-1+deb13u1"), Deb("b", "1:9"), archive="debian-security")
    found = resolve(Section(("a", "b")), [main, security], "amd64")
    assert [(package.version, package.archive) for package in found.values()] == [
        ("1.0-1+deb13u1", "debian-security"),
        ("2:1", "debian"),
    ]


def test_metapackage_leads_to_the_real_one() -> None:
    main = index(Deb("linux", "6.12.1", depends("linux-6.12.1 (= 6.12.1)")), Deb("linux-6.12.1", "6.12.1"))
    security = index(Deb("linux", "6.12.9", depends("linux-6.12.9 (= 6.12.9)")), Deb("linux-6.12.9", "6.12.9"))
    assert names("linux", from_=[main, security]) == ["linux", "linux-6.12.9"]


def test_left_out_dependency_is_not_followed_whichever_alternative_it_is() -> None:
    packages = index(Deb("a", fields=depends("debconf | debconf-2.0, perl")), Deb("debconf", fields=depends("perl")))
    assert names("a", from_=[packages], without=("debconf-2.0", "perl")) == ["a"]


def test_other_architectures_do_not_count() -> None:
    foreign = Deb("b").paragraph().replace("Architecture: amd64", "Architecture: arm64")
    data = "\n".join((Deb("a", fields=depends("b")).paragraph(), foreign)).encode()
    with pytest.raises(InputError):
        names("a", from_=[PackageIndex("debian", data)])
    everywhere = data.replace(b"Architecture: arm64", b"Architecture: all")
    assert names("a", from_=[PackageIndex("debian", everywhere)]) == ["a", "b"]


def test_failure_shows_the_chain() -> None:
    packages = index(Deb("a", fields=depends("b")), Deb("b", fields=depends("c (>= 2) | d")), Deb("c", "1"))
    with pytest.raises(InputError) as caught:
        names("a", from_=[packages])
    assert caught.value.code == "unresolvable"
    assert "a → b → c (>= 2) | d" in caught.value.message
    with pytest.raises(InputError, match="nosuch"):
        names("nosuch", from_=[packages])


def test_order_of_the_index_does_not_matter() -> None:
    debs = [Deb(f"p{number}", fields=depends(f"p{(number * 7 + 1) % 50} | v{number % 5}")) for number in range(50)]
    debs += [Deb(f"q{number}", fields={"Provides": f"v{number % 5}"}) for number in range(10)]
    expected = names("p3", "p10", from_=[index(*debs)])
    for seed in range(5):
        shuffled = random.Random(seed).sample(debs, len(debs))
        assert names("p3", "p10", from_=[index(*shuffled)]) == expected


def test_two_sections_share_a_package_only_in_one_version() -> None:
    one, two = (index(Deb("a", version)).named("a")[0] for version in ("1", "2"))
    assert merge({"rootfs": {"a": one}, "tools": {"a": one}}) == {"a": (one, ("rootfs", "tools"))}
    with pytest.raises(InputError, match="1 in rootfs and as 2 in tools"):
        merge({"rootfs": {"a": one}, "tools": {"a": two}})


VERSIONS = st.from_regex(r"\A([0-2]:)?[0-9][0-9a-z.+~]{0,4}(-[0-9][0-9~+]{0,2})?\Z")


@given(VERSIONS, VERSIONS)
def test_conditions_agree_with_python_debian(left: str, right: str) -> None:
    order = (Version(left) > Version(right)) - (Version(left) < Version(right))
    expected = {"<<": order < 0, "<=": order <= 0, "=": order == 0, ">=": order >= 0, ">>": order > 0}
    assert {key: satisfies(left, Relation("x", key, right)) for key in expected} == expected


@given(st.lists(VERSIONS, min_size=1, max_size=5))
def test_highest_is_not_beaten(versions: list[str]) -> None:
    packages: list[Package] = [index(Deb("a", version)).named("a")[0] for version in versions]
    assert not any(Version(version) > Version(highest(packages).version) for version in versions)
