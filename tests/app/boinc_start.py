"""A stand-in for BOINC's ``bin/start``: it runs the daemons of config.xml, and names their files as BOINC's does.

A daemon whose lock file is locked is not started, which only ``--verbose`` tells. Source: BOINC ``sched/start``.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import sys
import xml.etree.ElementTree as ET
from pathlib import Path


def daemon_files(daemon: ET.Element) -> tuple[str, str, str]:
    """Names of a daemon's lock, pid and log file."""
    words = daemon.findtext("cmd", "").split()
    program = Path(words[1] if words[0] == "run_in_ops" else words[0]).name
    output = daemon.findtext("output", "")
    named = output + ".lock" if output and not output.startswith("/dev/") else program + ".lock"
    lock = daemon.findtext("lock_file") or named
    return lock, daemon.findtext("pid_file") or program + ".pid", output or program + ".log"


def run_daemon(daemon: ET.Element, project: Path) -> str:
    """Starts it, and returns once its program runs or it is given up: then with what ``--verbose`` says."""
    lock, pid, log = daemon_files(daemon)
    command = daemon.findtext("cmd", "")
    reads, writes = os.pipe()  # closed by exec
    if os.fork():
        os.close(writes)
        with os.fdopen(reads) as said:
            return said.read()
    try:
        os.setsid()
        held = os.open(project / "pid_host" / lock, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.write(writes, f"  Daemon already running:  {command}\n".encode())
            os._exit(0)
        os.set_inheritable(held, True)
        out = os.open(project / "log_host" / log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for descriptor in (1, 2):
            os.dup2(out, descriptor)
        (project / "pid_host" / pid).write_text(f"{os.getpid()}\n")
        os.environ["PATH"] = f"{project / 'bin'}:{os.environ['PATH']}"
        words = shlex.split(command)
        os.execvp(words[0], words)
    finally:
        os._exit(1)


def main() -> None:
    project = Path(sys.argv[0]).resolve().parent.parent
    for name in ("pid_host", "log_host"):
        (project / name).mkdir(exist_ok=True)
    for daemon in ET.parse(project / "config.xml").getroot().iterfind("daemons/daemon"):
        if daemon.findtext("disabled", "0") == "0":
            said = run_daemon(daemon, project)
            print(said if "--verbose" in sys.argv else "", end="", flush=True)


if __name__ == "__main__":
    main()
