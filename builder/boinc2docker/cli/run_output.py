"""What a user of ``run`` sees at its end, and the exit code for the shell."""

from __future__ import annotations

from pathlib import Path

from boinc2docker import console
from boinc2docker.errors import MachineError
from boinc2docker.vm.outcome import Outcome
from boinc2docker.vm.run import NOT_THE_CONTAINER
from boinc2docker.vm.run_directory import RunDirectory
from boinc2docker.vm.streams import SENT_BYTES, Name

_MAX_SHOWN = 1 << 20
_JOBS_OWN = (None, "run")
"""Failed phases that are no fault of the machine: the job ran, and how it ended is its own."""


def show(outcome: Outcome, directory: RunDirectory) -> int:
    """Shows the output that was not shown yet, results and logs. Returns the container's exit code; 125 if the machine
    failed before the container could run, or after it had run."""
    failed = outcome.failed_phase not in _JOBS_OWN
    if console.wants_json():
        console.result(outcome.as_json())
    else:
        for name in ("stderr", "stdout"):  # each has its own order; where both come late, errors first
            _show_rest(outcome, name)
        _show_end(outcome, directory, failed)
    return MachineError.exit_code if failed else outcome.exit_code


def _show_end(outcome: Outcome, directory: RunDirectory, failed: bool) -> None:
    why = f": {outcome.message}" if outcome.message else ""
    if failed:
        console.failure(MachineError("machine-failed", f"{NOT_THE_CONTAINER}, in phase {outcome.failed_phase}{why}"))
    elif outcome.exit_code or outcome.message:
        console.info(f"exit {outcome.exit_code}{why}")
    if outcome.container_exit_code not in (None, outcome.exit_code):
        console.warn(f"the container exited with {outcome.container_exit_code}; --keep-failed-results reports 0")
    if outcome.results is not None:
        console.info(f"results: {outcome.results} ({_count(len(outcome.files), 'file')})")
    console.info(f"logs: {outcome.log}")
    if outcome.exit_code:
        console.info(f"job: {directory.shared}")


def _show_rest(outcome: Outcome, name: Name) -> None:
    """Shows what the machine kept of a stream and did not show while it ran: all of it, or the end that was cut off."""
    kept = outcome.log / "container" / f"{name}.txt"
    shown = outcome.shown.get(name, 0)
    if shown < _MAX_SHOWN:  # so far what is kept is the beginning of what was written
        console.output(name, _part(kept, shown))
    if shown >= SENT_BYTES or (not shown and kept.is_file() and kept.stat().st_size > _MAX_SHOWN):
        megabytes = max(shown, _MAX_SHOWN) / 1e6
        console.warn(f"only the first {megabytes:.1f} MB of {name} are shown; its beginning and its end are in {kept}")


def _part(path: Path, start: int) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as stream:
        stream.seek(start)
        return stream.read(max(_MAX_SHOWN - start, 0))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
