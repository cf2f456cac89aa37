"""``python -m boinc2docker.vm.vmmdev SOCKET NAME=DIRECTORY…``: serves one machine, and ends when it disconnects.

SIGUSR1: from the next call on, the guest finds what it would after a restore of its saved state.
SIGUSR2: the host's disk is full, and with the next one no longer. Both write the report at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from boinc2docker import console
from boinc2docker.vm.vmmdev.device import VmmDev
from boinc2docker.vm.vmmdev.host_disk import HostDisk
from boinc2docker.vm.vmmdev.host_rules import HostRules
from boinc2docker.vm.vmmdev.report import Report
from boinc2docker.vm.vmmdev.shared_folders import Host, SharedFolders
from boinc2docker.vm.vmmdev.vfio_user import Server
from boinc2docker.vm.vmmdev.windows_folders import WindowsRules


@dataclass
class Serving:
    """One machine's device, and the faults that arrive as signals between two messages."""

    server: Server
    host: Host
    report: Report
    synchronous: bool
    clients: list[SharedFolders] = field(default_factory=list)
    signals: list[int] = field(default_factory=list)
    restores: int = 0

    def __post_init__(self) -> None:
        self.device = VmmDev(self.server, {"VBoxSharedFolders": self.connect}, synchronous=self.synchronous, log=_say)

    def connect(self) -> SharedFolders:
        self.clients.append(SharedFolders(self.host))
        return self.clients[-1]

    def note(self, number: int, _frame: FrameType | None) -> None:
        """A signal's handler: a call that is being carried out is finished first."""
        self.signals.append(number)

    def between(self) -> None:
        """Carries out the signals that have arrived."""
        while self.signals:
            if self.signals.pop(0) == signal.SIGUSR1:
                for client in self.clients:
                    client.restore()
                self.restores += 1
                _say("restored: no handle is valid, numbers start at 1 again")
            else:
                self.host.disk.toggle()
                _say("the disk is full" if self.host.disk.full else "the disk has room")
            self.write_report()

    def write_report(self) -> None:
        self.report.write(self.device, self.host, messages=self.server.messages, restores=self.restores)

    def run(self) -> None:
        """Returns when the machine has gone; SIGTERM ends it as well."""
        signal.signal(signal.SIGUSR1, self.note)
        signal.signal(signal.SIGUSR2, self.note)
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        try:
            self.server.serve(self.device, self.between)
        finally:
            self.write_report()


def parse(words: list[str]) -> argparse.Namespace:
    """The command line; exits with 2 for a wrong one."""
    parser = argparse.ArgumentParser(prog="python -m boinc2docker.vm.vmmdev", description=__doc__)
    parser.add_argument("socket", type=Path)
    parser.add_argument("folders", nargs="*", type=_folder, metavar="NAME=DIRECTORY")
    how = argparse.BooleanOptionalAction
    parser.add_argument("--synchronous", action=how, default=False, help="calls are done at once, without interrupts")
    parser.add_argument("--symlinks", action="store_true", help="the guest may make symbolic links")
    parser.add_argument("--windows", action="store_true", help="the host is Windows")
    parser.add_argument("--scanner", type=float, default=0.0, metavar="SECONDS", help="it has a virus scanner")
    parser.add_argument("--full-after", type=int, metavar="BYTES", help="the host's disk has room for so much")
    parser.add_argument("--delay", type=float, default=0.0, metavar="SECONDS", help="what each call takes")
    parser.add_argument("--report", type=Path, metavar="FILE", help="where to write what was asked, as JSON")
    options = parser.parse_args(words)
    if options.scanner and not options.windows:
        parser.error("--scanner needs --windows: only there does an open file block others")
    return options


def main(words: list[str]) -> None:
    options = parse(words)
    os.umask(0o022)
    host = Host(
        folders=dict(options.folders),
        rules=WindowsRules(options.scanner) if options.windows else HostRules(),
        disk=HostDisk(options.full_after),
        symlinks=options.symlinks,
        delay=options.delay,
    )
    Serving(Server(options.socket), host, Report(options.report), options.synchronous).run()


def _folder(word: str) -> tuple[str, str]:
    name, separator, path = word.partition("=")
    if not name or not separator or not Path(path).is_dir():
        raise argparse.ArgumentTypeError(f"expected NAME=DIRECTORY, found {word!r}")
    return name, path


def _say(text: str) -> None:
    console.info(f"vmmdev: {text}")


if __name__ == "__main__":
    main(sys.argv[1:])
