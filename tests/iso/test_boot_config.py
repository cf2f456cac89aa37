"""The configuration editor: golden examples of the layouts in the wild, and properties that hold for any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.errors import InputError
from boinc2docker.iso.boot_config import (
    BootLabel,
    Change,
    Dialect,
    change_arguments,
    dialect_of,
    edit,
    included,
    labels,
)

OURS = ("/boot/boinc.img", "/boot/site.img")
CHANGE = Change(initrds=OURS, append=("b2d=1",), remove=("waitusb=*LABEL=*",))


def edited(text: str, dialect: Dialect = Dialect.SYSLINUX, change: Change = CHANGE) -> str:
    return edit(text.encode(), dialect, change).decode()


def test_the_layout_of_boot2docker_18_09_and_later() -> None:
    before = (
        "serial 0\nui menu.c32\nprompt 1\ntimeout 2\n\nlabel boot2docker\n\tkernel /boot/vmlinuz\n"
        "\tinitrd /boot/initrd.img\n"
        "\tappend loglevel=3 console=ttyS0 console=tty0 waitusb=5:LABEL=boot2docker-data base norestore noembed\n"
    )
    assert edited(before) == before.replace("initrd.img", "initrd.img,/boot/boinc.img,/boot/site.img").replace(
        "waitusb=5:LABEL=boot2docker-data ", ""
    ).replace("noembed", "noembed b2d=1")


def test_an_initrd_inside_the_append_line_and_several_labels() -> None:
    before = (
        "DEFAULT one\nLABEL one\n  KERNEL /k com1=9600,8n1\n  APPEND a  b initrd=/i.img c\n"
        "label two\n  linux /k\n  initrd /i.img,/j.img\n  append x\n"
        "label memtest\n  kernel memtest\n  append y\n"
    )
    after = edited(before)
    assert "  APPEND a  b initrd=/i.img,/boot/boinc.img,/boot/site.img c b2d=1\n" in after
    assert "  initrd /i.img,/j.img,/boot/boinc.img,/boot/site.img\n  append x b2d=1\n" in after
    assert after.endswith("label memtest\n  kernel memtest\n  append y\n")


def test_a_kernel_line_with_its_initrd_and_a_default_command() -> None:
    assert edited("label a\nkernel /k initrd=/i waitusb=1:LABEL=x z\n").splitlines()[1] == (
        "kernel /k initrd=/i,/boot/boinc.img,/boot/site.img z"
    )
    assert edited("default /k initrd=/i\n") == "default /k initrd=/i,/boot/boinc.img,/boot/site.img\n"


def test_line_ends_comments_case_and_help_texts_stay() -> None:
    before = (
        "# initrd /no.img\r\nLABEL x\r\n  TEXT HELP\r\n  initrd /no.img\r\n  ENDTEXT\r\n"
        "  InitRD   /yes.img  \r\n  #append no\r\n\tAPPEND\tq   r \r\n# the end"
    )
    after = edited(before)
    assert after == before.replace("/yes.img", "/yes.img,/boot/boinc.img,/boot/site.img").replace(
        "q   r", "q   r b2d=1"
    )


def test_bytes_of_no_encoding_stay() -> None:
    before = b"menu title caf\xe9 \xff\nlabel x\ninitrd /i\n"
    assert edit(before, Dialect.SYSLINUX, CHANGE) == before.replace(b"/i\n", b"/i,/boot/boinc.img,/boot/site.img\n")


def test_grub() -> None:
    before = "menuentry 'x' {\n  linux /k waitusb=5:LABEL=a ro\n  initrd /a /b\n}\nmenuentry 'y' { chainloader +1 }\n"
    after = edited(before, Dialect.GRUB)
    assert "  linux /k ro b2d=1\n  initrd /a /b /boot/boinc.img /boot/site.img\n" in after
    with pytest.raises(InputError, match="line 2"):
        edited("menuentry x {\n  initrd /a \\\n  /b\n}\n", Dialect.GRUB)


def test_labels_are_read_with_absolute_paths() -> None:
    text = b"label a\nkernel vmlinuz\nappend initrd=/old ro\ninitrd initrd.img,../j\nlabel b\nkernel /m\n"
    assert labels(text, "/isolinux/isolinux.cfg", Dialect.SYSLINUX) == [
        BootLabel("a", "/isolinux/vmlinuz", ("/old",), ("ro",))
    ]
    grub = b"menuentry x {\nlinux /k ro\ninitrd /a /b\n}"
    assert labels(grub, "/boot/grub/grub.cfg", Dialect.GRUB) == [BootLabel("x {", "/k", ("/a", "/b"), ("ro",))]


def test_included_files_and_names() -> None:
    text = b"INCLUDE menu/a.cfg\nmenu include /b.cfg Title\nlabel x\n  config ../c.cfg\n# include d.cfg\n"
    assert included(text, "/isolinux/isolinux.cfg") == ["/isolinux/menu/a.cfg", "/b.cfg", "/c.cfg"]
    assert dialect_of("/boot/isolinux/ISOLINUX.CFG") is Dialect.SYSLINUX
    assert dialect_of("/boot/grub/grub.cfg") is Dialect.GRUB
    assert dialect_of("/etc/other.cfg") is None


WORDS = st.sampled_from(
    [
        "ro",
        "quiet",
        "a=1",
        "a=2",
        "waitusb=5:LABEL=x",
        "initrd=/i",
        "INITRD=/i,/boot/boinc.img",
        "b2d=1",
        "-",
        "#",
        "é",
        "x,y",
    ]
)
KEYS = st.sampled_from(
    ["append", "APPEND", "initrd", "Initrd", "kernel", "linux", "label", "menu", "default", "text", "text help",
     "endtext", "#", "include", "menuentry", "initrdefi", ""]
)  # fmt: skip
BLANKS = st.sampled_from([" ", "  ", "\t", ""])
LINE = st.tuples(BLANKS, KEYS, BLANKS, st.lists(WORDS, max_size=4).map(" ".join), BLANKS).map("".join)
TEXT = st.lists(st.tuples(LINE, st.sampled_from(["\n", "\r\n", "\r"])).map("".join), max_size=12).map("".join)
ANY = st.one_of(TEXT, st.text(max_size=200))


@given(ANY, st.sampled_from(Dialect))
def test_editing_twice_is_editing_once(text: str, dialect: Dialect) -> None:
    once = edit(text.encode(), dialect, CHANGE)
    assert edit(once, dialect, CHANGE) == once


@given(ANY, st.sampled_from(Dialect))
def test_every_label_ends_with_ours_and_keeps_its_own(text: str, dialect: Dialect) -> None:
    before = labels(text.encode(), "/x.cfg", dialect)
    after = labels(edit(text.encode(), dialect, CHANGE), "/x.cfg", dialect)
    assert [label.kernel for label in after] == [label.kernel for label in before]
    for was, now in zip(before, after, strict=True):
        assert set(OURS) <= set(now.initrds)
        assert [path for path in now.initrds if path not in OURS] == [path for path in was.initrds if path not in OURS]


@given(ANY, st.sampled_from(Dialect))
def test_nothing_to_do_changes_nothing(text: str, dialect: Dialect) -> None:
    assert edit(text.encode(), dialect, Change()) == text.encode()


@given(ANY)
def test_a_text_without_initrd_stays(text: str) -> None:
    without = text.replace("initrd", "other").replace("INITRD", "other").replace("Initrd", "other")
    assert edit(without.encode(), Dialect.SYSLINUX, CHANGE) == without.encode()


ARGUMENTS = st.lists(st.sampled_from(["a", "a=1", "a=2", "b", "c=waitusb"]))


@given(ARGUMENTS, ARGUMENTS, ARGUMENTS)
def test_the_algebra_of_arguments(words: list[str], append: list[str], remove: list[str]) -> None:
    change = Change(append=tuple(dict.fromkeys(append)), remove=tuple(remove))
    once = change_arguments(words, change)
    assert change_arguments(once, change) == once
    assert set(append) <= set(once)
    assert not (set(remove) - set(append)) & set(once)
    assert [word for word in once if word in words and word not in append] == [
        word for word in words if word not in remove and word not in append
    ]
