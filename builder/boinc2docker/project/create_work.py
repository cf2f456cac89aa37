"""Work units through BOINC's ``create_work``: one process for thousands, and only what is in the database counts.

``create_work --stdin`` reads a job a line, prints nothing per job, reports some failures as success, and inserts in
statements of a megabyte that fail as a whole (``tools/create_work.cpp``). So every name is looked up before, what is
missing is created, and every name is looked up after. A name is unique in the database: nothing is ever created twice.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Literal

from boinc2docker import leftovers
from boinc2docker.errors import HostError, InputError
from boinc2docker.project import xml_document
from boinc2docker.project.database import TOGETHER, Database, KnownUnit, fold
from boinc2docker.project.project import Project
from boinc2docker.project.staging import ToStage, submitting

PROCESS = 10_000
"""Jobs for one process of create_work."""
LINE = 4094
"""Bytes of a line, with its newline: one more, and create_work stops."""
WORDS = 99
"""Words of a line: one more, and create_work writes past an array."""
TEMPLATE = 65535
"""Bytes of an input template: one more, and create_work writes past a buffer."""
NAME = 150
"""Characters of a name: the database has room for 191, and results' and files' names are longer by a suffix."""
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_ID = re.compile(r"\d+(-\d+)?", re.ASCII)
_FILE = re.compile(r"<file_name>(.*?)</file_name>.*?<open_name>(.*?)</open_name>", re.DOTALL)
_AGAIN = re.compile("Duplicate entry|Deadlock found|Lock wait timeout")
_ROUNDS = 100
_TAIL = 16384


@dataclass(frozen=True)
class Creation:
    """A work unit to be created: ``template`` is its input template, ``line_files`` the words for its files.

    These are staged names, or ``--remote_file URL BYTES MD5``, each a word of its own. ``files`` is for ``prepare``.
    """

    name: str
    template: bytes
    line_files: tuple[str, ...]
    files: tuple[ToStage, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class Outcome:
    """What became of a work unit: it is in the database now, was there before, or is not. ``reason``: why not."""

    name: str
    id: int | None
    outcome: Literal["created", "existed", "failed"]
    reason: str = ""


@dataclass
class _Group:
    """Units of one process: what is known of them, and the lines of those that are to be created."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    missing: dict[str, Creation] = field(default_factory=dict)


def check_name(name: str) -> None:
    """Raises InputError for a name that daemons, which put it into commands and paths, would break at; and for one
    that ``status`` and ``cancel`` would take for the ID of another job."""
    if not _NAME.fullmatch(name) or not name[0].isalnum() or len(name) > NAME:
        raise InputError(
            "bad-name",
            f"the name {name[:80]!a}: expected letters, digits and _ . - only, beginning with a letter or digit, "
            f"at most {NAME}",
        )
    if _ID.fullmatch(name):
        raise InputError(
            "bad-name",
            f"the name {name}: status and cancel would take it for IDs of jobs",
            hint=f"put a letter into it: job-{name}",
        )
    if "nodelete" in name:
        raise InputError("bad-name", f"the name {name[:80]!a}: BOINC never deletes files of jobs with 'nodelete' in it")


def create(
    project: Project,
    app: str,
    words: Sequence[str],
    units: Iterable[Creation],
    *,
    prepare: Callable[[Sequence[Creation]], None] | None = None,
    purpose: str = "",
    keep_going: bool = True,
) -> Iterator[Outcome]:
    """Creates those of ``units`` that are not there yet; one outcome each, in their order, confirmed in the database.

    ``words`` are create_work's options for all of them. ``prepare`` is called with units that are about to be created,
    a thousand at most, so that their files can be staged. Submitters of the same ``purpose`` wait for each other.
    Memory does not grow with the number of units. Without ``keep_going`` it ends after ten thousand with a failure
    among them. Raises InputError (bad name, no program), HostError (database, disk).
    """
    program = project.program("create_work")
    runner = _Runner(project, (str(program), "--appname", app, *words))
    todo = iter(units)
    with Database(project.database) as database:
        work = _Work(database, database.app_id(app), runner)
        while (first := next(todo, None)) is not None:
            some = itertools.chain([first], itertools.islice(todo, PROCESS - 1))
            with database.alone(purpose or first.name), submitting(project):
                group = _sort(work, some, prepare)
                _create_missing(work, group)
            outcomes = [group.outcomes[name] for name in group.order]
            yield from outcomes
            if not keep_going and any(one.outcome == "failed" for one in outcomes):
                return


