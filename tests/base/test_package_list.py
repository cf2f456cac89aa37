"""packages.toml."""

from __future__ import annotations

import pytest

from boinc2docker.base import package_list
from boinc2docker.errors import InputError
from tests.equipment.checkout import PROJECT_ROOT

GOOD = """
suite = "trixie"
architecture = "amd64"
[[index]]
archive = "debian"
suite = "trixie"
[sections.rootfs]
packages = ["curl"]
without = ["perl"]
"""


def test_it_is_read() -> None:
    found = package_list.parse(GOOD)
    assert found.sections["rootfs"].packages == ("curl",)
    assert found.sections["rootfs"].without == ("perl",)
    assert [(index.archive, index.suite) for index in found.indexes] == [("debian", "trixie")]


def test_digest_is_of_the_meaning() -> None:
    same = package_list.parse("# a comment\n" + GOOD.replace('["curl"]', '[\n  "curl", # why\n]'))
    assert same.digest == package_list.parse(GOOD).digest
    assert package_list.parse(GOOD.replace('"perl"', '"perl-base"')).digest != same.digest


def test_everything_wrong_is_said_at_once() -> None:
    text = GOOD.replace("without", "witout").replace('"debian"', '"ubuntu"').replace('suite = "trixie"\narch', "arch")
    with pytest.raises(InputError) as caught:
        package_list.parse(text)
    for word in ("'witout' (did you mean 'without'?)", "'ubuntu'", "suite: missing"):
        assert word in caught.value.message


@pytest.mark.parametrize(
    "text",
    ["", "suite = ", GOOD.replace('["curl"]', "[]"), GOOD.replace('"curl"', '"Curl!"'), GOOD.replace('"curl"', "1")],
)
def test_bad_lists(text: str) -> None:
    with pytest.raises(InputError):
        package_list.parse(text)


def test_shipped_list_searches_the_security_archive() -> None:
    shipped = package_list.read(PROJECT_ROOT / "guest" / "debian" / "packages.toml")
    assert ("debian-security", f"{shipped.suite}-security") in [
        (index.archive, index.suite) for index in shipped.indexes
    ]
    assert {"rootfs", "kernel", "tools"} <= shipped.sections.keys()
