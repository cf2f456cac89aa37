"""A Windows host, as far as a guest notices: NTFS below VirtualBox, and a virus scanner.

Source: VirtualBox 7.2, src/VBox/Runtime/r3/win/fileio-win.cpp: files are opened with FILE_SHARE_READ | FILE_SHARE_WRITE
and not FILE_SHARE_DELETE, so that nobody can rename, replace or remove one that anybody has open. Names: "Naming Files,
Paths, and Namespaces" in Microsoft's documentation of Win32.

These are rules, not Windows. That a file is open is kept in a lock (flock), which other machines' devices see, too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import stat
import threading
import time
from collections.abc import Iterator

from boinc2docker.vm.vmmdev.folder_format import ACCESS_DENIED, INVALID_NAME, SHARING_VIOLATION, CallError
from boinc2docker.vm.vmmdev.host_rules import HostRules, is_directory
from boinc2docker.vm.vmmdev.host_tree import Place, names_in

_FORBIDDEN = frozenset(':\\|*?<>"')
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{kind}{number}" for kind in ("com", "lpt") for number in range(1, 10))]
)


class WindowsRules(HostRules):
    """Names without case, open files held, modes 0777 or read-only.

    For ``scanner`` seconds after a file that was open for writing is closed, a virus scanner has it open.
    """

    def __init__(self, scanner: float = 0.0) -> None:
        self.scanner = scanner
        self._scanner = Scanner(scanner) if scanner else None

    def on_disk(self, _directory: int, name: bytes) -> bytes:
        wanted = windows_name(name)
        try:
            os.stat(wanted, dir_fd=_directory, follow_symlinks=False)
        except OSError:
            return _same_but_for_case(_directory, wanted) or wanted
        return wanted

    def mode(self, facts: os.stat_result) -> int:
        writable = is_directory(facts) or facts.st_mode & stat.S_IWUSR
        return stat.S_IFMT(facts.st_mode) | (0o777 if writable else 0o555)

    def set_mode(self, descriptor: int, mode: int, *, directory: bool) -> None:
        if not directory:
            os.fchmod(descriptor, 0o644 if mode & 0o222 else 0o444)

    def require_writable(self, facts: os.stat_result) -> None:
        if not facts.st_mode & stat.S_IWUSR:
            raise CallError(ACCESS_DENIED)

    def opened(self, descriptor: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def closing(self, descriptor: int, *, writable: bool) -> None:
        if self._scanner and writable:
            self._scanner.scan(os.dup(descriptor))  # which has the lock, too

    def require_removable(self, place: Place) -> None:
        self.require_writable(place.facts())
        _require_closed(place, SHARING_VIOLATION)

    def require_movable(self, source: Place, target: Place) -> None:
        if is_directory(source.facts()):
            for file in _files_below(source):
                _require_closed(file, ACCESS_DENIED)
        else:
            _require_closed(source, SHARING_VIOLATION)
        _require_closed(target, ACCESS_DENIED)


class Scanner:
    """Keeps files open for ``seconds`` each, in a thread of its own."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._files: queue.SimpleQueue[tuple[float, int]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="scanner", daemon=True).start()

    def scan(self, descriptor: int) -> None:
        """Takes over an open file."""
        self._files.put((time.monotonic() + self._seconds, descriptor))

    def _work(self) -> None:
        while True:
            until, descriptor = self._files.get()
            time.sleep(max(0.0, until - time.monotonic()))
            os.close(descriptor)


def windows_name(name: bytes) -> bytes:
    """The name that Win32 makes of ``name``. Raises CallError for one that it refuses."""
    text = os.fsdecode(name)
    if any(letter in _FORBIDDEN or letter < " " for letter in text):
        raise CallError(INVALID_NAME)
    kept = text.rstrip(" .")  # dropped in silence
    if not kept or kept.partition(".")[0].rstrip(" ").casefold() in _DEVICES:
        raise CallError(INVALID_NAME)
    return os.fsencode(kept)


def _same_but_for_case(directory: int, name: bytes) -> bytes | None:
    wanted = os.fsdecode(name).casefold()
    with contextlib.suppress(OSError), _readable(directory) as readable:
        for found in names_in(readable):
            if found.casefold() == wanted:
                return os.fsencode(found)
    return None


def _files_below(place: Place) -> Iterator[Place]:
    """The files in a directory and below it."""
    with contextlib.suppress(OSError), _readable(place.directory, place.name) as directory:
        for name in names_in(directory):
            below = Place(directory, os.fsencode(name))
            facts = below.facts()
            if is_directory(facts):
                yield from _files_below(below)
            elif stat.S_ISREG(facts.st_mode):
                yield below


@contextlib.contextmanager
def _readable(directory: int, name: bytes = b".") -> Iterator[int]:
    opened = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        yield opened
    finally:
        os.close(opened)


def _require_closed(place: Place, status: int) -> None:
    """Raises CallError if somebody has the file open."""
    try:
        descriptor = place.open(os.O_RDONLY)
    except OSError:
        return  # it is not there, or no file
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CallError(status) from None
    finally:
        os.close(descriptor)
