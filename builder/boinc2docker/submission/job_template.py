"""A job with ``{column}`` placeholders: in its command, entrypoint, environment, inputs, working directory and user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from boinc2docker.errors import BuilderError, InputError
from boinc2docker.job.inputs import Input
from boinc2docker.job.inputs import parse as parse_input
from boinc2docker.job.job import Job
from boinc2docker.submission.batch.placeholders import Text

_TEXTS = ("entrypoint", "workdir", "user")


@dataclass(frozen=True)
class JobTemplate:
    """``job`` is filled in for each row; ``inputs`` are ``FILE[:NAME]`` texts, which may have placeholders too.

    A value is one piece of a word: it is never split, and never seen by a shell. ``prerun`` and ``postrun``, which are
    shell text, have no placeholders for that reason: they can use environment variables. Raises InputError.
    """

    job: Job
    inputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _ = self._texts, self._command, self._environment, self._inputs

    @cached_property
    def _command(self) -> tuple[Text, ...]:
        return tuple(Text.parse(word, "the command") for word in self.job.command)

    @cached_property
    def _environment(self) -> tuple[tuple[str, Text], ...]:
        return tuple((name, Text.parse(value, f"--env {name}")) for name, value in self.job.environment)

    @cached_property
    def _texts(self) -> tuple[tuple[str, Text], ...]:
        found = ((name, getattr(self.job, name)) for name in _TEXTS)
        return tuple((name, Text.parse(text, f"--{name}")) for name, text in found if text)

    @cached_property
    def _inputs(self) -> tuple[Input | Text, ...]:
        """Inputs without a placeholder are the same for all jobs."""
        texts = [Text.parse(one, "--input") for one in self.inputs]
        return tuple(text if text.columns else parse_input(text.fill({})) for text in texts)

    @property
    def shared_inputs(self) -> tuple[Input, ...]:
        """The inputs that all jobs have."""
        return (*self.job.inputs, *(one for one in self._inputs if isinstance(one, Input)))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns that it needs."""
        return tuple(dict.fromkeys(column for text in self._all() for column in text.columns))

    def _all(self) -> Iterator[Text]:
        yield from self._command
        yield from (text for _, text in self._environment)
        yield from (text for _, text in self._texts)
        yield from (one for one in self._inputs if isinstance(one, Text))

    def fill(self, values: Mapping[str, str]) -> Job:
        """The job of a row. Raises InputError for an unknown column, and for what no job can be made of."""
        try:
            if b"\0" in "".join(values.values()).encode():
                raise InputError("bad-value", "a value has a zero byte, which no command can have")
            changed: dict[str, Any] = {name: text.fill(values) for name, text in self._texts}
            changed["command"] = tuple(text.fill(values) for text in self._command)
            changed["environment"] = tuple((name, text.fill(values)) for name, text in self._environment)
            own = (parse_input(one.fill(values)) if isinstance(one, Text) else one for one in self._inputs)
            changed["inputs"] = (*self.job.inputs, *own)
        except UnicodeEncodeError as error:
            raise InputError("bad-value", "a value has half a character (a lone surrogate)") from error
        except KeyError as error:
            raise unknown_column(str(error.args[0]), tuple(values)) from None
        return replace(self.job, **changed)


def unknown_column(column: str, known: Sequence[str]) -> BuilderError:
    """The error for a placeholder that no column has."""
    there = ", ".join(known[:20]) or "none"
    return InputError(
        "unknown-column",
        f"there is no column {column!r}; there are: {there[:200]}",
        hint="literal braces are doubled in a batch: {{ and }}",
    )
