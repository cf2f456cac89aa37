"""``results ls|show|export|plot|retry``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from boinc2docker import atomic, console
from boinc2docker.cli.results_output import as_csv, write_parquet
from boinc2docker.cli.results_plot import Scale, plot
from boinc2docker.errors import BuilderError, InputError, UsageError
from boinc2docker.plain_text import one_line
from boinc2docker.results import assimilate, server
from boinc2docker.results.archive_contents import tails
from boinc2docker.results.index import STATES, Index, Row, opened
from boinc2docker.results.installed import settings_path
from boinc2docker.results.reading import stored_result
from boinc2docker.results.row_text import counted, described, kept, listed, natural
from boinc2docker.results.selection import Line, default_columns, empty_columns, require_known, table
from boinc2docker.results.settings import Settings, load

ACTIONS = {"ls": 0, "show": 1, "export": 0, "plot": 2, "retry": 0}
"""The actions and how many words each takes."""
SHOWN_STATES = (*STATES, "kept")
"""The values of ``--state``. kept: done, although the container failed."""
_OUTPUT_BYTES = 64 << 10


@dataclass(frozen=True)
class Options:
    """The command line. ``settings`` is an app.toml; if None, that of ``app`` in ``project``, as in
    ``installed.settings_path``. A filter that is None fits all. ``raw`` leaves formulas in CSV. ``log`` and ``linear``
    are axes of a plot: x, y or both."""

    settings: Path | None = None
    words: Sequence[str] = ()
    batch: str | None = None
    name: str | None = None
    state: str | None = None
    columns: Sequence[str] = ()
    csv: Path | None = None
    parquet: Path | None = None
    output: Path | None = None
    project: Path | None = None
    app: str | None = None
    raw: bool = False
    log: str | None = None
    linear: str | None = None


def results_command(action: str, options: Options) -> int:
    """Runs ``action`` and returns the exit code. Raises UsageError, InputError, HostError."""
    if action not in ACTIONS:
        raise UsageError("bad-action", f"results: expected {', '.join(ACTIONS)}, found {action[:40]!a}")
    if len(options.words) != ACTIONS[action]:
        wanted = {"show": "the name of a work unit", "plot": "two columns, X and Y"}.get(action, "no more words")
        raise UsageError("bad-words", f"results {action}: expected {wanted}, found {len(options.words)} words")
    if options.state is not None and options.state not in SHOWN_STATES:
        raise UsageError("bad-state", f"--state: expected {', '.join(SHOWN_STATES)}, found {options.state[:40]!a}")
    settings = load(settings_path(options.settings, options.project, options.app))
    if action == "retry":
        return _retry(settings, options)
    with opened(settings.directory, create=False) as index:
        if action == "show":
            _show(settings, index, options.words[0])
        elif action == "ls":
            _list(settings, _rows(settings, index, options))
        elif action == "export":
            _export(settings, index, options)
        else:
            _plot(settings, index, options)
    return 0


def _rows(settings: Settings, index: Index, options: Options) -> list[Row]:
    """The selected rows in natural order: 2 before 10."""
    only_kept = options.state == "kept"
    state = "done" if only_kept else options.state
    found = index.select(app=settings.app, batch=options.batch, name=options.name, state=state)
    rows = [row for row in found if kept(row) or not only_kept]
    return sorted(rows, key=lambda row: (natural(row.batch), row.batch, natural(row.name), row.name))


def _list(settings: Settings, rows: list[Row]) -> None:
    machine = {"app": settings.app, "workunits": [row.as_json() for row in rows], **counted(rows)}
    console.report(machine, listed(settings.app, rows))


def _show(settings: Settings, index: Index, name: str) -> None:
    row = index.find(settings.app, name)
    if row is None:
        raise InputError(
            "no-work-unit",
            f"{settings.app} has no work unit {ascii(name)[1:-1]}",
            hint="`results ls` lists those that came back or failed; `status` those that are on their way",
        )
    result = stored_result(settings, row)
    ended_well = row.state == "done" and row.exit_code in (None, 0)
    # BOINC's database may be absent or slow, so it is asked only about jobs that did not end well.
    tries = () if ended_well else server.tries(settings, name)
    output = "" if ended_well or result.log is None else _last_words(settings, result.log)
    machine = {
        **row.as_json(),
        "path": str(result.directory) if result.directory else None,
        "log": str(result.log) if result.log else None,
        "output": output,
        "tries": [{name: value for name, value in asdict(each).items() if name != "uploads"} for each in tries],
    }
    console.report(machine, described(result, row, output=output, tries=tries))


def _last_words(settings: Settings, log: Path) -> str:
    """The end of the container's stderr, or of its stdout if that is blank; nothing if the log cannot be read."""
    try:
        found = tails(log, settings.limits, ("stdout.txt", "stderr.txt"), _OUTPUT_BYTES)
    except BuilderError as error:
        console.warn(f"{log} cannot be read: {error.message}")
        return ""
    texts = [found.get(name, b"").decode(errors="backslashreplace") for name in ("stderr.txt", "stdout.txt")]
    return next((text for text in texts if text.strip()), "")