def _sort(work: _Work, units: Iterable[Creation], prepare: Callable[[Sequence[Creation]], None] | None) -> _Group:
    """Looks units up, a thousand at a time, and prepares those that are missing."""
    database, record = work.database, work.runner.record
    group = _Group()
    todo = iter(units)
    while some := list(itertools.islice(todo, TOGETHER)):
        for unit in some:
            check_name(unit.name)
        known = database.units(unit.name for unit in some)
        if record is not None:
            known = {name: one for name, one in known.items() if one.id != record or one.xml}
            _require_free(database, record, known)
        missing = []
        for unit in some:
            group.order.append(unit.name)
            if found := known.get(fold(unit.name)):
                group.outcomes[unit.name] = work.there(unit, found)
            elif fold(unit.name) in group.missing:
                raise InputError("duplicate-name", f"two jobs have the name {unit.name!r}", hint="names are unique")
            else:
                missing.append(unit)
                group.missing[fold(unit.name)] = replace(unit, files=())
        if missing and prepare:
            prepare(missing)
    return group


def _require_free(database: Database, record: int, known: Mapping[str, KnownUnit]) -> None:
    """Raises InputError unless a job may be written over this record: it is blank, or the very job of that name."""
    found = database.rows("select name, xml_doc from workunit where id = %s", record)
    if not found:
        raise InputError("no-record", f"--wu-id {record}: there is no work unit record of this ID")
    if found[0][1] and not any(one.id == record for one in known.values()):
        raise InputError(
            "record-taken",
            f"--wu-id {record}: that is the job {found[0][0]}",
            hint="only a blank record, without XML, can be filled",
        )


def _create_missing(work: _Work, group: _Group) -> None:
    """Runs create_work until each missing unit is there or is refused."""
    reason = ""
    for number in range(_ROUNDS):
        if not group.missing:
            return
        told = work.runner.run(list(group.missing.values()))
        _take_made(work, group)
        reason = told.reason
        # A name that somebody else inserts meanwhile (a killed submitter's create_work lives on) undoes a statement.
        if not _AGAIN.search(told.said):
            break
        time.sleep(min(0.05 * number, 1))
    for unit in group.missing.values():
        group.outcomes[unit.name] = Outcome(unit.name, None, "failed", reason)


def _take_made(work: _Work, group: _Group) -> None:
    """Takes over what is there now: somebody else may have made another job of such a name meanwhile."""
    names = iter([unit.name for unit in group.missing.values()])
    while some := list(itertools.islice(names, TOGETHER)):
        for folded, found in work.database.units(some).items():
            if work.runner.record is not None and not found.xml:
                continue  # the blank record had this name before
            unit = group.missing.pop(folded)
            outcome = work.there(unit, found)
            group.outcomes[unit.name] = replace(outcome, outcome="created") if not outcome.reason else outcome


def _files(unit: Creation) -> list[tuple[str, str]]:
    """The files of a job that create_work will make: names in the download directory, names in the slot."""
    words = iter(unit.line_files)
    given = (f"jf_{[next(words) for _ in range(3)][2]}" if word == "--remote_file" else word for word in words)
    constants, opened = _template_files(unit.template)
    names = [constant or next(given, "") for constant in constants]
    return [(name, inside or name) for name, inside in zip(names, opened, strict=False)]


