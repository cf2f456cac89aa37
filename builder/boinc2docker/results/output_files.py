"""The output files of one result on the server's disk: which is which, and what a missing one means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from boinc2docker.errors import InputError
from boinc2docker.formats.bounded_tar import UnreadableError
from boinc2docker.results.work_unit_names import parse_output


def assign(files: Sequence[Path], outputs: Sequence[str]) -> dict[str, Path]:
    """The files by logical name, assigned by the number at the end of the physical name, else by position.

    A number beyond ``outputs`` becomes ``output_<number>``.
    """
    assigned: dict[str, Path] = {}
    numbers = [parsed.number if (parsed := parse_output(path.name)) else None for path in files]
    by_number = None not in numbers and len(set(numbers)) == len(numbers)
    for place, (path, number) in enumerate(zip(files, numbers, strict=True)):
        index = number if by_number and number is not None else place
        assigned[outputs[index] if index < len(outputs) else f"output_{index}"] = path
    return assigned


def present_files(files: Sequence[Path], outputs: Sequence[str]) -> dict[str, Path]:
    """The files that exist, by logical name. Raises as ``present``.

    Only the first output is required: for the others, even a missing upload directory means nothing.
    """
    assigned = assign(files, outputs)
    return {name: path for name, path in assigned.items() if present(path, optional=name not in outputs[:1])}


def present(path: Path, *, optional: bool = False) -> bool:
    """Whether the file exists. Raises InputError if it is not a regular file.

    Raises UnreadableError if its directory cannot be read or is missing: an upload directory that is not mounted says
    nothing about the result (BOINC's own try_fopen makes the same distinction).
    """
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise InputError("no-file", f"{path.name} is not a regular file")
        if path.is_file():
            with path.open("rb"):
                return True
        if optional or path.parent.is_dir():
            return False
    except OSError as error:
        raise UnreadableError("unreadable", f"{path.name} cannot be read now: {error.strerror}") from error
    raise UnreadableError("unreadable", f"the directory {path.parent} does not exist", hint="is the disk mounted?")