def _export(settings: Settings, index: Index, options: Options) -> None:
    rows = _rows(settings, index, options)
    columns = list(options.columns) or default_columns(rows)
    lines = _table(settings, index, rows, columns)
    text = as_csv(lines, columns, raw=options.raw)
    if options.parquet:  # first: it needs a package that may be missing
        write_parquet(options.parquet, lines, columns)
    if options.csv:
        atomic.write_text(options.csv, text)
    if options.csv or options.parquet:
        written = [str(path) for path in (options.csv, options.parquet) if path]
        console.report(
            {"rows": len(lines), "columns": columns, "files": written}, f"{len(lines)} rows in {', '.join(written)}"
        )
    else:
        console.report({"columns": columns, "rows": lines}, text[:-1])


def _table(settings: Settings, index: Index, rows: Sequence[Row], columns: Sequence[str]) -> list[Line]:
    """The chosen columns. A column that no result of the app has is an error; one that only these lack, a warning."""
    lines = table(settings, rows, columns)
    empty = empty_columns(lines, columns)
    if empty and any(index.select(app=settings.app, state="done")):
        require_known(settings, rows, index.select(app=settings.app), empty)
    if lines:
        for name in empty:
            console.warn(f"none of these results has a value for {name}")
    return lines


def _plot(settings: Settings, index: Index, options: Options) -> None:
    x, y = options.words
    scales = _scales(options)
    output = options.output or Path("plot.png")
    rows = _rows(settings, index, options)
    lines = _table(settings, index, rows, [x, y])
    count = plot(output, lines, x, y, title=_title(settings, options, x, y, len(rows)), scales=scales)
    console.report({"file": str(output), "points": count}, f"{count} points in {output}")


def _title(settings: Settings, options: Options, x: str, y: str, count: int) -> str:
    where = f", batch {options.batch}" if options.batch is not None else ""
    return f"{y} against {x}\n{settings.app}{where}: {count} {'result' if count == 1 else 'results'}"


def _scales(options: Options) -> dict[str, Scale]:
    """The forced scale of each axis. Raises UsageError."""
    scales: dict[str, Scale] = {}
    forced: tuple[tuple[Scale, str | None], ...] = (("log", options.log), ("linear", options.linear))
    for scale, axes in forced:
        if axes is not None and axes not in ("x", "y", "xy"):
            raise UsageError("bad-scale", f"--{scale}: expected x, y or xy, found {axes[:40]!a}")
        for axis in axes or "":
            if axis in scales:
                raise UsageError("bad-scale", f"--log {options.log} and --linear {options.linear} both name {axis}")
            scales[axis] = scale
    return scales


def _retry(settings: Settings, options: Options) -> int:
    """Tries failed work units again; the exit code is 1 if one failed again."""
    with opened(settings.directory, create=False) as index:
        found = list(index.select(app=settings.app, batch=options.batch, name=options.name, state="failed"))
    failed = [row for row in found if not assimilate.is_another(row)]
    ended = [_tried(settings, row) for row in failed]
    still = [row for row in ended if row.state == "failed"]
    lines = [one_line(f"{row.name}: {row.state}{f': {row.reason}' if row.state == 'failed' else ''}") for row in ended]
    lines.append(f"{len(ended) - len(still)} of {len(ended)} are done now")
    if others := len(found) - len(failed):
        lines.append(f"{others} left as they are: another result of the same work unit is stored already")
    console.report({"retried": len(ended), "failed": [row.as_json() for row in still]}, "\n".join(lines))
    return 1 if still else 0


def _tried(settings: Settings, row: Row) -> Row:
    """The row after another attempt; if none could be made, the old row with the error as its reason."""
    try:
        return assimilate.retry(settings, row)
    except BuilderError as error:
        return replace(row, reason=error.message)
