"""The command lines by which BOINC's script_assimilator and script_validator call a script.

Servers up to 1.4 replace the tokens of the registered command. Servers 1.6.1 and 1.6.2 recognise no tokens: for a
command without any they pass ``wu_id file…``, for one with tokens nothing at all. So unless app.toml has ``tokens``,
the words themselves show the form: a file is a path with a slash, and nothing else has one.
Sources: sched/script_assimilator.cpp, sched/script_validator.cpp, html/inc/common_defs.inc of BOINC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from boinc2docker.errors import UsageError
from boinc2docker.project.work_unit_errors import reasons
from boinc2docker.results.work_unit_names import parse_output


@dataclass(frozen=True)
class Assimilate:
    """A work unit with a canonical result. None: the server did not say."""

    name: str
    files: tuple[Path, ...]
    id: int | None = None
    batch: int | None = None
    runtime: float | None = None


@dataclass(frozen=True)
class WorkUnitError:
    """A work unit that ended without a result; ``mask`` gives the reasons, see ``work_unit_errors``."""

    name: str
    mask: int
    id: int | None = None
    batch: int | None = None

    @property
    def reason(self) -> str:
        return ", ".join(reasons(self.mask)) or f"error mask {self.mask}"


def parse_assimilate(words: Sequence[str], tokens: Sequence[str] = ()) -> Assimilate | WorkUnitError:
    """The assimilator's task. Raises UsageError if the words do not name a result."""
    if words[:1] == ["--error"] or words[:1] == ("--error",):
        return _error(words[1:])
    if not words:
        raise UsageError(
            "no-arguments",
            "script_assimilator passed no arguments, so the result is unknown",
            hint="servers since 1.6.1 understand no tokens: register --script with the script's name alone",
        )
    given = _by_tokens(words, tokens) if tokens else None
    scalars, files = given or _by_form(words)
    name = scalars.get("wu_name") or _name_of(files) or (f"wu_{scalars['wu_id']}" if "wu_id" in scalars else None)
    if name is None:
        raise UsageError(
            "no-work-unit",
            f"expected a work unit's ID or name, found: {' '.join(ascii(word)[1:-1] for word in words)[:300]}",
        )
    return Assimilate(
        name=name,
        files=files,
        id=_integer(scalars.get("wu_id")),
        batch=_integer(scalars.get("batch_id")),
        runtime=_number(scalars.get("runtime")),
    )


def _error(words: Sequence[str]) -> WorkUnitError:
    if len(words) < 2 or _integer(words[0]) is None:
        raise UsageError("bad-error-form", "expected --error MASK wu_name wu_id batch_id")
    number, batch = (_integer(words[i]) if len(words) > i else None for i in (2, 3))
    return WorkUnitError(name=words[1], mask=_integer(words[0]) or 0, id=number, batch=batch)


def _by_tokens(words: Sequence[str], tokens: Sequence[str]) -> tuple[dict[str, str], tuple[Path, ...]] | None:
    """The words in the order of ``tokens``; None if they do not fit, as from a server that ignores tokens."""
    lists = [i for i, token in enumerate(tokens) if token in ("files", "files2")]
    if len(lists) > 1 or len(words) < len(tokens) - len(lists) or (not lists and len(words) != len(tokens)):
        return None
    before = lists[0] if lists else len(tokens)
    after = len(tokens) - before - len(lists)
    middle = list(words[before : len(words) - after])
    scalars = dict(zip(tokens[:before], words[:before], strict=True))
    if after:
        scalars |= dict(zip(tokens[-after:], words[-after:], strict=True))
    numbers = [scalars.get(key) for key in ("wu_id", "result_id", "batch_id", "runtime")]
    if any(word is not None and _number(word) is None for word in numbers):
        return None
    if any("/" in word for word in scalars.values()) or any("/" not in word for word in middle[:1]):
        return None
    paired = bool(lists) and tokens[lists[0]] == "files2"
    return scalars, tuple(Path(word) for word in (middle[::2] if paired else middle))


def _by_form(words: Sequence[str]) -> tuple[dict[str, str], tuple[Path, ...]]:
    """Without tokens: paths are files, the first whole number is the ID, a word that files begin with is the name."""
    files = tuple(Path(word) for word in words if "/" in word)
    scalars: dict[str, str] = {}
    for word in words:
        if "/" in word:
            continue
        if "wu_id" not in scalars and _integer(word) is not None:
            scalars["wu_id"] = word
        elif any(path.name.startswith(f"{word}_") for path in files):
            scalars.setdefault("wu_name", word)
        else:
            raise UsageError(
                "unclear-arguments",
                f"expected a path, an ID or a work unit's name, found {ascii(word)[:80]}",
                hint="register the script without tokens, or list them in app.toml as results.tokens",
            )
    return scalars, files


def parse_validate(words: Sequence[str]) -> tuple[Path, ...]:
    """The files of one result (init script). Raises UsageError if there are none."""
    files = tuple(Path(word) for word in words if "/" in word)
    if not files:
        raise UsageError(
            "no-arguments",
            "script_validator passed no files",
            hint="servers since 1.6.1 understand no tokens: register the scripts by their names alone",
        )
    return files


def parse_compare(words: Sequence[str]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The files of both results: grouped by the results' names, else split into halves."""
    files = parse_validate(words)
    names = [parse_output(path.name) for path in files]
    results = list(dict.fromkeys(name.result for name in names if name is not None))
    if all(names) and len(results) == 2:
        first, second = (
            tuple(path for path, name in zip(files, names, strict=True) if name is not None and name.result == result)
            for result in results
        )
        return first, second
    if len(files) % 2:
        raise UsageError("odd-files", f"expected as many files of one result as of the other, found {len(files)}")
    return files[: len(files) // 2], files[len(files) // 2 :]


def _name_of(files: Sequence[Path]) -> str | None:
    for path in files:
        parsed = parse_output(path.name)
        if parsed is not None:
            return parsed.workunit
    return files[0].name if files else None


def _integer(word: str | None) -> int | None:
    return int(word) if word is not None and word.isascii() and word.isdigit() and len(word) <= 18 else None


def _number(word: str | None) -> float | None:
    try:
        return float(word) if word is not None else None
    except ValueError:
        return None
