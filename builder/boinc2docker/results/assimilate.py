"""The assimilator: ``python -m boinc2docker.results.assimilate --settings APP.TOML [words of script_assimilator]``.

Exit 0: the work unit has its row, as done, failed or error. Any other code means a fault of the server: BOINC's daemon
stops and tries again later, and nothing of the result has been removed.

The order is stage, rename, write the row: a kill at any point loses nothing, and running again gives the same end.

The uploads are copied, not moved: BOINC compares later replicas with the canonical result's files
(sched/validate_util2.cpp, check_pair), and its file_deleter removes them when the last replica is over
(sched/transitioner.cpp).
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from boinc2docker.atomic import explain, make_directory
from boinc2docker.errors import BuilderError, HostError, InputError
from boinc2docker.formats.bounded_tar import UnreadableError
from boinc2docker.locks import exclusively, lock_of
from boinc2docker.results import failed_logs, server
from boinc2docker.results import rules as project_rules
from boinc2docker.results.arguments import Assimilate, WorkUnitError, parse_assimilate
from boinc2docker.results.daemon_script import run_script
from boinc2docker.results.index import MOST_REASON, Index, Row, opened
from boinc2docker.results.job_record import JobRecord, read_log
from boinc2docker.results.model import InvalidError, Result, RetryError, Store
from boinc2docker.results.output_files import assign, present
from boinc2docker.results.placement import ERROR, FAILURE, RECORD, UNPACKED, Placement
from boinc2docker.results.rules import RulesError
from boinc2docker.results.settings import Settings, load
from boinc2docker.results.unpack import unpack

Outputs = dict[str, dict[str, Any]]


def assimilate(settings: Settings, request: Assimilate | WorkUnitError) -> Row:
    """Stores the outcome of one work unit and returns its row.

    Raises HostError or UnreadableError for a fault of the server; the request can then be repeated.
    """
    batch = _batch(settings, request)
    _make(settings.directory)
    if isinstance(request, WorkUnitError):
        return _failed_on_hosts(settings, request, batch)
    with (
        exclusively(lock_of(settings.directory, f"{settings.app}/{request.name}")),
        opened(settings.directory) as index,
    ):
        return _Attempt(settings, request, batch, index).run()


def _failed_on_hosts(settings: Settings, request: WorkUnitError, batch: str) -> Row:
    """The row of a work unit without a result, with the logs of its tries and the reason they give."""
    tries = [attempt for attempt in server.tries(settings, request.name) if attempt.host]
    row = Row(
        app=settings.app,
        name=request.name,
        batch=batch,
        state="error",
        id=request.id,
        error_mask=request.mask,
        reason=request.reason,
        recorded_at=_now(),
    )
    if not tries:
        with opened(settings.directory) as index:
            index.put(row)
            return index.find(settings.app, request.name) or row
    with (
        exclusively(lock_of(settings.directory, f"{settings.app}/{request.name}")),
        opened(settings.directory) as index,
    ):
        place = Placement(settings.directory, settings.app, batch, request.name)
        earlier = index.find(settings.app, request.name)
        if earlier is None and (record := place.read_record(place.failed / ERROR)) is not None:
            earlier = Row(**record)  # from an attempt that was killed before it wrote its row
            index.put(earlier)
        if earlier is not None and earlier.state != "error":
            return earlier
        place.begin()
        try:
            logs = failed_logs.take(settings, tries, place)
            if earlier is not None and earlier.outputs and len(earlier.outputs) >= len(logs.outputs):
                return earlier  # a repeated request, perhaps after BOINC's file_deleter ran
            row = failed_logs.explained(row, tries, logs)
            if logs.outputs:
                row = replace(row, directory=str(place.failed.relative_to(settings.directory)))
                place.fail(row.as_json(), ERROR)
        finally:
            place.sweep()
        index.put(row)
        return row


def retry(settings: Settings, row: Row) -> Row:
    """Assimilates a failed work unit again, from the files kept under failed/. Not for a row that ``is_another``.

    Raises as ``assimilate`` does.
    """
    place = Placement(settings.directory, settings.app, row.batch, row.name)
    files = tuple(place.failed / name for name in row.outputs)
    request = Assimilate(name=row.name, files=files, id=row.id, runtime=row.runtime)
    with _alone(settings, row.name), opened(settings.directory) as index:
        current = index.find(settings.app, row.name)
        if current is None or current.state != "failed":
            return current or row
        return _Attempt(settings, request, row.batch, index, kept=True).run()


def is_another(row: Row) -> bool:
    """Whether the row is a second, different result of a work unit that is done already."""
    return row.state == "failed" and row.reason == _reason_of_another(row.name.rpartition("+")[0])


def batch_of(settings: Settings, name: str, batch: int | None) -> str:
    """The batch's name, parsed from the work unit's name by ``batch_pattern``; else the server's number, else 0."""
    return _batch_in(settings, name) or str(batch or 0)


