"""Texts of strangers, made harmless for terminals and logs: names of files and columns, messages, output of jobs.

A terminal acts on C0 and C1 controls (ECMA-48), and shows texts in another order after bidirectional controls
(UAX #9; CVE-2021-42574). A line break lets a text look like a line of somebody else's.
"""

from __future__ import annotations

import re

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # order, breaks, what is not seen
    "\ud800-\udfff"  # bytes that were no UTF-8
    "\U000e0000-\U000e0fff]"
)


def one_line(text: str) -> str:
    """``text`` as one line that shows all it holds: whatever a terminal acts on is an escape such as ``\\x1b``."""
    return _UNSAFE.sub(_escape, text)


def lines(text: str) -> str:
    """As ``one_line``, for a text that may have several: line breaks stay, tabs are blanks, CR LF is a line break."""
    return "\n".join(one_line(line.replace("\t", "    ")) for line in text.replace("\r\n", "\n").split("\n"))


def json_text(text: str) -> str:
    """A JSON document that reads the same, with what a terminal acts on as ``\\uXXXX``; line breaks stay.

    Outside of its strings JSON has no such characters but line breaks.
    """
    return _UNSAFE.sub(lambda found: found[0] if found[0] == "\n" else _json_escape(found[0]), text)


def storable(text: str) -> str:
    """``text`` for files and SQLite, which take UTF-8 only: lone surrogates, from bytes that were no UTF-8 or from a
    stranger's JSON, become escapes."""
    return text.encode(errors="backslashreplace").decode()


def _escape(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]


def _json_escape(character: str) -> str:
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
