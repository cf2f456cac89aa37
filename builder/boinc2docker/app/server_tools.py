"""``xadd`` and ``update_versions`` of a BOINC server: run them, and tell from what they print what they did.

Both are PHP programs that stop with a message and exit status 0. So success is what they say, platform by platform, and
never what they return. Source: BOINC ``tools/xadd``, ``tools/update_versions``.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from boinc2docker.app.version import Version, directory_number
from boinc2docker.atomic import explain
from boinc2docker.errors import HostError
from boinc2docker.project.project import Project

XADD = ("bin/xadd",)
UPDATE = ("bin/update_versions", "--noconfirm")
TIMEOUT = 1800
_CHATTER = re.compile(r"process_file\(\)|stage (start|done)|mkdir -p |cp |md5 check")
# How PHP and BOINC's includes begin a line; an app's name and title, even one of several lines, may hold any word.
_COMPLAINT = re.compile(
    r"(?mi)^(?:php )?(?:fatal|parse) error\b|^(?:database )?error\b|^uncaught |^bin/xadd ended with status "
)
_UNREACHABLE = re.compile(r"(?m)^BoincDb::\S+: Couldn't connect to DB|^#\d+ .*BoincDb::get\(\)")
_ADDED = re.compile(r"App version added successfully; ID=([1-9][0-9]*)")
_ASK_SIGNATURES = r"""
chdir("html/inc");
require_once("boinc_db.inc");
chdir("../..");
foreach (BoincApp::enum("") as $app) {
    if ($app->name != $argv[1]) continue;
    foreach (BoincAppVersion::enum("appid=".(int)$app->id." and version_num=".(int)$argv[2]) as $one) {
        if (!preg_match("#<file_signature>\s*</file_signature>#", $one->xml_doc)) continue;
        $platform = BoincPlatform::lookup_id($one->platformid);
        echo "\nunsigned ", $platform->name, $one->plan_class ? "__".$one->plan_class : "", "\n";
    }
}
"""
_SECTIONS = (
    re.compile(r"App (\S+):"),
    re.compile(r" {3}Version (\S+):"),
    re.compile(r" {6}App version: (\S+)"),
)


@dataclass(frozen=True)
class Outcome:
    """A platform's version: ``added``, ``present`` (it was in the database) or ``missing``, with what was said.

    ``unconfirmed`` was said to be added, and not found when asked again; ``unusable`` lacks what hosts need of it.
    """

    directory: str
    state: str
    said: str

    @property
    def ok(self) -> bool:
        return self.state in ("added", "present")


def require_programs(project: Project) -> None:
    """Raises HostError unless both programs are there and can be executed."""
    for program in (project.root / XADD[0], project.root / UPDATE[0]):
        if not program.is_file():
            raise HostError("program-missing", f"{program} is not there", hint="leave out --run")
        if not os.access(program, os.X_OK):
            hint = f"chmod +x {program}; or run this as the project's own user"
            raise HostError("program-closed", f"{program} is not executable by this user", hint=hint)


def run_xadd(project: Project, app: str) -> None:
    """Adds platforms and apps to the database. Raises HostError if ours is not in afterwards."""
    text = _run(project, XADD)
    if _UNREACHABLE.search(text):
        hint = "db_host, db_name, db_user and db_passwd there say which, and who; is its server running?"
        raise HostError("database-unreachable", "xadd cannot reach the database of config.xml", hint=hint)
    if not xadd_knows(text, app):
        raise HostError("xadd-failed", f"xadd did not add the app {app}; it said:\n{_tail(text)}")


def run_update(project: Project, app: str, version: Version, directories: Sequence[str]) -> list[Outcome]:
    """Adds versions to the database; what became of each of ours.

    What it says to have added is confirmed by asking again: it has to be in the database then.
    """
    words = (*UPDATE, "--verbose")
    found = parse_update(_run(project, words), app, version)
    silent = Outcome("", "missing", "update_versions did not come to it")
    outcomes = [Outcome(name, *_state(found.get(name, silent))) for name in directories]
    if not any(one.state == "added" for one in outcomes):
        return outcomes
    again = parse_update(_run(project, words), app, version)
    return [_confirmed(one, again.get(one.directory)) for one in outcomes]


def unsigned(project: Project, app: str, version: Version) -> set[str]:
    """The directories of a version of which the database has a file without a signature, which no host accepts.

    Asked by PHP, as ``update_versions`` does itself; where that does not answer, there is nothing to tell.
    """
    with contextlib.suppress(HostError):
        said = _run(project, ("php", "-r", _ASK_SIGNATURES, "--", app, str(version.number)))
        return set(re.findall(r"(?m)^unsigned (\S+)$", said))
    return set()


def _confirmed(first: Outcome, again: Outcome | None) -> Outcome:
    if first.state != "added" or (again is not None and again.state == "present"):
        return first
    said = again.said if again else "nothing"
    return Outcome(first.directory, "unconfirmed", f"said to be added, {first.said}, and then: {said}")


def xadd_knows(text: str, app: str) -> bool:
    """Whether xadd's output says that the app is in the database, and no complaint of PHP's or the database's."""
    if _COMPLAINT.search(text):
        return False
    quoted = re.escape(app)
    updated = rf"updated (user friendly name|min_version) of app {quoted}$"
    said = rf"app {quoted} already in DB|{updated}|added app: .*'{quoted}'"
    return re.search(f"(?m)^({said})", text) is not None


def parse_update(text: str, app: str, version: Version) -> Mapping[str, Outcome]:
    """What ``update_versions --verbose`` said, by platform directory of this app and version.

    The last line of a fatal stop is told for the directory it happened in.
    """
    at: list[str] = []
    said: dict[str, list[str]] = {}
    for line in text.splitlines():
        for depth, form in enumerate(_SECTIONS):
            if match := form.fullmatch(line):
                at = [*at[:depth], match[1]]
                break
        else:
            if len(at) == 3 and at[0] == app and directory_number(at[1]) == version.number:
                said.setdefault(at[2], []).append(line.strip())
    return {name: _outcome(name, lines) for name, lines in said.items()}


def _outcome(directory: str, lines: Sequence[str]) -> Outcome:
    told = [line for line in lines if line and not _CHATTER.match(line)]
    if match := _ADDED.search("\n".join(lines)):  # also when a command that it ran has failed, and told so
        more = "; ".join(line for line in told if not _ADDED.search(line))
        return Outcome(directory, "added", f"ID {match[1]}" + (f"; it said: {more}" if more else ""))
    if "(already in database)" in lines:
        return Outcome(directory, "present", "was in the database")
    return Outcome(directory, "missing", "; ".join(told[-4:]) or "no outcome was told")


def _state(outcome: Outcome) -> tuple[str, str]:
    return outcome.state, outcome.said


def _run(project: Project, words: Sequence[str]) -> str:
    """All that a program says. Its exit status means nothing, but PHP tells a fault of its own by it.

    Raises HostError if it cannot be started or does not end.
    """
    try:
        done = subprocess.run(
            words,
            cwd=project.root,
            input=b"",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT,
            check=False,
        )
    except OSError as error:
        raise explain(error, f"run {project.root / words[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise HostError("program-hangs", f"{words[0]} has not ended in {TIMEOUT} s") from error
    ending = f"\n{words[0]} ended with status {done.returncode}" if done.returncode else ""
    return done.stdout.decode("utf-8", "replace") + ending


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-6:]) or "(nothing)"
