"""``create_work``: single jobs and ``--stdin``, with the rules and the oddities of BOINC's.

Text goes unescaped between quotes into SQL; a missing result template is a message and exit status 0; with ``--stdin``
the rows of about a megabyte are one statement, which fails as a whole; the last words of a failed line are not inserted
but what was before may be.
"""

from __future__ import annotations

import copy
import html
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql

from tests.equipment.stand_ins.input_template import BLOB, InFile, TemplateError, fill
from tests.equipment.stand_ins.server import Config, connect, read_config, stop

LINE = 4096
STATEMENT = 1_000_000
SPACE = " \t\n\v\f\r"
TEMPLATE_PATH = 62
INTEGERS = (
    "batch",
    "priority",
    "size_class",
    "app_version_num",
    "delay_bound",
    "hr_class",
    "min_quorum",
    "target_nresults",
    "max_error_results",
    "max_total_results",
    "max_success_results",
)
DOUBLES = ("credit", "rsc_fpops_est", "rsc_fpops_bound", "rsc_memory_bound", "rsc_disk_bound")
TEXTS = ("appname", "wu_name", "wu_template", "result_template", "command_line", "keywords", "sub_appname")
FLAGS = ("verbose", "continue_on_error", "stdin")
ASSIGN = {"broadcast_user": 2, "broadcast_team": 3, "target_host": 1, "target_user": 2, "target_team": 3}
ON_LINE = {"command_line", "wu_name", "wu_template", "result_template", "remote_file", "priority"} | {
    "target_host",
    "target_user",
}
DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(INTEGERS, 0),
    **dict.fromkeys(TEXTS, ""),
    "credit": 0.0,
    "rsc_fpops_est": 3600e9,
    "rsc_fpops_bound": 86400e9,
    "rsc_memory_bound": 5e8,
    "rsc_disk_bound": 1e9,
    "delay_bound": 604800,
    "min_quorum": 1,
    "target_nresults": 1,
    "max_error_results": 1,
    "max_total_results": 1,
    "max_success_results": 1,
    "size_class": -1,
}
COLUMNS = (
    "create_time, appid, name, xml_doc, batch, rsc_fpops_est, rsc_fpops_bound, rsc_memory_bound, rsc_disk_bound, "
    "canonical_credit, transition_time, delay_bound, hr_class, min_quorum, target_nresults, max_error_results, "
    "max_total_results, max_success_results, result_template_file, priority, transitioner_flags, size_class, keywords, "
    "app_version_num"
)


@dataclass
class Given:
    """A job as far as it was told; ``values`` by option name."""

    values: dict[str, Any] = field(default_factory=lambda: dict(DEFAULTS))
    files: list[InFile] = field(default_factory=list)
    assign: tuple[int, int, bool] | None = None
    template: str = ""

    def copy(self) -> Given:
        return Given(dict(self.values), list(self.files), copy.copy(self.assign), self.template)


def number(text: str, kind: type) -> Any:
    """C's atoi and atof: what is no number is 0."""
    try:
        return kind(float(text))
    except ValueError:
        return 0


def assigned(name: str, text: str) -> tuple[int, int, bool]:
    target = number(text, int)
    if target == 0:
        stop("you must specify a nonzero database ID for assigning jobs to users, teams, or hosts.")
    return target, ASSIGN[name], name.startswith("broadcast")


def take(given: Given, words: list[str], *, on_line: bool = False) -> set[str]:
    """Reads options and file names into ``given``; returns the flags."""
    flags = set()
    rest = iter(words)
    for word in rest:
        name = word[2 if word.startswith("--") else 1 :] if word.startswith("-") else ""
        if on_line and name and name not in ON_LINE:
            stop(f"create_work: bad stdin argument '{word}'")
        if name in FLAGS:
            flags.add(name)
        elif not word.startswith("-"):
            given.files.append(InFile(word))
        elif not take_value(given, name, rest, on_line=on_line):
            stop(f"create_work: bad argument '{word}'")
    return flags


