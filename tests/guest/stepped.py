"""Machines on one store that stop at every named point of the real shell functions and go on when they are told to.

Each runs in a shell of its own, with a clock of its own that moves only when the machine waits: 60 s pass in 30 steps.
A machine that is not stepped is a paused one; a killed one has lost its power. Heartbeats are steps, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.equipment.checkout import PROJECT_ROOT
from tests.guest.blob_server import BlobServer
from tests.guest.scripts import HOME, with_needs
from tests.guest.store_job import layer

CHUNK = 1000
SCRIPT = r"""
set -u
exec 8<&0 9>&1
for part in PARTS; do
	. "$B2D_HOME/lib/$part.sh"
done
CLOCK=$1 BUDGET=$2 REFUSED=0
shift 2
store_point() {
	[ -z "${BEATING-}" ] || return 0 # a beat is one step
	printf '%s\n' "$1" >&9
	while read -r word <&8; do
		case $word in
		beat)
			(BEATING=yes && beat_once)
			printf 'beaten\n' >&9
			;;
		refuse)
			REFUSED=2
			printf 'beaten\n' >&9
			;;
		*) return 0 ;;
		esac
	done
	exit 99
}
clock() { CLOCK=$((CLOCK + $1)) && printf '%s.00 0\n' "$CLOCK" >"$B2D_BOOTED"; }
store_pause() { clock "$1" && store_point pause; }
beat_start() { BEAT_PID=9999999; }
beat_kill() { :; } # there is no beater to end, and a second process must not take this one's steps
sync() { :; }
share_room() { :; } # there is room, and a write takes no time: other tests are about that
limit() { shift && "$@"; }
progress_part() { :; }
store_rest() { store_pause 1; }
sleep() { store_pause "$1"; } # between two tries of a rename
refused() { # does somebody on the host have the file open?
	case "$*" in *"$B2D_SCRATCH"*) ;; *) return 1 ;; esac
	[ "$REFUSED" -gt 0 ] && REFUSED=$((REFUSED - 1))
}
mv() { ! refused "$@" && command mv "$@"; }
rm() { ! refused "$@" && command rm "$@"; }
fetch_random() { echo "$((CLOCK / 1000))"; } # the same schedule is the same run
budget_bytes() { echo "$BUDGET"; }
mount_point() { [ "$1" = "$B2D_SCRATCH" ]; }
clock 0
mkdir -p "$B2D_STATE"
printf 'image:1' >"$B2D_STATE/image"
printf '%s \n' "$URL" >"$B2D_STATE/registries"
printf '%s %s\n' "$@" >"$B2D_STATE/wanted"
store_point start
for attempt in 1 2 3 4; do
	gather_layers || { printf 'failed %s\n' "$GATHER_ERROR" >&9 && exit 1; }
	store_point loading
	bad=
	while read -r hex kind file; do
		store_point load-layer
		if digest_verify "sha256:$hex" "$file"; then continue; fi
		bad=yes
		store_quarantine "$hex" "${file%/layers/sha256/*}"
	done <"$B2D_STATE/gathered"
	[ -n "$bad" ] || break
done
[ -z "$bad" ] || exit 2
store_point running
gather_close
printf 'done\n' >&9
""".replace("PARTS", " ".join(with_needs(["gather"])))


@dataclass
class Stepped:
    """One machine; ``point`` is where it stands, ``"ended"`` at its end."""

    name: str
    root: Path
    process: subprocess.Popen[bytes]
    point: str = ""
    status: int | None = None
    killed: bool = False
    steps: int = 0
    marked: bool = False
    forgotten: bool = False
    """It stood still for so long that others believed it dead: what it found may be gone when it wakes up."""

    @property
    def alive(self) -> bool:
        return self.status is None

    def read(self) -> None:
        """Waits until it stands at a point, or has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode().strip()
        if line == "beaten":
            return
        if not line or line.split()[0] in ("done", "failed"):
            self.process.stdout.close()
            self.status = self.process.wait(30)
            self.point = "ended"
        else:
            self.point = line

    def tell(self, word: str) -> None:
        if not self.alive:
            return
        assert self.process.stdin is not None
        self.process.stdin.write(word.encode() + b"\n")
        self.process.stdin.flush()
        self.read()

    def step(self) -> None:
        self.steps += 1
        self.tell("go")

    def beat(self) -> None:
        self.tell("beat")

    def refuse(self) -> None:
        """Somebody on its host has the next file open that it renames or removes, and that at the next try, too."""
        self.tell("refuse")

    def kill(self) -> None:
        """The power is cut."""
        if self.alive:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.status, self.killed, self.point = -9, True, "ended"

    def log(self) -> str:
        path = self.root / "log"
        return path.read_text() if path.exists() else ""

    def gathered(self) -> list[Path]:
        """What it is going to load."""
        path = self.root / "run" / "job" / "gathered"
        return [Path(line.split()[2]) for line in path.read_text().splitlines()] if path.exists() else []