def _batch_in(settings: Settings, name: str) -> str | None:
    match = settings.batch_pattern.search(name) if settings.batch_pattern else None
    return match["batch"] if match else None


def _batch(settings: Settings, request: Assimilate | WorkUnitError) -> str:
    """As ``batch_of``, but the batch of a job with a name of its own comes from BOINC's database."""
    if (parsed := _batch_in(settings, request.name)) is not None:
        return parsed
    known = server.batch(settings, request.name)
    return (known.name if known else "") or str((known.number if known else request.batch) or 0)


@dataclass(frozen=True)
class _Attempt:
    """One attempt at one work unit, which holds its lock. ``kept``: the files are those under failed/."""

    settings: Settings
    request: Assimilate
    batch: str
    index: Index
    kept: bool = False

    def run(self) -> Row:
        place = Placement(self.settings.directory, self.settings.app, self.batch, self.request.name)
        files, problem = self._files()
        earlier = self.index.find(self.settings.app, self.request.name)
        if earlier is not None and not files and earlier.state in ("done", "failed"):
            return earlier  # a repeated request, after BOINC's file_deleter ran
        place.begin()
        try:
            outputs = {name: place.take(name, path) for name, path in files.items()}
            return self._settle(place, files, outputs, problem)
        finally:
            place.sweep()

    def _files(self) -> tuple[dict[str, Path], str | None]:
        """The output files that exist, and the problem with the others."""
        if self.kept:
            files = {path.name: path for path in self.request.files if present(path)}
        else:
            files, problem = {}, None
            for name, path in assign(self.request.files, self.settings.outputs).items():
                try:
                    if present(path, optional=name not in self.settings.outputs[:1]):
                        files[name] = path
                except InputError as error:
                    problem = error.message
            if problem:
                return files, problem
        missing = self.settings.outputs[0] if self.settings.outputs else None
        return files, f"{missing} is missing" if missing and missing not in files else None

    def _settle(self, place: Placement, files: dict[str, Path], outputs: Outputs, problem: str | None) -> Row:
        record = place.read_record(place.home / RECORD)
        if record is not None:
            row = self._settled(place, record)  # first: its row may be missing, whatever became of the uploads
            return row if self.kept or _same(record, outputs) else self._another(outputs, files)
        if not self.kept:
            record = place.read_record(place.failed / FAILURE)
            if record is not None and _same(record, outputs):
                return self._settled(place, record)  # other content is another attempt and replaces the failure
        if place.occupied():  # e.g. by a partly deleted directory; retrying will not help
            earlier = self.index.find(self.settings.app, self.request.name)
            if earlier is not None and earlier.state == "done":
                return self._another(outputs, files)
            home = place.home.relative_to(self.settings.directory)
            problem = problem or f"{home} has no {RECORD}; move it away, then run `results retry`"
        if problem:
            return self._failed(place, outputs, problem)
        try:
            row = self._examined(place, outputs)
        except (InputError, RulesError, InvalidError, RetryError) as error:
            return self._failed(place, outputs, str(error))
        place.place(row.as_json())
        self.index.put(row)
        place.clear_failure()
        return row

    def _settled(self, place: Placement, record: dict[str, Any]) -> Row:
        """Finishes an earlier attempt that moved the result but may not have written its row."""
        row = Row(**record)
        self.index.put(row)
        if row.state == "done":
            place.clear_failure()
        return row

    def _examined(self, place: Placement, outputs: Outputs) -> Row:
        """Unpacks the result, reads the job's record and applies the project's rules."""
        settings = self.settings
        rules = project_rules.load(settings.rules)
        unpacked = place.staging / UNPACKED
        wants_rules = rules is not None and rules.defines("assimilate")
        if settings.unpack or wants_rules:
            unpack(place.staging / settings.outputs[0], unpacked, settings.limits)
        log = settings.log_output
        job = read_log(place.staging / log if log and log in outputs else None, settings.limits)
        recorded: Mapping[str, Any] = {}
        if rules is not None and wants_rules:
            store = Store(place.staging)
            rules.assimilate(self._result(unpacked, job), store)
            recorded = store.values
            if not settings.unpack:
                place.drop_unpacked()
        row = self._row("done", outputs, str(place.home.relative_to(settings.directory)))
        return replace(
            row,
            reason=job.problem,
            exit_code=job.exit_code,
            seconds=job.seconds,
            metrics=job.metrics,
            recorded=recorded,
        )

    def _result(self, directory: Path, job: JobRecord) -> Result:
        return Result(
            app=self.settings.app,
            name=self.request.name,
            directory=directory,
            id=self.request.id,
            batch=self.batch,
            runtime=self.request.runtime,
            exit_code=job.exit_code,
            seconds=job.seconds,
            metrics=job.metrics,
        )

    def _failed(self, place: Placement, outputs: Outputs, reason: str) -> Row:
        row = replace(
            self._row("failed", outputs, str(place.failed.relative_to(self.settings.directory))),
            reason=reason[:MOST_REASON],
        )
        if self.kept:
            place.fail_again(row.as_json())
        else:
            place.fail(row.as_json())
        self.index.put(row)
        return row

    def _another(self, outputs: Outputs, files: dict[str, Path]) -> Row:
        """Keeps a second, different result of a work unit that is done: as failed, under a name of its own."""
        first = next(iter(outputs.values()), {"sha256": "nothing"})
        name = f"{self.request.name}+{first['sha256'][:12]}"
        other = replace(self, request=replace(self.request, name=name))
        place = Placement(self.settings.directory, self.settings.app, self.batch, name)
        place.begin()
        try:
            for output, path in files.items():
                place.take(output, path)
            return other._failed(place, outputs, _reason_of_another(self.request.name))
        finally:
            place.sweep()

    def _row(self, state: str, outputs: Outputs, directory: str) -> Row:
        return Row(
            app=self.settings.app,
            name=self.request.name,
            batch=self.batch,
            state=state,
            id=self.request.id,
            runtime=self.request.runtime,
            directory=directory,
            outputs=outputs,
            recorded_at=_now(),
        )


