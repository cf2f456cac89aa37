"""XML documents that BOINC's own parsers read: parsed and written by the standard library, with BOINC's spelling."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from boinc2docker.errors import InputError


def parse(data: bytes, what: str) -> ET.Element:
    """The root element; ``what`` names the document in the InputError for anything that is not XML.

    Document types are refused: BOINC's parsers know none, and entities are how a small file becomes a large one.
    """
    if b"<!DOCTYPE" in data:
        raise InputError("bad-xml", f"{what} has a document type declaration, which BOINC does not read")
    try:
        return ET.fromstring(data)  # noqa: S314 - no document type, so no entities
    except ET.ParseError as error:
        line, column = error.position
        raise InputError("bad-xml", f"{what}, line {line}, column {column + 1}: {error}") from error


def read(path: Path, what: str, *, hint: str | None = None) -> ET.Element:
    """The root element of a file. Raises InputError, with ``hint`` if the file cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError("missing-file", f"cannot read {what} {path}: {error.strerror}", hint=hint) from error
    return parse(data, str(path))


def text(element: ET.Element, name: str) -> str:
    """The text of the first element at this path below ``element``, without blanks around it; ``""`` if none is."""
    return (element.findtext(name) or "").strip()


def child(parent: ET.Element, name: str, content: object = None) -> ET.Element:
    """A new last child of ``parent``, with the content's text unless that is None."""
    made = ET.SubElement(parent, name)
    if content is not None:
        made.text = str(content)
    return made


def render(root: ET.Element) -> bytes:
    """The document, indented, in UTF-8, without a declaration.

    No characters by number: of ``&#233;`` BOINC's parser makes one byte, and ``&#8364;`` it leaves as it is.
    Empty elements are written ``<copy_file/>``: BOINC looks for that very spelling. A ``>`` in text is always escaped,
    so the replacement below can only meet the end of a tag.
    """
    ET.indent(root, "    ")
    text: str = ET.tostring(root, encoding="unicode")
    return text.replace(" />", "/>").encode() + b"\n"
