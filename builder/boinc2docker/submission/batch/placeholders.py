"""Texts with ``{column}`` placeholders, filled in for each job of a batch. Pure.

``{{`` and ``}}`` are literal braces. Values are inserted as they are: braces in them mean nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from boinc2docker.errors import InputError

COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)
_PIECE = re.compile(r"[^{}]+|\{\{|\}\}|\{[^{}]*\}|.", re.DOTALL)


@dataclass(frozen=True)
class Text:
    """A parsed text: pairs of a literal and a column, one of which is empty."""

    pieces: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str, what: str) -> Text:
        """Raises InputError, naming ``what``, for a brace that is neither doubled nor around a column's name."""
        pieces: list[tuple[str, str]] = []
        for piece in _PIECE.findall(text):
            if piece in ("{{", "}}"):
                pieces.append((piece[0], ""))
            elif piece[0] not in "{}":
                pieces.append((piece, ""))
            elif len(piece) > 2 and COLUMN.fullmatch(piece[1:-1]):
                pieces.append(("", piece[1:-1]))
            else:
                raise InputError(
                    "bad-placeholder",
                    f"{what}: {piece[:80]!r} is not a {{column}}",
                    hint="in a batch, literal braces are doubled: {{ and }}",
                )
        return cls(tuple(pieces))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it uses, in order of appearance."""
        return tuple(dict.fromkeys(column for _, column in self.pieces if column))

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with the values filled in. Raises KeyError with the name of a missing column."""
        return "".join(values[column] if column else literal for literal, column in self.pieces)


def escape(text: str) -> str:
    """``text`` with its braces doubled, so that ``Text`` reproduces it."""
    return text.replace("{", "{{").replace("}", "}}")
