"""XML files edited as text: what is not ours keeps its bytes, comments and order.

Expat tells where every element lies in the bytes; an edit is a piece of text put at one place. Document types are
refused: BOINC's parsers know none, and entities are how a small file becomes a large one.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from boinc2docker.errors import InputError

_ASCII_COMPATIBLE = {None, "utf-8", "us-ascii", "ascii", "iso-8859-1", "latin-1"}
_NOT_QUOTED = re.compile(rb"""(?:[^"'>]|"[^"]*"|'[^']*')*>""")


@dataclass
class Element:
    """An element and where it lies: ``start`` at its ``<``, ``content`` behind its start tag, ``close`` at its ``</``.

    An empty-element tag has no ``close``.
    """

    name: str
    start: int
    content: int
    close: int | None = None
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The element's own text, without blanks around it."""
        return "".join(self.pieces).strip()

    def all(self, name: str) -> Iterator[Element]:
        """Its children of this name."""
        return (child for child in self.children if child.name == name)

    def end(self, data: bytes) -> int:
        """Where it ends in the bytes it was read from: behind the ``>`` of its last tag."""
        return self.content if self.close is None else data.index(b">", self.close) + 1

    def source(self, data: bytes) -> bytes:
        """Its own bytes."""
        return data[self.start : self.end(data)]

    def child_text(self, name: str) -> str | None:
        """The text of the first child of this name; None if there is none."""
        return next((child.text for child in self.all(name)), None)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.root: Element | None = None
        self.open: list[Element] = []
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.XmlDeclHandler = self._declaration

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        start = self.parser.CurrentByteIndex
        tag = _NOT_QUOTED.match(self.data, start)
        element = Element(name, start, tag.end() if tag else start)
        if self.open:
            self.open[-1].children.append(element)
        else:
            self.root = element
        self.open.append(element)

    def _end(self, _name: str) -> None:
        element = self.open.pop()
        if not self.data.startswith(b"/>", element.content - 2):
            element.close = self.parser.CurrentByteIndex

    def _text(self, text: str) -> None:
        if self.open:
            self.open[-1].pieces.append(text)

    def _doctype(self, *_: object) -> None:
        raise InputError("bad-xml", "a document type declaration, which BOINC does not read")

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if (encoding.lower() if encoding else None) not in _ASCII_COMPATIBLE:
            raise InputError("bad-xml", f"encoding {encoding}; expected UTF-8, ASCII or ISO-8859-1")


def parse(data: bytes, name: str) -> Element:
    """The root element of an XML file. Raises InputError with line and column of what is wrong."""
    reader = _Reader(data)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError("bad-xml", f"{name}: expected UTF-8, found UTF-16")
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        where = f"line {error.lineno}, column {error.offset + 1}"
        raise InputError("bad-xml", f"{name}, {where}: {expat.ErrorString(error.code)}") from error
    except InputError as error:
        raise InputError(error.code, f"{name}: {error.message}") from error
    if reader.root is None:
        raise InputError("bad-xml", f"{name}: no element found")
    return reader.root


def append_child(data: bytes, parent: Element, fragment: str) -> bytes:
    """``data`` with ``fragment`` (lines without common indentation) as the last child of ``parent``.

    Indentation and line ends follow the file's own. Everything else keeps its bytes; only ``<parent/>`` is opened.
    """
    newline = b"\r\n" if b"\r\n" in data else b"\n"
    outer = _indentation(data, parent.start)
    inner = _indentation(data, parent.children[-1].start) if parent.children else None
    if inner is None or not inner.startswith(outer or b"") or inner == outer:
        inner = (outer or b"") + b"    "
    raw = fragment.encode("ascii", "xmlcharrefreplace").strip(b"\n").split(b"\n")
    lines = newline.join(inner + line for line in raw)
    if parent.close is None:
        tag = data[parent.start : parent.content - 2].rstrip()
        closed = b"</" + parent.name.encode() + b">"
        body = tag + b">" + newline + lines + newline + (outer or b"") + closed
        return data[: parent.start] + body + data[parent.content :]
    at, own_line = _before_close(data, parent.close)
    before = b"" if own_line else newline
    after = newline if own_line else newline + (outer or b"")
    return data[:at] + before + lines + after + data[at:]


def replace(data: bytes, element: Element, fragment: str) -> bytes:
    """``data`` with ``fragment`` (lines without common indentation) in the place of ``element``; all else stays."""
    newline = b"\r\n" if b"\r\n" in data else b"\n"
    raw = fragment.encode("ascii", "xmlcharrefreplace").strip(b"\n").split(b"\n")
    body = (newline + (_indentation(data, element.start) or b"")).join(raw)
    return data[: element.start] + body + data[element.end(data) :]


def canonical(source: bytes) -> str | None:
    """An element's text without the blanks that only lay it out; None if it is not well-formed by itself.

    Comments count: an entry that somebody has commented is no longer as it was written.
    """
    builder = ET.TreeBuilder(insert_comments=True, insert_pis=True)
    try:
        root = ET.fromstring(source, ET.XMLParser(target=builder))  # noqa: S314 - part of a file without entities
    except (ET.ParseError, ValueError):
        return None
    for one in root.iter():
        one.text, one.tail = (one.text or "").strip() or None, (one.tail or "").strip() or None
    return ET.tostring(root, encoding="unicode")


def _before_close(data: bytes, close: int) -> tuple[int, bool]:
    """Where to insert before an end tag: at the start of its line if it stands alone there."""
    line = data.rfind(b"\n", 0, close) + 1
    return (line, True) if line and not data[line:close].strip(b" \t") else (close, False)


def _indentation(data: bytes, at: int) -> bytes | None:
    """The blanks before ``at`` if nothing else is before it on its line."""
    blanks = data[data.rfind(b"\n", 0, at) + 1 : at]
    return blanks if not blanks.strip(b" \t") else None


def parse_loosely(data: bytes, name: str, root: str, kind: str) -> Element:
    """The root and its ``kind`` elements with their names, of a file that only BOINC's own parser can read.

    BOINC's ``plan_class_spec.xml.sample`` is such a file (an end tag without its slash), and projects start from it.
    Nothing but comments, the root's tags, the entries' tags and their first ``<name>`` is looked at. Raises InputError
    if these do not pair.
    """
    masked = re.sub(rb"<!--.*?-->", lambda comment: b" " * len(comment[0]), data, flags=re.DOTALL)
    opening, closing = (list(re.finditer(tag % re.escape(root.encode()), masked)) for tag in (rb"<%s>", rb"</%s>"))
    tags = list(re.finditer(rb"<(/?)%s>" % re.escape(kind.encode()), masked))
    pairs = list(zip(tags[::2], tags[1::2], strict=False))
    paired = len(tags) % 2 == 0 and all(not first[1] and second[1] for first, second in pairs)
    if len(opening) != 1 or len(closing) != 1 or not paired or b"<!" in masked:
        raise InputError("bad-xml", f"{name}: the tags of its <{kind}> elements do not pair")
    found = Element(root, opening[0].start(), opening[0].end(), closing[0].start())
    for first, second in pairs:
        entry = Element(kind, first.start(), first.end(), second.start())
        if named := re.search(rb"<name>([^<]*)</name>", masked[first.end() : second.start()]):
            entry.children.append(Element("name", 0, 0, pieces=[named[1].decode("utf-8", "replace")]))
        found.children.append(entry)
    return found
