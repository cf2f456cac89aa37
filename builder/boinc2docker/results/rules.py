"""A project's own rules: a Python file with any of ``validate(result)``, ``equivalent(a, b)`` and
``assimilate(result, store)``.

It is the project's own code and runs with the daemon's rights. A fault in it is reported with its line and never loses
a result.
"""

from __future__ import annotations

import errno
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boinc2docker.atomic import explain
from boinc2docker.errors import BuilderError
from boinc2docker.results.model import InvalidError, Result, RetryError, Store

_SERVER_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class RulesError(BuilderError):
    """A fault in the rules file; ``message`` names its line."""


@dataclass(frozen=True)
class Rules:
    """The functions that a rules file defines."""

    path: Path
    functions: dict[str, Callable[..., Any]]

    def defines(self, name: str) -> bool:
        return name in self.functions

    def validate(self, result: Result) -> bool:
        """Whether the result is valid. A rule may return None for True and raise InvalidError. Raises RulesError,
        RetryError."""
        try:
            answer = self._call("validate", result)
        except InvalidError:
            return False
        return answer is None or self._truth("validate", answer)

    def equivalent(self, a: Result, b: Result) -> bool:
        """Whether the results are equivalent. Raises RulesError, RetryError."""
        try:
            return self._truth("equivalent", self._call("equivalent", a, b))
        except InvalidError:
            return False

    def assimilate(self, result: Result, store: Store) -> None:
        """Raises RulesError, InvalidError, RetryError, or HostError for a full disk."""
        self._call("assimilate", result, store)

    def _truth(self, name: str, answer: object) -> bool:
        if isinstance(answer, bool) or type(answer).__name__ in ("bool_", "bool"):
            return bool(answer)
        raise RulesError("rules-fault", f"{self.path.name}: {name} returned {answer!r:.80}, expected True or False")

    def _call(self, name: str, *arguments: object) -> Any:
        try:
            return self.functions[name](*arguments)
        except (InvalidError, RetryError, KeyboardInterrupt):
            raise
        except OSError as error:
            if error.errno in _SERVER_FAULTS:
                raise explain(error, f"run {name} of {self.path.name}") from error
            raise _fault(self.path, error) from error
        except BaseException as error:  # including sys.exit
            raise _fault(self.path, error) from error


def load(path: Path | None) -> Rules | None:
    """Runs the rules file. Raises RulesError if it cannot be read, fails, or defines none of the functions."""
    if path is None:
        return None
    try:
        code = compile(path.read_bytes(), str(path), "exec")
    except OSError as error:
        raise RulesError("rules-fault", f"cannot read {path}: {error.strerror}") from error
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = f" line {line}" if line else ""
        raise RulesError("rules-fault", f"{path.name}{where}: {type(error).__name__}: {error}") from error
    module = types.ModuleType("project_rules")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # its dataclasses look themselves up there
    try:
        exec(code, module.__dict__)  # noqa: S102 - the project's own file, named in its own app.toml
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _fault(path, error) from error
    known = ("validate", "equivalent", "assimilate")
    functions = {name: value for name in known if callable(value := module.__dict__.get(name))}
    if not functions:
        raise RulesError("rules-fault", f"{path.name} defines none of {', '.join(known)}")
    return Rules(path, functions)


def _fault(path: Path, error: BaseException) -> RulesError:
    """An error that names the innermost line of the rules file in its traceback."""
    line, place = 0, ""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line, place = trace.tb_lineno, trace.tb_frame.f_code.co_name
        trace = trace.tb_next
    where = f" line {line}" + (f", in {place}" if place != "<module>" else "") if line else ""
    return RulesError("rules-fault", f"{path.name}{where}: {type(error).__name__}: {str(error)[:500]}")
