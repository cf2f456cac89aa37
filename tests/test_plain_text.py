"""Texts of strangers: nothing that a terminal acts on comes out, and no text passes for a line of ours."""

from __future__ import annotations

import io
import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boinc2docker import console
from boinc2docker.errors import InputError
from boinc2docker.plain_text import json_text, lines, one_line

BIDI = {"\u061c", "\u200e", "\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}
EVIL = st.text(
    st.sampled_from(["\x1b", "\x9b", "\n", "\r", "\x07", "\x00", "\x7f", "\u2028", "\ud800", "\U000e0041", *BIDI])
    | st.characters(),
    max_size=40,
)


def acts(character: str) -> bool:
    """Whether a terminal does anything with it but show it, by Unicode's own categories and not by our pattern."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") or character in BIDI


def test_every_character_that_acts_is_an_escape() -> None:
    missed = [hex(code) for code in range(sys.maxunicode + 1) if acts(chr(code)) and one_line(chr(code)) == chr(code)]
    assert [code for code in missed if int(code, 16) < 0x600 or chr(int(code, 16)) in BIDI] == []
    # Prefixes of numbers in Arabic, Syriac and Kaithi, hieroglyphs, shorthand and music: seen, or part of a word.
    assert len(missed) < 60, missed


@given(EVIL)
def test_one_line_is_one_line_without_controls(text: str) -> None:
    shown = one_line(text)
    assert not any(acts(one) for one in shown if one_line(one) != one)
    assert not any(ord(one) < 32 or 0x7F <= ord(one) < 0xA0 or one in BIDI for one in shown)
    assert len(shown.splitlines()) <= 1
    assert one_line(shown) == shown
    shown.encode()


@given(EVIL)
def test_lines_keep_line_breaks_only(text: str) -> None:
    shown = lines(text)
    assert not any((ord(one) < 32 and one != "\n") or 0x7F <= ord(one) < 0xA0 or one in BIDI for one in shown)
    shown.encode()


@given(st.dictionaries(EVIL, EVIL | st.lists(EVIL)))
def test_json_says_the_same_without_controls(value: dict[str, object]) -> None:
    told = json_text(json.dumps(value, indent=2, ensure_ascii=False))
    assert json.loads(told) == json.loads(json.dumps(value))
    assert not any((ord(one) < 32 and one != "\n") or 0x7F <= ord(one) < 0xA0 or one in BIDI for one in told)
    told.encode()


def test_plain_texts_stay_as_they_are() -> None:
    for text in ("", "a b", "Größe ∆x = 5 µm", "日本語", "naïve\\x1b"):
        assert one_line(text) == lines(text) == text


@given(EVIL, EVIL)
def test_no_message_forges_a_line(text: str, hint: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stream = io.StringIO()
        patch.setattr(sys, "stderr", stream)
        console.configure()
        console.warn(f"{text}\nwarning: forged")
        console.failure(InputError("x", f"{text}\nerror: forged\n{hint}", hint=hint or None))
        with console.step("a step"):
            console.info(f"{text}\nerror: forged")
    told = stream.getvalue()
    heads = [line for line in told.splitlines() if line[:1] not in ("", " ")]
    assert [line.split()[0] for line in heads] == ["warning:", "error:", "a"]
    assert not any((ord(one) < 32 and one != "\n") or 0x7F <= ord(one) < 0xA0 or one in BIDI for one in told)


class Screen(io.StringIO):
    """A stdout that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_result_on_a_terminal_is_harmless_and_in_a_pipe_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    console.configure()
    text = "a\x1b[2J,b\nc\x9b,d"
    for stream, expected in ((Screen(), "a\\x1b[2J,b\nc\\x9b,d\n"), (io.StringIO(), f"{text}\n")):
        monkeypatch.setattr(sys, "stdout", stream)
        console.result(text)
        assert stream.getvalue() == expected
    monkeypatch.setattr(sys, "stdout", stream := io.StringIO())
    console.result({"name": "\x9b\u202e"})
    assert stream.getvalue() == '{\n  "name": "\\u009b\\u202e"\n}\n'
