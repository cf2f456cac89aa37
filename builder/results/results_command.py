"""``invoke results ls|show|export|plot|retry``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from builder import atomic, console
from builder.errors import BuilderError, InputError, UsageError
from builder.results import assimilate
from builder.results.index import STATES, Index, Row, opened
from builder.results.output import as_csv, plot, write_parquet
from builder.results.selection import default_columns, table
from builder.results.settings import Settings, load

ACTIONS = {"ls": 0, "show": 1, "export": 0, "plot": 2, "retry": 0}
"""Each action and the number of words it takes."""


@dataclass(frozen=True)
class Options:
    """What the command line says. ``settings`` is an app.toml; filters are None for all."""

    settings: Path
    words: Sequence[str] = ()
    batch: str | None = None
    name: str | None = None
    state: str | None = None
    columns: Sequence[str] = ()
    csv: Path | None = None
    parquet: Path | None = None
    output: Path | None = None


def results_command(action: str, options: Options) -> int:
    """Does ``action``; returns the exit code. Raises UsageError, InputError, HostError."""
    if action not in ACTIONS:
        raise UsageError("bad-action", f"results: expected {', '.join(ACTIONS)}, found {action[:40]!a}")
    if len(options.words) != ACTIONS[action]:
        wanted = {"show": "the name of a work unit", "plot": "two columns, X and Y"}.get(action, "no more words")
        raise UsageError("bad-words", f"results {action}: expected {wanted}, found {len(options.words)} words")
    if options.state is not None and options.state not in STATES:
        raise UsageError("bad-state", f"--state: expected {', '.join(STATES)}, found {options.state[:40]!a}")
    settings = load(options.settings)
    if action == "retry":
        return _retry(settings, options)
    with opened(settings.directory, create=False) as index:
        if action == "show":
            _show(settings, index, options.words[0])
        elif action == "ls":
            _list(settings, _rows(settings, index, options))
        elif action == "export":
            _export(settings, _rows(settings, index, options), options)
        else:
            _plot(settings, _rows(settings, index, options), options)
    return 0


def _rows(settings: Settings, index: Index, options: Options) -> list[Row]:
    return list(index.select(app=settings.app, batch=options.batch, name=options.name, state=options.state))


def _list(settings: Settings, rows: list[Row]) -> None:
    lines = [
        f"{row.batch:<12} {row.name:<32} {row.state:<6} {_seconds(row.seconds):>10}  {row.reason or ''}".rstrip()
        for row in rows
    ]
    counts = {state: sum(row.state == state for row in rows) for state in STATES}
    lines.append(f"{len(rows)} work units of {settings.app}: " + ", ".join(f"{n} {s}" for s, n in counts.items()))
    console.report({"app": settings.app, "workunits": [row.as_json() for row in rows], **counts}, "\n".join(lines))


def _show(settings: Settings, index: Index, name: str) -> None:
    row = index.find(settings.app, name)
    if row is None:
        raise InputError(
            "no-work-unit", f"{settings.app} has no work unit {ascii(name)[1:-1]}", hint="invoke results ls"
        )
    lines = [f"{key:<12} {value}" for key, value in row.as_json().items() if value not in (None, {}, "")]
    console.report({**row.as_json(), "path": str(settings.directory / (row.directory or "."))}, "\n".join(lines))


def _export(settings: Settings, rows: list[Row], options: Options) -> None:
    columns = list(options.columns) or default_columns(rows)
    lines = table(settings.directory, rows, columns)
    if options.csv:
        atomic.write_text(options.csv, as_csv(lines, columns))
    if options.parquet:
        write_parquet(options.parquet, lines, columns)
    if options.csv or options.parquet:
        written = [str(path) for path in (options.csv, options.parquet) if path]
        console.report(
            {"rows": len(lines), "columns": columns, "files": written}, f"{len(lines)} rows in {', '.join(written)}"
        )
    else:
        console.report({"columns": columns, "rows": lines}, as_csv(lines, columns).rstrip("\n"))


def _plot(settings: Settings, rows: list[Row], options: Options) -> None:
    x, y = options.words
    output = options.output or Path("plot.png")
    count = plot(output, table(settings.directory, rows, [x, y]), x, y)
    console.report({"file": str(output), "points": count}, f"{count} points in {output}")


def _retry(settings: Settings, options: Options) -> int:
    """Exit code 1 if one of them failed again."""
    with opened(settings.directory, create=False) as index:
        found = list(index.select(app=settings.app, batch=options.batch, name=options.name, state="failed"))
    failed = [row for row in found if not assimilate.is_another(row)]
    ended = [_tried(settings, row) for row in failed]
    still = [row for row in ended if row.state == "failed"]
    lines = [f"{row.name}: {row.state}{f': {row.reason}' if row.state == 'failed' else ''}" for row in ended]
    lines.append(f"{len(ended) - len(still)} of {len(ended)} are done now")
    if others := len(found) - len(failed):
        lines.append(f"{others} left alone: another result of their work unit is in its place")
    console.report({"retried": len(ended), "failed": [row.as_json() for row in still]}, "\n".join(lines))
    return 1 if still else 0


def _tried(settings: Settings, row: Row) -> Row:
    """The row as another attempt leaves it; where none can be made, as it was, with the error as its reason."""
    try:
        return assimilate.retry(settings, row)
    except BuilderError as error:
        return replace(row, reason=error.message)


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"