def _alone(settings: Settings, unit: str) -> AbstractContextManager[None]:
    """One process at a time for a work unit."""
    return exclusively(lock_of(settings.directory, f"{settings.app}/{unit}"))


def _same(record: Mapping[str, Any], outputs: Outputs) -> bool:
    """Whether the present files are those of the record; some may have been deleted since."""
    return all(record["outputs"].get(name) == facts for name, facts in outputs.items())


def _reason_of_another(name: str) -> str:
    return f"another result is recorded under {name}"


def _make(directory: Path) -> None:
    try:
        make_directory(directory)
    except OSError as error:
        raise explain(error, f"make {directory}") from error


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _script(settings_path: Path, words: Sequence[str]) -> int:
    settings = load(settings_path)
    row = assimilate(settings, parse_assimilate(words, settings.tokens))
    if row.state == "failed":
        from boinc2docker import console

        console.warn(f"{row.name}: {row.reason}; kept in {row.directory}")
    return 0


def _fault(error: BuilderError) -> int:
    """Any error that gets here is the server's: the daemon stops, and later tries the same work unit again."""
    return 75 if isinstance(error, UnreadableError | HostError) else error.exit_code


if __name__ == "__main__":
    sys.exit(run_script(sys.argv[1:], _script, _fault, unexpected=70))
