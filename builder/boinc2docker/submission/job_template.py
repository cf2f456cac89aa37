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
    """``job`` is filled in for each row. ``inputs`` are ``FILE[:NAME]`` texts, which may have placeholders too.

    A value stays inside its word: it is never split and never seen by a shell. So ``prerun`` and ``postrun``, which are
    shell text, have no placeholders; they can use environment variables. Raises InputError.
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
        texts = ((name, getattr(self.job, name)) for name in _TEXTS)
        return tuple((name, Text.parse(text, f"--{name}")) for name, text in texts if text)

    @cached_property
    def _inputs(self) -> tuple[Input | Text, ...]:
        """Inputs without a placeholder are shared by all jobs."""
        texts = [Text.parse(text, "--input") for text in self.inputs]
        return tuple(text if text.columns else parse_input(text.fill({})) for text in texts)

    @property
    def shared_inputs(self) -> tuple[Input, ...]:
        """The inputs that all jobs share."""
        return (*self.job.inputs, *(entry for entry in self._inputs if isinstance(entry, Input)))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns it uses."""
        return tuple(dict.fromkeys(column for text in self._all() for column in text.columns))

    def _all(self) -> Iterator[Text]:
        yield from self._command
        yield from (text for _, text in self._environment)
        yield from (text for _, text in self._texts)
        yield from (entry for entry in self._inputs if isinstance(entry, Text))

    def fill(self, values: Mapping[str, str]) -> Job:
        """The job of a row. Raises InputError for an unknown column or a value that no job can have."""
        try:
            if b"\0" in "".join(values.values()).encode():
                raise InputError("bad-value", "a value has a zero byte, which no command can contain")
            changed: dict[str, Any] = {name: text.fill(values) for name, text in self._texts}
            changed["command"] = tuple(text.fill(values) for text in self._command)
            changed["environment"] = tuple((name, text.fill(values)) for name, text in self._environment)
            filled = (parse_input(entry.fill(values)) if isinstance(entry, Text) else entry for entry in self._inputs)
            changed["inputs"] = (*self.job.inputs, *filled)
        except UnicodeEncodeError as error:
            raise InputError("bad-value", "a value has half a character (a lone surrogate)") from error
        except KeyError as error:
            raise unknown_column(str(error.args[0]), tuple(values)) from None
        return replace(self.job, **changed)


def unknown_column(column: str, known: Sequence[str]) -> BuilderError:
    """The error for a placeholder without a column."""
    columns = ", ".join(known[:20]) or "none"
    return InputError(
        "unknown-column",
        f"there is no column {column!r}; the columns are: {columns[:200]}",
        hint="in a batch, literal braces are doubled: {{ and }}",
    )