@dataclass
class World:
    """Machines, their store and their registry; ``check`` is true after every step, ``finish`` at the end."""

    root: Path
    server: BlobServer
    shell: str = "dash"
    budget: int = 10**9
    machines: list[Stepped] = field(default_factory=list)
    trouble: Counter[str] = field(default_factory=Counter)
    unfinished: dict[Path, int] = field(default_factory=dict)
    """Every partial download there ever was, and its largest size."""

    @property
    def store(self) -> Path:
        return self.root / "scratch" / "boinc2docker" / "v1"

    def start(self, layers: Sequence[bytes]) -> Stepped:
        number = len(self.machines)
        root = self.root / f"m{number}"
        root.mkdir(parents=True)
        (self.root / "scratch").mkdir(exist_ok=True)
        (root / "docker").mkdir()
        (root / "run").mkdir()
        # Recognisable, and in an order of its own: a machine's name says nothing about when it started.
        name = hashlib.sha256(f"{number}".encode()).hexdigest()[:8]
        (root / "uuid").write_text(name + "\n")
        words = [word for each in layers for word in (self.server.add(each), str(len(each)))]
        command = [self.shell] if self.shell != "busybox" else ["busybox", "sh"]
        process = subprocess.Popen(
            [*command, "-c", SCRIPT, "sh", str(1000 * number), str(self.budget), *words],
            env={
                "PATH": os.environ["PATH"],
                "B2D_PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
                "B2D_HOME": str(HOME),
                "B2D_SHARE": str(root),
                "B2D_SCRATCH": str(self.root / "scratch"),
                "B2D_RUN": str(root / "run"),
                "B2D_DOCKER_DATA": str(root / "docker"),
                "B2D_CONSOLE": "/dev/null",
                "B2D_GUESTLOG": "none",
                "B2D_LOG": str(root / "log"),
                "B2D_BOOTED": str(root / "clock"),
                "B2D_UUID": str(root / "uuid"),
                "B2D_CHUNK_BYTES": str(CHUNK),
                "B2D_FETCH_PAUSE": "0",
                "URL": self.server.blobs_url,
            },
            cwd=PROJECT_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(root / "errors").open("wb"),
            start_new_session=True,
        )
        machine = Stepped(name, root, process)
        self.machines.append(machine)
        machine.read()
        return machine

    def kill(self, machine: Stepped) -> None:
        if machine.alive:
            machine.kill()
            self.trouble["kills"] += 1

    def logs(self) -> str:
        return "\n".join(
            f"--- {m.name} at {m.point}\n{m.log()}{(m.root / 'errors').read_text()}" for m in self.machines
        )

    def check(self) -> None:
        """The invariants that hold at every moment."""
        for path in (self.store / "layers" / "sha256").glob("*"):
            if not path.name.startswith("probe"):
                assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name, self.logs()
        self.check_bytes()
        for machine in self.machines:
            self.check_mark(machine)

    def check_bytes(self) -> None:
        """Of no layer more was sent than once, but for what was removed again, and the chunk that was under way when a
        machine seemed dead: its lock was taken over, or what it had was removed."""
        for path in (self.store / "partial").glob("*"):
            with contextlib.suppress(FileNotFoundError):
                self.unfinished[path] = max(self.unfinished.get(path, 0), path.stat().st_size)
        if self.server.always:  # one without ranges: all has to come again
            return
        logs = [machine.log() for machine in self.machines]
        for name, content in self.server.blobs.items():
            short = f"sha256:{name[:12]}"
            taken = sum(log.count(f"{short}: the other machine is gone") for log in logs)
            removed = sum(log.count(f"removed {short}") for log in logs)
            dropped = sum(log.count(f"removed partial {short}") for log in logs)
            private = sum(any((machine.root / "docker").glob(f"**/{name}*")) for machine in self.machines)
            parts = sorted((size for path, size in self.unfinished.items() if path.name.startswith(name)), reverse=True)
            most = len(content) * (1 + removed + private) + CHUNK * (taken + dropped) + sum(parts[:dropped])
            assert self.server.sent[name] <= most, (short, self.server.sent[name], most, self.logs())

    def check_mark(self, machine: Stepped) -> None:
        """As long as its mark is there, so are the layers a machine has found."""
        mark = (self.store / "used" / f"running.{machine.name}").exists()
        machine.forgotten |= machine.marked and not mark
        machine.marked = mark
        if machine.point == "mark-main" and not machine.gathered():
            machine.forgotten = False  # it marks anew, and looks for everything after that
        if machine.alive and machine.point in ("loading", "load-layer", "running") and not machine.forgotten:
            assert all(path.exists() for path in machine.gathered()), self.logs()

    def finish(self) -> None:
        """Everybody goes on, everybody ends well, and nothing of theirs is left."""
        for _ in range(3000):
            alive = [machine for machine in self.machines if machine.alive]
            if not alive:
                break
            for machine in alive:
                machine.beat()
                machine.step()
        self.check()
        for machine in self.machines:
            assert machine.killed or machine.status == 0, self.logs()
            assert self.budget < 10**9 or "working without" not in machine.log(), self.logs()
        dead = {machine.name for machine in self.machines if machine.killed}
        for lock in (self.store / "locks").glob("*"):
            # Whoever had taken it away and lost its power then, or has it.
            owners = {lock.name.split(".")[1]} if "." in lock.name else {owner.name for owner in lock.iterdir()}
            assert owners <= dead, (lock, owners, self.logs())
        for mark in (self.store / "used").glob("running.*"):
            assert mark.name.split(".")[1] in dead, self.logs()

    def close(self) -> None:
        for machine in self.machines:
            machine.kill()
            for stream in (machine.process.stdin, machine.process.stdout):
                if stream is not None and not stream.closed:
                    stream.close()
        shutil.rmtree(self.root, ignore_errors=True)


LAYERS = tuple(layer(f"model {number}", size) for number, size in enumerate((3300, 1500, 400, 900)))