def take_value(given: Given, name: str, rest: Iterator[str], *, on_line: bool) -> bool:
    """An option with its values; False if there is none of this name."""
    values = given.values
    if name == "remote_file":
        url, nbytes, md5 = (next(rest) for _ in range(3))
        given.files.append(InFile("", url, number(nbytes, float), md5))
    elif name == "command_line" and on_line and values[name]:
        values[name] += " " + next(rest)
    elif name in (*TEXTS, "d", "config_dir", "wu_id"):
        values[name] = next(rest)
    elif name in INTEGERS:
        values[name] = number(next(rest), int)
    elif name in DOUBLES:
        values[name] = number(next(rest), float)
    elif name in ASSIGN:
        given.assign = assigned(name, next(rest))
    elif name == "broadcast":
        given.assign = (0, 0, True)
    else:
        return False
    return True


def words_of(line: str) -> list[str]:
    """BOINC's parse_command_line: a quote counts only where a word begins, nothing is an escape, no word is empty."""
    words: list[str] = []
    at = 0
    while at < len(line):
        if line[at] in SPACE:
            at += 1
        elif line[at] in "'\"":
            end = line.find(line[at], at + 2)  # what follows a quote is not looked at: '' does not end
            end = len(line) if end < 0 else end
            words.append(line[at + 1 : end])
            at = end + 1
        else:
            end = next((one for one in range(at, len(line)) if line[one] in SPACE), len(line))
            words.append(line[at:end])
            at = end
    if len(words) >= 100:
        os.abort()  # an array of 100 pointers on the stack
    return words


