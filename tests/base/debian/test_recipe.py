from __future__ import annotations

from pathlib import Path

import pytest

from boinc2docker.base.debian import recipe
from boinc2docker.base.debian.recipe import Selection
from boinc2docker.errors import InputError
from tests.equipment.checkout import PROJECT_ROOT

SHIPPED = PROJECT_ROOT / "guest" / "debian" / "image.toml"
RULES = Selection(
    drop=("usr/share/man*", "var*"),
    keep=("usr/share/doc/*/copyright",),
    only={"few": ("usr/bin/tool", "usr/lib/*.so"), "none": ()},
)


@pytest.mark.parametrize(
    ("package", "path", "inside"),
    [
        ("any", "usr/bin/tool", True),
        ("any", "usr/share/man/man1/tool.1.gz", False),
        ("any", "usr/share/doc/any/copyright", True),
        ("any", "usr/share/doc/any/changelog.gz", False),
        ("any", "var/lib/x", False),
        ("few", "usr/bin/tool", True),
        ("few", "usr/bin/other", False),
        ("few", "usr/lib/deep/down/lib.so", True),
        ("few", "usr/share/doc/few/copyright", True),
        ("none", "usr/bin/tool", False),
        ("none", "usr/share/doc/none/copyright", True),
    ],
)
def test_files_are_chosen(package: str, path: str, inside: bool) -> None:
    assert RULES.of(package)(path) is inside


def test_a_rule_that_matched_nothing_is_told() -> None:
    chosen = RULES.of("few")
    assert chosen("usr/bin/tool")
    assert chosen.unused == ["usr/lib/*.so"]
    assert chosen("usr/lib/a.so")
    assert chosen.unused == []


def test_the_shipped_recipe_is_whole() -> None:
    rules = recipe.read(SHIPPED)
    assert rules.directories["tmp"] == 0o1777
    assert rules.modes["etc/shadow"] == 0o600
    assert {"isofs", "squashfs", "overlay"} <= set(rules.modules.initrd)
    assert {"9p", "vboxsf", "ext4", "virtio_net", "e1000"} <= set(rules.modules.all)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("[busybox]", "[busybo]", "busybox: missing.*unknown key 'busybo' .did you mean 'busybox'"),
        ('"tmp" = "1777"', '"tmp" = "17x7"', "directories.tmp: expected an octal mode"),
        ("without = []", 'without = "crc32c"', "modules.without: expected a list"),
        ("[iso]", "[iso", "image.toml is not TOML"),
    ],
)
def test_a_wrong_recipe_is_refused(tmp_path: Path, before: str, after: str, message: str) -> None:
    text = SHIPPED.read_text()
    assert before in text
    (tmp_path / "image.toml").write_text(text.replace(before, after, 1))
    with pytest.raises(InputError, match=message):
        recipe.read(tmp_path / "image.toml")


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*image\.toml"):
        recipe.read(tmp_path / "image.toml")
