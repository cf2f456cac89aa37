"""Merging into a project's XML files: nothing foreign is ever lost, and twice is once."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker.app import merge
from boinc2docker.app.merge import Entry
from boinc2docker.errors import InputError
from boinc2docker.project import xml_text

APP = Entry("app", "ours", "<app>\n    <name>ours</name>\n    <user_friendly_name>Ours é</user_friendly_name>\n</app>")
CLASS = Entry("plan_class", "vbox64_mt", "<plan_class>\n    <name>vbox64_mt</name>\n</plan_class>")
DAEMON = Entry("daemon", "validator ours", "<daemon>\n    <cmd>any_validator --app ours</cmd>\n</daemon>")

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="￾￿"), max_size=12)
BLANKS = st.text(" \t\n", max_size=5)
COMMENT = TEXT.map(lambda text: f"<!--{text.replace('-', '_')} <app><name>ours</name></app> -->")
PIECE = st.one_of(
    BLANKS,
    COMMENT,
    TEXT.map(lambda text: f"<![CDATA[{text.replace(']', '')}</boinc>]]>"),
    TEXT.map(lambda text: f"<?operator {text.replace('?', '')}?>"),
    st.tuples(TEXT, st.sampled_from(["'", '"'])).map(
        lambda one: f"<note of={one[1]}{escape(one[0], {chr(34): '&quot;', chr(39): '&apos;'})}>/>{one[1]}/>"
    ),
    st.tuples(st.sampled_from(["app", "platform", "daemon", "plan_class", "other"]), TEXT, BLANKS).map(
        lambda one: f"<{one[0]}>{one[2]}<name>x{escape(one[1])}</name><cmd>y --app x</cmd>{one[2]}</{one[0]}>"
    ),
    st.just("<empty/>"),
)


@st.composite
def documents(draw: st.DrawFn, root: str, inner: str | None = None) -> bytes:
    pieces = draw(st.lists(PIECE, max_size=6))
    if inner and draw(st.booleans()):
        body = "".join(draw(st.lists(PIECE, max_size=4)))
        section = draw(st.sampled_from([f"<{inner}/>", f"<{inner} />", f"<{inner}>{body}</{inner}>", f"<{inner}\n/>"]))
        pieces.insert(draw(st.integers(0, len(pieces))), section)
    head = draw(
        st.sampled_from(["", "<?xml version='1.0'?>\n", "<!-- first -->", '<?xml version="1.0" encoding="utf-8"?>'])
    )
    text = f"{head}<{root}>{''.join(pieces)}</{root}>{draw(st.sampled_from(['', chr(10), '<!-- end -->']))}"
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    return text.encode()


def shape(data: bytes) -> list[object]:
    """What an independent parser sees: every element, comment and instruction, in order, with texts."""
    builder = ET.TreeBuilder(insert_comments=True, insert_pis=True)
    root = ET.fromstring(data, ET.XMLParser(target=builder))
    return [(str(one.tag), dict(one.attrib), (one.text or "").strip()) for one in root.iter()]


def is_subsequence(small: bytes, large: bytes) -> bool:
    rest = iter(large)
    return all(byte in rest for byte in small)


def nothing_lost(before: bytes, after: bytes, key: str) -> None:
    assert is_subsequence(before.replace(b"/>", b">"), after), "bytes of the file are gone"
    old, new = shape(before), iter(shape(after))
    assert all(one in new for one in old), "an element is gone, or elements changed places"
    assert key.encode() in after


@given(documents("boinc"))
def test_project_files_keep_everything(before: bytes) -> None:
    done = merge.merge_project(before, [APP])
    nothing_lost(before, done.data, "ours")
    assert [one.findtext("name") for one in ET.fromstring(done.data).findall("app")].count("ours") == 1
    assert ET.fromstring(done.data).findall("app")[-1].findtext("user_friendly_name") == "Ours é"
    assert merge.merge_project(done.data, [APP]).data == done.data


@given(documents("plan_classes"))
def test_plan_classes_keep_everything(before: bytes) -> None:
    done = merge.merge_plan_classes(before, [CLASS])
    nothing_lost(before, done.data, "vbox64_mt")
    assert merge.merge_plan_classes(done.data, [CLASS]).data == done.data


@given(documents("boinc", "daemons"))
def test_config_files_keep_everything(before: bytes) -> None:
    done = merge.merge_config(before, [DAEMON])
    nothing_lost(before, done.data, "any_validator")
    sections = ET.fromstring(done.data).findall("daemons")
    assert [one.text for one in sections[0].findall("daemon/cmd")][-1] == "any_validator --app ours"
    assert merge.merge_config(done.data, [DAEMON]).data == done.data


def test_indentation_and_line_ends_are_the_files_own() -> None:
    before = b"<boinc>\r\n\t<app>\r\n\t\t<name>a</name>\r\n\t</app>\r\n</boinc>\r\n"
    done = merge.merge_project(before, [Entry("app", "b", "<app>\n\t<name>b</name>\n</app>")])
    assert done.data == before.replace(b"</boinc>", b"\t<app>\r\n\t\t<name>b</name>\r\n\t</app>\r\n</boinc>")


def test_an_entry_that_is_there_wins() -> None:
    before = b"<boinc><app><name> ours </name><weight>7</weight></app></boinc>"
    done = merge.merge_project(before, [APP])
    assert (done.data, done.added, done.owned) == (before, (), ())
    (told,) = done.foreign
    assert str(told) == "weight: 7 -> none; user_friendly_name: none -> Ours é"


def test_an_entry_of_ours_is_brought_up_to_date_and_nothing_else_changes() -> None:
    old = "<app>\r\n\t\t<name>ours</name>\r\n\t\t<user_friendly_name>Old</user_friendly_name>\r\n\t</app>"
    before = f"<boinc>\r\n\t<!-- a --> {old} <!-- b -->\r\n\t{old.replace('ours', 'others')}\r\n</boinc>".encode()
    seen: list[str] = []

    def own(entry: Entry, there: str) -> bool:
        seen.append(there)
        return entry is APP

    done = merge.merge_project(before, [APP], own)
    assert seen == ["<app><name>ours</name><user_friendly_name>Old</user_friendly_name></app>"]
    new = APP.fragment.replace("é", "&#233;").replace("\n", "\r\n")
    assert done.data == before.replace(old.encode(), new.encode(), 1)
    assert [str(one) for one in done.updated] == ["user_friendly_name: Old -> Ours é"]
    assert (done.owned, done.foreign) == ((APP,), ())
    again = merge.merge_project(done.data, [APP], own)
    assert (again.data, again.updated, again.owned) == (done.data, (), (APP,))


def test_the_order_and_comments_of_an_entry_are_differences_too() -> None:
    for text in ("<app><user_friendly_name>Ours é</user_friendly_name><name>ours</name></app>", "<!-- mine -->"):
        there = text if text.startswith("<app") else APP.fragment.replace("</app>", f"{text}</app>")
        done = merge.merge_project(f"<boinc>{there}</boinc>".encode(), [APP])
        assert [str(one) for one in done.foreign] == ["its order or comments: others -> ours"]


@given(documents("boinc", "daemons"))
def test_updates_of_any_file_touch_the_entry_alone(before: bytes) -> None:
    first = merge.merge_config(before, [DAEMON])
    newer = Entry("daemon", DAEMON.key, DAEMON.fragment.replace("</cmd>", " -d 3</cmd>\n    <output>o</output>"))
    done = merge.merge_config(first.data, [newer], lambda *_: True)
    old = next(one for one in ET.fromstring(first.data).iter("daemon") if one.findtext("cmd", "").startswith("any"))
    assert old is not None
    assert [one for one in shape(done.data) if "any_" not in str(one) and one != ("output", {}, "o")] == [
        one for one in shape(first.data) if "any_" not in str(one)
    ]
    assert done.data.count(b"any_validator --app ours -d 3</cmd>") == 1
    assert [str(one).splitlines()[-1] for one in done.updated] == [
        "cmd: any_validator --app ours -> any_validator --app ours -d 3; output: none -> o"
    ]


@pytest.mark.parametrize(
    "command",
    [
        "sample_bitwise_validator -app ours -d 3",
        "my_validator --sleep_interval 9 --app ours",
        "  x_validator  --app  ours ",
    ],
)
def test_an_app_gets_no_second_validator(command: str) -> None:
    before = f"<boinc><daemons><daemon><cmd>{command}</cmd></daemon></daemons></boinc>".encode()
    assert merge.merge_config(before, [DAEMON]).data == before


def test_commented_out_entries_are_not_there() -> None:
    before = b"<boinc><!-- <app><name>ours</name></app> --></boinc>"
    assert merge.merge_project(before, [APP]).added == ("ours",)


def test_a_missing_file_is_made() -> None:
    assert shape(merge.merge_project(None, [APP]).data)[1] == ("app", {}, "")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"<boinc><app></boinc>", "line 1, column"),
        (b"<plan_classes/>", "root element <boinc>"),
        (b"<!DOCTYPE boinc [<!ENTITY a 'b'>]><boinc>&a;</boinc>", "document type"),
        ("<boinc/>".encode("utf-16"), "UTF-16"),
        (b"<?xml version='1.0' encoding='utf-16'?><boinc/>", "utf-16|encoding|line 1"),
        (b"\x00\x01", "line 1"),
    ],
)
def test_what_cannot_be_edited_safely_is_refused(data: bytes, expected: str) -> None:
    with pytest.raises(InputError, match=f"project.xml.*({expected})"):
        merge.merge_project(data, [APP])


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    try:
        xml_text.parse(data, "x")
    except InputError:
        return
    ET.fromstring(data)


LOOSE = b"""<plan_classes>
    <!-- <plan_class><name>vbox64_mt</name></plan_class> -->
    <plan_class>
        <name>  opencl  </name>
        <min_opencl_version>    101         <min_opencl_version>
    </plan_class>
</plan_classes>
"""


def test_a_plan_class_file_that_only_boinc_reads_is_extended_too() -> None:
    """BOINC's own sample lacks the slash of an end tag, as here."""
    done = merge.merge_plan_classes(LOOSE, [CLASS])
    added = b"    <plan_class>\n        <name>vbox64_mt</name>\n    </plan_class>\n</plan_classes>\n"
    assert done.data == LOOSE.replace(b"</plan_classes>\n", added)
    assert merge.merge_plan_classes(done.data, [CLASS]).data == done.data
    newer = Entry("plan_class", "vbox64_mt", CLASS.fragment.replace("</name>", "</name>\n    <virtualbox/>"))
    updated = merge.merge_plan_classes(done.data, [newer], lambda *_: True)
    assert updated.data == done.data.replace(
        b"</name>\n    </plan_class>\n</", b"</name>\n        <virtualbox/>\n    </plan_class>\n</"
    )
    with pytest.raises(InputError, match="line 6, column"):
        merge.merge_plan_classes(LOOSE.replace(b"</plan_class>\n</plan", b"</plan"), [CLASS])