@dataclass
class Program:
    """One run of create_work."""

    config: Config
    database: pymysql.Connection[Any]
    app_id: int
    verbose: bool
    continue_on_error: bool
    templates: dict[str, str] = field(default_factory=dict)

    def read_template(self, given: Given) -> None:
        path = given.values["wu_template"]
        if path not in self.templates:
            try:
                self.templates[path] = Path(path).read_text()
            except OSError:
                stop(f"Can't read WU template {path}")
        if len(self.templates[path].encode()) > BLOB:
            os.abort()  # strcpy into a buffer of 64 KB
        given.template = self.templates[path]

    def row(self, given: Given, stale: str = "") -> str:
        """The values of an SQL insert. ``stale`` is what comes back if the result template is not there."""
        values = given.values
        additional = ""
        if values["sub_appname"]:
            additional = f"   <sub_appname>{html.escape(values['sub_appname'], quote=False)}</sub_appname>"
        filled = fill(given.template, given.files, self.config, values["command_line"], additional)
        numbers = {**values, **filled.numbers}
        for most in ("max_success_results", "max_total_results"):
            numbers[most] = max(numbers[most], numbers["target_nresults"])
        result_template = values["result_template"]
        if not (self.config.root / result_template).exists():
            print(f"create_work: result template file {result_template} doesn't exist", file=sys.stderr)
            return stale
        self.require(numbers, result_template)
        transition = 2**31 - 1 if given.assign else int(time.time())
        flags = 0 if given.assign is None else 1 if given.assign[2] else 2
        return (
            f"({int(time.time())}, {self.app_id}, '{values['wu_name']}', '{filled.xml}', {numbers['batch']}, "
            f"{numbers['rsc_fpops_est']}, {numbers['rsc_fpops_bound']}, {numbers['rsc_memory_bound']}, "
            f"{numbers['rsc_disk_bound']}, {values['credit']}, {transition}, {numbers['delay_bound']}, "
            f"{values['hr_class']}, {numbers['min_quorum']}, {numbers['target_nresults']}, "
            f"{numbers['max_error_results']}, {numbers['max_total_results']}, {numbers['max_success_results']}, "
            f"'{result_template}', {values['priority']}, {flags}, {numbers['size_class']}, '{values['keywords']}', "
            f"{values['app_version_num']})"
        )

    @staticmethod
    def require(numbers: dict[str, Any], result_template: str) -> None:
        if len(result_template) > TEMPLATE_PATH:
            raise TemplateError(
                f"result template filename is too big: {len(result_template)} bytes, max is {TEMPLATE_PATH}"
            )
        needed = ["rsc_fpops_est", "rsc_fpops_bound", "rsc_disk_bound", "target_nresults"]
        for name in [*needed, "max_error_results", "max_total_results", "max_success_results"]:
            if not numbers[name]:
                raise TemplateError(f"no {name} given; can't create job")
        for less, more in (("max_success_results", "max_total_results"), ("max_error_results", "max_total_results")):
            if numbers[less] > numbers[more]:
                raise TemplateError(f"{less} > {more}; can't create job")

    def insert(self, rows: list[str], record: str = "") -> int:
        """``record`` is the ID of a row to be written over, whatever is in it."""
        statement = f"insert into workunit ({COLUMNS}) values " + ",".join(rows)
        if record:
            assigned = ", ".join(f"{name}=values({name})" for name in COLUMNS.split(", "))
            statement = f"insert into workunit (id, {COLUMNS}) values ({int(record)}, {rows[0][1:]}"
            statement += f" on duplicate key update {assigned}"
        with self.database.cursor() as cursor:
            try:
                cursor.execute(statement)
            except pymysql.Error as error:
                stop(f"wu.insert_batch() failed: -111\nMySQL error: {error.args[1]}")
            return int(cursor.lastrowid)

    def create(self, given: Given) -> None:
        """A single job; a missing result template is no error."""
        try:
            row = self.row(given)
        except TemplateError as error:
            stop(f"{error}\ncreate_work: job creation failed")
        identifier = self.insert([row], given.values.get("wu_id", "")) if row else 0
        if self.verbose:
            print(f"created workunit; name {given.values['wu_name']}, ID {identifier}", file=sys.stderr)
        if given.assign:
            with self.database.cursor() as cursor:
                cursor.execute(
                    "insert into assignment (create_time, target_id, target_type, multi, workunitid) "
                    "values (%s, %s, %s, %s, %s)",
                    (int(time.time()), *given.assign, identifier),
                )

    def many(self, main: Given) -> None:
        pending: list[str] = []
        size, row = 0, ""
        for index, line in enumerate(iter(lambda: sys.stdin.buffer.readline(LINE - 1), b"")):
            if len(line) == LINE - 1:
                stop("fgets() buffer was too small")
            given = main.copy()
            given.values["wu_name"] = ""
            take(given, words_of(line.decode()), on_line=True)
            given.values["wu_name"] = given.values["wu_name"] or f"{main.values['wu_name']}_{index}"
            self.read_template(given)
            if given.assign:
                self.create(given)
                continue
            try:
                row = self.row(given, stale=row)
            except TemplateError as error:
                print(f"{error}\ncreate_work() failed: -112", file=sys.stderr)
                if not self.continue_on_error:
                    sys.exit(1)
                continue
            if row:
                pending.append(row)
                size += len(row)
            if size + 2 * len(row) > STATEMENT:
                self.insert(pending)
                pending, size = [], 0
        if pending:
            self.insert(pending)


def main() -> None:
    given = Given()
    flags = take(given, sys.argv[1:])
    values = given.values
    app = values["appname"]
    if not app:
        stop("usage: create_work [options] infile1 infile2 ...")
    named = bool(values["wu_name"])
    values["wu_name"] = values["wu_name"] or f"{app}_{os.getpid()}_{time.time():f}"
    values["wu_template"] = values["wu_template"] or f"templates/{app}_in"
    values["result_template"] = values["result_template"] or f"templates/{app}_out"
    config = read_config(values.get("config_dir"))
    database = connect(config)
    with database.cursor() as cursor:
        cursor.execute(f"select id from app where name='{app}'")
        row = cursor.fetchone()
    if row is None:
        stop("create_work: app not found")
    program = Program(config, database, row[0], "verbose" in flags, "continue_on_error" in flags)
    if "stdin" in flags:
        program.many(given)
        return
    if not Path(values["wu_template"]).exists():
        stop(f"create_work: input template file {values['wu_template']} doesn't exist")
    program.read_template(given)
    program.create(given)
    if not named:
        print(f"workunit name: {values['wu_name']}")
