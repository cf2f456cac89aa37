"""A work unit as BOINC's database has it: its batch, and its results, each of them a try of one host.

Tables: BOINC ``db/schema.sql``; states and outcomes: ``db/boinc_db_types.h``; names of uploaded files:
``sched/validate_util.cpp`` (``get_output_file_infos``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from boinc2docker.errors import HostError
from boinc2docker.project.database import Database, text_of
from boinc2docker.project.project import Project

MOST_TRIES = 100
OUTCOMES = {
    1: "success",
    2: "could not be sent",
    3: "error",
    4: "no reply",
    5: "not needed",
    6: "invalid",
    7: "given up by its host",
}
FAILED = frozenset({OUTCOMES[3], OUTCOMES[6]})
"""The outcomes of tries that came to a bad end on a host."""
_STATES = {1: "not sent", 2: "not sent", 4: "running"}
_FILE = re.compile(r"<file_info>(.*?)</file_info>", re.DOTALL)
_REFERENCE = re.compile(r"<file_ref>(.*?)</file_ref>", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,255}")


@dataclass(frozen=True)
class Upload:
    """An output file: ``name`` as the job knows it, where the server has it if it came, and the bytes it may have."""

    name: str
    path: Path
    most_bytes: int


@dataclass(frozen=True)
class Try:
    """A result of a work unit. ``stderr`` and ``message`` come from a stranger's computer; ``seconds`` are elapsed."""

    name: str
    outcome: str
    exit_status: int
    host: int
    seconds: float
    message: str = ""
    stderr: str = ""
    uploads: tuple[Upload, ...] = ()


@dataclass(frozen=True)
class UnitBatch:
    """The batch of a work unit: BOINC's number, 0 for none, and its name, where somebody gave it one."""

    number: int
    name: str = ""


def tries(project: Project, database: Database, app: str, unit: str) -> tuple[Try, ...]:
    """The results of the work unit called ``unit``, oldest first; none if the database has no such unit any more."""
    rows = database.rows(
        "select r.name, r.server_state, r.outcome, r.exit_status, r.hostid, r.elapsed_time, r.stderr_out, "
        "r.xml_doc_in, w.name from result r, workunit w, app a where r.workunitid = w.id and w.name = %s "
        "and w.appid = a.id and a.name = %s order by r.id desc limit %s",
        unit,
        app,
        MOST_TRIES,
    )
    found = []
    for name, state, outcome, status, host, seconds, stderr, document, unit_name in reversed(rows):
        if unit_name != unit:  # the database does not tell upper from lower case
            continue
        told = text_of(stderr)
        found.append(
            Try(
                name=name,
                outcome=_STATES.get(state) or OUTCOMES.get(outcome, f"outcome {outcome}"),
                exit_status=int(status),
                host=int(host),
                seconds=float(seconds),
                message=_part(told, "message"),
                stderr=_part(told, "stderr_txt"),
                uploads=uploads(project, text_of(document)),
            )
        )
    return tuple(found)


def uploads(project: Project, document: str) -> tuple[Upload, ...]:
    """The output files that the result's XML names, in its order. Names that are no plain ones are left out."""
    limits = {_value(one, "name"): _value(one, "max_nbytes") for one in _FILE.findall(document)}
    found = []
    for one in _REFERENCE.findall(document):
        physical, logical = _value(one, "file_name"), PurePosixPath(_value(one, "open_name")).name
        if _PLAIN.fullmatch(physical) and physical.strip("."):
            most = re.match(r"[0-9]{1,15}", limits.get(physical, ""))
            found.append(Upload(logical, project.upload_path(physical), int(most[0]) if most else 0))
    return tuple(found)


def batch_of(database: Database, app: str, unit: str) -> UnitBatch | None:
    """The work unit's batch; None if there is no such unit. The name is that of BOINC's batch, else what whoever
    submitted the job wrote into its XML, ``<b2d_batch>NAME</b2d_batch>``."""
    for number, name, document in database.rows(
        "select w.batch, w.name, w.xml_doc from workunit w, app a where w.name = %s and w.appid = a.id and a.name = %s",
        unit,
        app,
    ):
        if name == unit:
            named = _batch_name(database, int(number)) if number else ""
            return UnitBatch(int(number), named or _value(text_of(document), "b2d_batch")[:100])
    return None


def _batch_name(database: Database, number: int) -> str:
    try:
        found = database.rows("select name from batch where id = %s", number)
    except HostError as error:
        if error.code == "other-database":  # a server from before there were batches
            return ""
        raise
    return str(found[0][0]) if found else ""


def _part(told: str, tag: str) -> str:
    """What a client has put between a tag and its end; a client that was cut off has no end."""
    _, there, rest = told.partition(f"<{tag}>")
    return rest.partition(f"</{tag}>")[0].strip("\n") if there else ""


def _value(text: str, tag: str) -> str:
    match = re.search(rf"<{tag}>([^<]*)</{tag}>", text)
    return match[1].strip() if match else ""