@lru_cache(8)
def _template_files(template: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of each file of an input template, its name in the download directory and that in the slot, or ``""``."""
    root = xml_document.parse(template, "an input template")
    constants = (xml_document.text(one, "physical_name") for one in root.iterfind("file_info"))
    return tuple(constants), tuple(xml_document.text(one, "open_name") for one in root.iterfind("workunit/file_ref"))


@dataclass(frozen=True)
class _Told:
    """What a process of create_work left: the end of its messages, its exit status."""

    said: str
    status: int

    @property
    def reason(self) -> str:
        lines = [line.strip() for line in self.said.splitlines() if line.strip()]
        wanted = [line for line in lines if not line.startswith(("create_work() failed", "process_input_template(): "))]
        if shown := (wanted or lines)[-2:]:
            return "create_work: " + "; ".join(shown).removeprefix("create_work: ")[:500]
        return f"create_work ended with status {self.status} and no message, and the work unit is not in the database"


@dataclass(frozen=True)
class _Runner:
    """Calls the program in the project's directory."""

    project: Project
    words: tuple[str, ...]

    @property
    def record(self) -> int | None:
        """The work unit record that is to be filled in, if no new one is wanted."""
        return int(self.words[self.words.index("--wu_id") + 1]) if "--wu_id" in self.words else None

    def run(self, units: Sequence[Creation]) -> _Told:
        """One process for all that fit on lines; those that do not get one each."""
        with leftovers.scratch() as work:
            templates = _Templates(work)
            with tempfile.TemporaryFile() as lines:
                singles = [unit for unit in units if self.record is not None or not _write(unit, templates, lines)]
                told = _Told("", 0)
                if len(singles) < len(units):
                    lines.seek(0)
                    told = self._process(("--stdin", "--continue_on_error"), lines)
            for unit in singles:
                files = ("--wu_name", unit.name, "--wu_template", templates.path(unit.template), *unit.line_files)
                one = self._process(files, None)
                told = _Told(told.said + one.said, one.status or told.status)
        return told

    def _process(self, words: Sequence[str], lines: BinaryIO | None) -> _Told:
        """The lines are a file, not a pipe: should we be killed, create_work must not take half a line for a job."""
        argv = (*self.words, *words)
        with tempfile.TemporaryFile() as said:
            try:
                done = subprocess.run(
                    argv,
                    cwd=self.project.root,
                    env={**os.environ, "BOINC_PROJECT_DIR": str(self.project.root)},
                    stdin=lines or subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    check=False,
                )
            except OSError as error:
                raise HostError("program-failed", f"cannot run {argv[0]}: {error.strerror}") from error
            said.seek(max(said.seek(0, os.SEEK_END) - _TAIL, 0))
            return _Told(said.read().decode(errors="replace"), done.returncode)


@dataclass(frozen=True)
class _Work:
    """What units are compared with, and made by."""

    database: Database
    app_id: int
    runner: _Runner

    def there(self, unit: Creation, found: KnownUnit) -> Outcome:
        """The work unit of this name: is it this job, of this app? Names of files stand for their contents."""
        if self.runner.record not in (None, found.id):
            return Outcome(unit.name, found.id, "failed", f"the job {found.name} is there already, with ID {found.id}")
        files = [(name, inside) for name, inside in _FILE.findall(found.xml.decode(errors="replace"))]
        if (found.name, found.app_id, files) == (unit.name, self.app_id, _files(unit)):
            return Outcome(unit.name, found.id, "existed")
        return Outcome(
            unit.name, found.id, "failed", f"another job has the name {found.name}: give this one another name"
        )


@dataclass
class _Templates:
    """Input templates as files, one for each that differs."""

    directory: Path
    known: dict[bytes, str] = field(default_factory=dict)

    def path(self, template: bytes) -> str:
        if template not in self.known:
            if len(template) > TEMPLATE:
                raise InputError(
                    "template-too-long", f"an input template has {len(template)} bytes, {TEMPLATE} is most"
                )
            path = self.directory / f"in{len(self.known)}"
            path.write_bytes(template)
            self.known[template] = str(path)
        return self.known[template]


def _write(unit: Creation, templates: _Templates, lines: BinaryIO) -> bool:
    """Adds a job's line; False if it cannot be one."""
    found = line(("--wu_name", unit.name, "--wu_template", templates.path(unit.template), *unit.line_files))
    if found is None:
        return False
    lines.write(found)
    return True


def line(words: Sequence[str]) -> bytes | None:
    """A line that create_work splits into ``words`` again, or None if there is none: quotes have no escapes."""
    quoted = [_quoted(word) for word in words]
    if None in quoted or len(words) > WORDS:
        return None
    text = " ".join(word for word in quoted if word is not None).encode() + b"\n"
    return text if len(text) <= LINE else None


def _quoted(word: str) -> str | None:
    if not word or "\n" in word or "\0" in word:
        return None  # create_work does not look whether the sign after a quote ends it: '' takes in what follows
    if not re.search(r"[ \t\v\f\r]", word) and word[0] not in "'\"":
        return word
    return next((f"{sign}{word}{sign}" for sign in "'\"" if sign not in word), None)
