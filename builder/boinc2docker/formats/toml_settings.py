"""Settings and locks: TOML files read into frozen dataclasses by cattrs, and written by tomli-w.

A dataclass's fields are the keys of its table. ``key`` gives a field another name in the file; ``Annotated`` with a
``Rule`` narrows its values (as an alias of the module: a lambda in a field's annotation sees no globals). Nothing is
converted: a number in quotes is a mistake. All mistakes of a file are reported in one error: the file, then the path of
each key with what was expected and what was found.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import re
import tomllib
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

import tomli_w

from boinc2docker.digest import Digest
from boinc2docker.errors import BuilderError, InputError

if TYPE_CHECKING:
    import cattrs  # a tenth of a second: imported where a file is read

T = TypeVar("T")
_KEY = "toml key"


@dataclass(frozen=True)
class Rule:
    """What a value has to be beyond its type: in words for the error, and as a test."""

    expected: str
    holds: Callable[[Any], bool]


def matching(pattern: str, expected: str) -> Rule:
    """Texts that match ``pattern`` as a whole."""
    return Rule(expected, lambda text: re.fullmatch(pattern, text) is not None)


Text = Annotated[str, Rule("a text, not empty", bool)]
Count = Annotated[int, Rule("a whole number, 0 or more", lambda number: number >= 0)]
Amount = Annotated[float, Rule("a number, 0 or more", lambda number: math.isfinite(number) and number >= 0)]
Url = Annotated[str, matching(r"(https?|file)://[^\s\"]+", "a URL (http, https or file)")]


FILLED = Rule("a list, not empty", bool)


def key(name: str) -> dict[str, str]:
    """The ``metadata`` of a dataclass field that is called ``name`` in the file."""
    return {_KEY: name}


@dataclass(frozen=True)
class TomlFile(Generic[T]):
    """A kind of TOML file: the type of its content, and the code and hint of the InputErrors about it."""

    kind: type[T]
    code: str
    hint: str | None = None

    def read(self, path: Path) -> T:
        """The content of a file. Raises InputError."""
        return self.structure(self.document(path), path.name)

    def parse(self, text: str, name: str) -> T:
        """The content of a text; errors call it ``name``. Raises InputError."""
        return self.structure(self.load(text, name), name)

    def document(self, path: Path) -> dict[str, Any]:
        """The tables of a file as they are, to be changed before ``structure`` reads them. Raises InputError."""
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise self._error(f"cannot read {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise self._error(f"cannot read {path}: expected UTF-8: {error.reason}") from error
        return self.load(text, path.name)

    def load(self, text: str, name: str) -> dict[str, Any]:
        """The tables of a text as they are. Raises InputError."""
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise self._error(f"{name} is not TOML: {error}") from error

    def structure(self, document: Mapping[str, Any], name: str) -> T:
        """The content out of parsed tables. Raises InputError that names everything that is wrong."""
        from cattrs import BaseValidationError

        try:
            return _converter().structure(document, self.kind)
        except (BaseValidationError, _WrongValueError, BuilderError) as error:
            raise self._error(f"{name}: {'; '.join(_mistakes(error, ''))}") from error

    def _error(self, message: str) -> InputError:
        return InputError(self.code, message, hint=self.hint)


def render(document: Mapping[str, Any], comment: str = "") -> str:
    """A TOML text of ``document``, in its order, after ``comment``, which is whole lines."""
    return comment + tomli_w.dumps(document)


class _WrongValueError(Exception):
    def __init__(self, expected: str, found: object) -> None:
        shown = repr(found)
        super().__init__(f"expected {expected}, found {shown if len(shown) <= 80 else f'{shown[:80]}…'}")


_PLAIN: Mapping[type, tuple[tuple[type, ...], str]] = {
    str: ((str,), "a text"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    bool: ((bool,), "true or false"),
}
"""Types of single values: what TOML has for them, and their name in errors."""


@functools.cache
def _converter() -> cattrs.Converter:
    import cattrs
    from cattrs.cols import homogenous_tuple_structure_factory
    from cattrs.gen import make_dict_structure_fn, mapping_structure_factory, override

    made = cattrs.Converter(forbid_extra_keys=True)

    def table(kind: Any, converter: Any) -> Any:
        hints = typing.get_type_hints(kind, include_extras=True)
        for one in dataclasses.fields(kind):
            one.type = hints[one.name]  # cattrs would resolve the annotation without what Annotated adds
        keys: dict[str, Any] = {one.name: override(rename=one.metadata.get(_KEY)) for one in dataclasses.fields(kind)}
        return _checked(dict, "a table", make_dict_structure_fn(kind, converter, **keys))

    def tables(kind: Any, converter: Any) -> Any:
        return _checked(dict, "a table", mapping_structure_factory(kind, converter))

    def values(kind: Any, converter: Any) -> Any:
        return _checked(list, "a list", homogenous_tuple_structure_factory(kind, converter))

    made.register_structure_hook_factory(dataclasses.is_dataclass)(table)
    made.register_structure_hook_factory(_is_of(dict, Mapping))(tables)
    made.register_structure_hook_factory(_is_of(tuple))(values)
    made.register_structure_hook_factory(lambda kind: bool(_rules(kind)))(_ruled)
    made.register_structure_hook_func(lambda kind: isinstance(kind, type) and issubclass(kind, Enum), _choice)
    for kind in _PLAIN:
        made.register_structure_hook(kind, _plain)
    made.register_structure_hook(Digest, lambda value, _: Digest.parse(_plain(value, str)))
    return made


def _is_of(*origins: Any) -> Callable[[Any], bool]:
    return lambda kind: typing.get_origin(kind) in origins


def _checked(found: type, expected: str, read: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """``read`` for values of the type ``found`` only: cattrs would take a text for a list of its characters."""

    def checked(value: Any, kind: Any) -> Any:
        if not isinstance(value, found):
            raise _WrongValueError(expected, value)
        return read(value, kind)

    return checked


def _plain(value: Any, kind: type) -> Any:
    kinds, expected = _PLAIN[kind]
    if not isinstance(value, kinds) or (isinstance(value, bool) and kind is not bool):
        raise _WrongValueError(expected, value)
    return kind(value)


def _choice(value: Any, kind: type[Enum]) -> Enum:
    for member in kind:
        if member.value == value:
            return member
    raise _WrongValueError(f"one of {', '.join(str(member.value) for member in kind)}", value)


def _rules(kind: Any) -> list[Rule]:
    """The rules of an ``Annotated`` type; none for another."""
    return [one for one in getattr(kind, "__metadata__", ()) if isinstance(one, Rule)]


def _ruled(kind: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    rules, plain = _rules(kind), typing.get_args(kind)[0]
    read = converter.get_structure_hook(plain)

    def ruled(value: Any, _: Any) -> Any:
        made = read(value, plain)
        for rule in rules:
            if not rule.holds(made):
                raise _WrongValueError(rule.expected, value)
        return made

    return ruled


def _mistakes(error: BaseException, path: str) -> Iterator[str]:
    """One text for each single mistake in what cattrs raised about the value at ``path``."""
    from cattrs import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError

    here = f"{path}: " if path else ""
    if isinstance(error, ClassValidationError):
        noted, whole = error.group_exceptions()
        names = _keys(error.cl)
        for inner, note in noted:
            yield from _mistakes(inner, f"{path}.{names[note.name]}".lstrip("."))
        for inner in whole:
            yield from _mistakes(inner, path)
    elif isinstance(error, IterableValidationError):
        for inner, place in error.group_exceptions()[0]:
            index = f"[{place.index}]" if isinstance(place.index, int) else f".{place.index}"
            yield from _mistakes(inner, f"{path}{index}".lstrip("."))
    elif isinstance(error, ForbiddenExtraKeysError):
        for name in sorted(error.extra_fields):
            near = difflib.get_close_matches(name, _keys(error.cl).values(), 1)
            yield f"{here}unknown key {name!r}" + (f" (did you mean {near[0]!r}?)" if near else "")
    elif isinstance(error, KeyError):
        yield f"{here}missing"
    else:
        yield f"{here}{error}"


def _keys(kind: type) -> dict[str, str]:
    """The keys of a table in the file, by the names of its dataclass's fields."""
    return {one.name: one.metadata.get(_KEY, one.name) for one in dataclasses.fields(kind)}
