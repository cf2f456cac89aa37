"""Runs a job directory in a machine, from power-on to the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from boinc2docker import console, typed
from boinc2docker.errors import InputError, MachineError
from boinc2docker.vm import report
from boinc2docker.vm.acceleration import Acceleration, choose
from boinc2docker.vm.events import Event, Tail, last_lines, parse_event, parse_panic
from boinc2docker.vm.machine import Like, Machine
from boinc2docker.vm.outcome import Outcome
from boinc2docker.vm.process import DEVICE_LOST, Running, copy_disk, create_disk, require_disk_size, running
from boinc2docker.vm.run_directory import disarm, patience
from boinc2docker.vm.settings import Settings
from boinc2docker.vm.streams import LiveOutput, Show
from boinc2docker.vm.waits import CONTAINER_STARTED, DOCKER_SECONDS, Waits
from boinc2docker.vm.watch import Ending, Limits, Sight, Watch

COMPLETION = "completion_trigger_file"
TEMPORARY_EXIT = "temporary_exit_trigger_file"
HEARTBEAT = "heartbeat"
_POLL_SECONDS = 0.2
_STATE_SECONDS = 5.0  # between questions to QEMU, each of which is a new connection
_SLOW = (Ending.NEVER_REPORTED, Ending.HEARTBEAT_LOST)
NOT_THE_CONTAINER = "the machine failed, not the container"
_BROKEN_STATES = ("internal-error", "guest-panicked", "io-error", DEVICE_LOST)


def run_job(
    shared: Path,
    scratch: Path | None,
    iso: Path,
    settings: Settings,
    *,
    results: Path,
    log: Path,
    started: Callable[[Running], None] | None = None,
    show: Show | None = None,
) -> Outcome:
    """Boots ``iso`` with ``shared`` (and ``scratch``) until the job reports; fills ``results`` and ``log``.

    ``started`` is called once with the running machine. ``show`` is given the job's output as it comes, up to
    ``streams.SENT_BYTES`` of each stream; without it the machine is as on a volunteer's host. Whatever happens, no
    machine is left running, and no file in ``shared`` has a bit that would run it as this user. Raises MachineError if
    the machine does not report (code: see ``watch.Ending``), InputError or HostError before it starts.
    """
    check_iso(iso)
    if not (shared / "boinc_app").is_file():
        raise InputError("bad-job", f"{shared} is not a job directory: it has no file boinc_app")
    if (shared / COMPLETION).exists():
        raise InputError(
            "job-finished",
            f"the job in {shared} has already run to its end",
            hint=f"remove {COMPLETION} and results/ there to run it again",
        )
    report.require_free(results)
    if settings.disk_bytes:
        require_disk_size(settings.disk_bytes)
    log.mkdir(parents=True, exist_ok=True)
    run = _Run(shared, log, settings, settings.acceleration or choose(), show)
    disk = log / "data-disk.vdi" if settings.disk_bytes or settings.disk_file else None
    try:
        if disk is not None and settings.disk_file:
            copy_disk(settings.disk_file, disk)
        elif disk is not None and settings.disk_bytes:
            create_disk(disk, settings.disk_bytes)
        with patience(shared, settings.patience):
            ending = run.until_it_ends(iso, scratch, disk, started)
    finally:
        console.waiting(None)
        if disk is not None:
            disk.unlink(missing_ok=True)
        disarm(shared.resolve())
    if ending is not Ending.COMPLETED:
        raise run.failure(ending)
    return run.collect(results)


def check_iso(path: Path) -> None:
    """Raises InputError unless ``path`` starts like an ISO 9660 file system (ECMA-119, 8.1: "CD001" in sector 16)."""
    try:
        with path.open("rb") as stream:
            stream.seek(32769)
            found = stream.read(5)
    except OSError as error:
        raise InputError(
            "no-iso", f"cannot read {path}: {error.strerror}", hint=f"`{typed.command('build-iso')}` makes one"
        ) from error
    if found != b"CD001":
        raise InputError("not-an-iso", f"{path} is not an ISO image", hint=f"`{typed.command('build-iso')}` makes one")


class _Run:
    """The state of one run."""

    def __init__(
        self, shared: Path, log: Path, settings: Settings, acceleration: Acceleration, show: Show | None
    ) -> None:
        self._shared, self._log, self._settings, self._acceleration = shared, log, settings, acceleration
        self._output = LiveOutput(log / "streams", show) if show else None
        self._events = Tail(log / "events.txt")
        self._console = Tail(log / "console.txt")
        self._firsts: dict[str, float] = {}
        self._panic: str | None = None
        self._asked = 0.0
        self._state = ""
        self._errors = ""
        self._began = time.monotonic()
        self._waits = Waits(
            self._began,
            boot=self._limits().boot,
            docker=DOCKER_SECONDS * settings.patience,
            total=settings.timeout,
        )
        self._peak_mb = 0

    def machine(self, iso: Path, scratch: Path | None, disk: Path | None, sockets: Path) -> Machine:
        return Machine(
            iso=iso.absolute(),
            acceleration=self._acceleration,
            memory_mb=self._settings.memory_mb,
            cpus=self._settings.cpus,
            shared=self._shared.absolute(),
            scratch=scratch.absolute() if scratch else None,
            disk=disk.absolute() if disk else None,
            network=self._settings.network,
            events=(self._log / "events.txt").absolute(),
            console=(self._log / "console.txt").absolute(),
            control=sockets / "qmp",
            streams=(self._log / "streams").absolute() if self._output else None,
            guest_device=sockets / "vmmdev" if self._settings.like is Like.VIRTUALBOX else None,
        )

    def _device_options(self) -> tuple[str, ...]:
        # No interrupts, unlike VirtualBox: they cost an emulated processor too much.
        return (*(() if self._acceleration.hardware else ("--synchronous",)), *self._settings.device_options)

    def until_it_ends(
        self, iso: Path, scratch: Path | None, disk: Path | None, started: Callable[[Running], None] | None
    ) -> Ending:
        """Runs the machine until the watch says that it has ended, then switches it off."""
        if scratch is not None:
            scratch.mkdir(mode=0o700, parents=True, exist_ok=True)  # the guest makes files in it that anybody can write
        for name in ("events.txt", "console.txt", "streams"):
            (self._log / name).unlink(missing_ok=True)
        watch = Watch(self._limits(), self._began)
        with running(
            lambda sockets: self.machine(iso, scratch, disk, sockets),
            self._log / "qemu.txt",
            device_options=self._device_options(),
        ) as machine:
            if started is not None:
                started(machine)
            while (ending := watch.judge(self._look(machine))) is None:
                self._say_what_is_waited_for()
                time.sleep(_POLL_SECONDS)
            self._peak_mb = machine.peak_memory_mb()
            self._errors = machine.errors()
        self._show_news()
        if self._output:
            self._output.finish()
            (self._log / "streams").unlink(missing_ok=True)  # the guest's logs hold the same bytes
        return ending

    def _say_what_is_waited_for(self) -> None:
        text = self._waits.text(time.monotonic(), report.parse_fraction(self._shared / "progress"))
        console.waiting(text, moving=not self._waits.running)

    def _limits(self) -> Limits:
        settings, usual = self._settings, 180 if self._acceleration.hardware else 600
        heartbeat = (settings.heartbeat_limit or usual) * settings.patience
        return Limits(settings.boot_limit * settings.patience, heartbeat, settings.timeout)

    def _look(self, machine: Running) -> Sight:
        # Ask first whether it is gone: then everything that it wrote before its end is there.
        gone = machine.exit_status() is not None
        now = time.monotonic()
        if now - self._asked > _STATE_SECONDS and not gone:
            self._asked, self._state = now, machine.state()
            machine.peak_memory_mb()
        self._show_news()
        return Sight(
            now=now,
            completed=_is_file(self._shared / COMPLETION),
            temporary_exit=_is_file(self._shared / TEMPORARY_EXIT),
            panicked=self._has_panicked(),
            broken=self._state in _BROKEN_STATES,
            gone=gone,
            reported=bool(self._firsts),
            heartbeat=self._beat(),
        )

    def _show_news(self) -> None:
        """Shows events and the container's output since the last look; the output comes after the container's start."""
        events = [event for line in self._events.poll() if (event := parse_event(line)) is not None]
        start = next((number + 1 for number, event in enumerate(events) if event.text == CONTAINER_STARTED), 0)
        self._show_events(events[:start])
        if self._output:
            self._output.poll()
        self._show_events(events[start:])

    def _show_events(self, events: Sequence[Event]) -> None:
        for event in events:
            self._firsts.setdefault(event.phase, event.uptime)
            self._waits.note(event, time.monotonic())
            console.info(_shown(event))

    def _has_panicked(self) -> bool:
        for line in self._console.poll():
            self._panic = self._panic or parse_panic(line)
        return self._panic is not None

    def _beat(self) -> object:
        try:
            facts = (self._shared / HEARTBEAT).stat()
        except OSError:
            return None
        # Each beat replaces the file, and its time may be the guest's clock: any change counts, not only a later time.
        return (facts.st_mtime_ns, facts.st_ino, facts.st_size)

    def failure(self, ending: Ending) -> MachineError:
        """The error for a machine that did not report; the last lines of its console are shown at once."""
        if tail := last_lines(self._log / "console.txt"):
            console.info("the last lines of the machine's console:")
            console.info(tail)
        why = self._explain(ending)
        hint = f"console, events and QEMU's messages are in {self._log}"
        if ending in _SLOW or "Docker did not answer" in why:
            hint += f"; on a slow computer try --patience {self._settings.patience * 3}"
        return MachineError(ending.value, f"{NOT_THE_CONTAINER}: {why}", hint=hint)

    def _explain(self, ending: Ending) -> str:
        seconds = round(time.monotonic() - self._began)
        if ending is Ending.TEMPORARY_EXIT:
            found = report.parse_completion(_start_of(self._shared / TEMPORARY_EXIT))
            return f"the job asked to be tried again in {found.exit_code} s: {found.message or 'no reason given'}"
        if ending is Ending.PANIC:
            return f"the guest's kernel stopped: {self._panic}"
        if ending is Ending.BROKEN:
            return f"QEMU cannot go on with the machine ({self._state}): {_line(self._errors)}"
        if ending is Ending.POWERED_OFF:
            qemu = f" (QEMU: {_line(self._errors)})" if self._errors else ""
            return f"the machine powered off, restarted or crashed before it reported{qemu}"
        if ending is Ending.TIMEOUT:
            return f"the job did not end within --timeout {self._settings.timeout:g} s"
        if ending is Ending.NEVER_REPORTED:
            return f"the machine never reported: nothing from the agent in {seconds} s"
        return (
            f"the agent's heartbeat stopped {self._limits().heartbeat:g} s ago: the machine hangs or its agent has died"
        )

    def collect(self, results: Path) -> Outcome:
        """Collects results and logs of a run that has completed."""
        completion = report.parse_completion(_start_of(self._shared / COMPLETION))
        seconds = time.monotonic() - self._began
        if _is_file(self._shared / "boinc_log.tgz"):
            self._unpack_logs()
        told = report.JobReport()
        if _is_file(self._log / "container" / "job.json"):
            told = report.parse_job_report(_start_of(self._log / "container" / "job.json"))
        packed = self._shared / "results.tgz"
        files = report.unpack(packed, results) if _is_file(packed) else []
        return Outcome(
            exit_code=completion.exit_code,
            message=completion.message,
            results=results if _is_file(packed) else None,
            log=self._log,
            phases=told.phases or self._firsts,
            downloaded_bytes=told.downloaded_bytes,
            reused_bytes=told.reused_bytes,
            container_exit_code=told.exit_code,
            guest_memory_mb=told.memory_peak_mb,
            host_memory_mb=self._peak_mb,
            acceleration=self._acceleration.name,
            seconds=seconds,
            files=tuple(files),
            failed_phase=told.failed_phase,
            shown=dict(self._output.shown) if self._output else {},
        )

    def _unpack_logs(self) -> None:
        """Damaged logs are worth no more than a warning: nobody runs a job for its logs."""
        try:
            report.unpack(self._shared / "boinc_log.tgz", self._log / "container")
        except MachineError as error:
            console.warn(error.message)


def _shown(event: Event) -> str:
    return f"{event.uptime:8.2f} s  {event.phase:8}{event.text}"


def _is_file(path: Path) -> bool:
    """True for a regular file. The guest can put links and pipes into its shared folder; nobody follows those."""
    return path.is_file() and not path.is_symlink()


def _start_of(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(1 << 20)


def _line(text: str) -> str:
    """QEMU's last line of several."""
    return text.splitlines()[-1][:300] if text else ""
