"""One table of a command's options, from which its command line, its help and its typed values come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "flag", "list"]


@dataclass(frozen=True)
class Option:
    """An option: ``name`` with underscores, as a Python parameter; ``short`` is one letter.

    ``read`` makes a typed value of a text and is called with the text and the option's spelling; it raises
    BuilderErrors. A ``list`` may be given repeatedly, a ``flag`` has no value. ``noun`` names the value in usage texts.
    """

    name: str
    help: str
    kind: Kind = "text"
    read: Callable[[str, str], Any] | None = None
    short: str = ""
    noun: str = ""

    @property
    def spelling(self) -> str:
        """``--like-this``."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def default(self) -> Any:
        """What the option is where it is not given."""
        return {"text": None, "flag": False, "list": ()}[self.kind]

    def value(self, given: Any) -> Any:
        """The typed value of what was typed, None for what was not. Raises what ``read`` raises."""
        if self.kind == "flag":
            return bool(given)
        if self.kind == "list":
            return tuple(self.read(one, self.spelling) if self.read else one for one in given or ())
        return self.read(given, self.spelling) if self.read and given is not None else given


def values(table: tuple[Option, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """The typed value of every option of ``table``, by name. Raises UsageError or InputError."""
    return {one.name: one.value(given.get(one.name, one.default)) for one in table}
