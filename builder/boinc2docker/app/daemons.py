"""The files by which BOINC's ``start`` knows a daemon, and which daemons of config.xml would be taken for one another.

``start`` runs nothing, and says nothing unless it is verbose, when a daemon's lock file is locked; and it names lock,
pid and log file after the *program* unless an entry says otherwise. So of two script_assimilators only the first runs.
Source: BOINC ``sched/start`` (get_task_lock_name, get_daemon_pid_name).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from boinc2docker.app.merge import daemon_role
from boinc2docker.project.xml_text import Element


@dataclass(frozen=True)
class DaemonFiles:
    """A daemon's lock and pid file, below the directory ``pid_HOST`` of its ``host`` ("" is the project's own)."""

    command: str
    host: str
    lock: str
    pid: str


def files_of(daemon: Element) -> DaemonFiles | None:
    """As ``start`` names them; None for an entry without a command."""
    command = daemon.child_text("cmd") or ""
    words = command.split()
    if not words:
        return None
    program = posixpath.basename(words[1] if words[0] == "run_in_ops" and len(words) > 1 else words[0])
    output = daemon.child_text("output") or ""
    to_file = output and not output.startswith("/dev/")
    lock = daemon.child_text("lock_file") or (f"{output}.lock" if to_file else f"{program}.lock")
    pid = daemon.child_text("pid_file") or f"{program}.pid"
    return DaemonFiles(" ".join(words), daemon.child_text("host") or "", lock, pid)


def collisions(config: Element, app: str) -> Iterator[str]:
    """One sentence for each daemon of ``app`` that shares its lock or pid file with another daemon."""
    entries = [one for section in config.all("daemons") for one in section.all("daemon")]
    running = [one for one in entries if (one.child_text("disabled") or "0") == "0"]
    found = [one for daemon in running if (one := files_of(daemon))]
    for number, one in enumerate(found):
        for other in found[:number]:
            if app not in [(daemon_role(each.command) or "").partition(" ")[2] for each in (one, other)]:
                continue
            if one.host == other.host and (same := next(iter({one.lock, one.pid} & {other.lock, other.pid}), None)):
                yield (
                    f"config.xml: BOINC's start runs only one of `{other.command}` and `{one.command}`, which have the "
                    f"same {same}: give one of them an <output> and a <pid_file> of its own"
                )
