"""A directory in which the agent's real scripts run as in a machine, under a chosen shell and its tools."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import socketserver
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.guest.scripts import HOME, with_needs

STUBS = Path(__file__).parent / "stubs"
WORLDS = ("busybox", "old", "dash", "bash")
"""busybox: ash, its applets, GNU tar and curl (the debian base); old: only busybox; dash and bash: GNU tools."""


def everyday(worlds: Iterable[str]) -> list[object]:
    """Parameters: what guests really have each day, the other shells in the long run."""
    return [pytest.param(one, marks=pytest.mark.exhaustive if one in ("dash", "bash") else ()) for one in worlds]


class _Engine(socketserver.StreamRequestHandler):
    """The engine's socket, as far as the agent asks there; the state is the docker stand-in's."""

    def handle(self) -> None:
        method, path, _ = self.rfile.readline().decode().split(" ", 2)
        while self.rfile.readline().strip():
            pass
        folder = Path(str(self.server.server_address)).parent / "stub"
        answer = self.answer(method, path, folder)
        status = "404 Not Found" if answer is None else "200 OK"
        body = (answer or "").encode()
        self.wfile.write(f"HTTP/1.0 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    def answer(self, method: str, path: str, folder: Path) -> str | None:
        """The body for a request; None is "no such thing"."""
        match path.split("/")[1:]:
            case ["_ping"]:
                return "OK"
            case ["images", *name, "json"]:
                return "{}" if (folder / f"loaded-{name[-1].split(':')[-1]}").exists() else None
            case ["containers", "json?all=1"]:
                return '[{"Id":"x"}]' if (folder / "old-containers").exists() else "[]"
            case ["containers", "json"]:
                return '[{"Id":"x"}]' if (folder / "running").exists() else "[]"
            case ["containers", _, "json"]:
                user = (folder / "user").read_text() if (folder / "user").exists() else ""
                return json.dumps({"Id": "x", "Config": {"Hostname": "h", "User": user}}, separators=(",", ":"))
        return None


@contextlib.contextmanager
def engine_socket(path: Path) -> Iterator[None]:
    """A Docker engine that answers there."""
    with socketserver.ThreadingUnixStreamServer(str(path), _Engine) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def tools(world: str, target: Path) -> list[Path]:
    """Makes the directory of programs of a world; returns its search path."""
    target.mkdir()
    busybox = shutil.which("busybox")
    if world in ("busybox", "old"):
        # Debian's busybox runs its own applets whatever PATH says, so the real tar is found by its full path, as there.
        assert busybox, "these tests need busybox"
        applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
        for name in {*applets, "sh"}:
            (target / name).symlink_to(busybox)
        if world == "busybox" and (curl := shutil.which("curl")):
            (target / "curl").symlink_to(curl)
        return [target]
    shell = shutil.which(world)
    assert shell, f"these tests need {world}"
    (target / "sh").symlink_to(shell)
    return [target, Path("/usr/bin"), Path("/bin"), Path("/usr/sbin"), Path("/sbin")]


@dataclass
class Machine:
    """One machine: ``boot`` starts the agent in it, ``cut_power`` ends everything in it at once.

    ``share`` is the host's directory, ``work`` the machine's own disk (``work/job``, ``work/agent``), ``directory`` the
    job's, which the container sees. Without ``disk`` what is in ``work`` goes with the power.
    """

    root: Path
    world: str
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    boots: int = 0
    disk: bool = True

    def __post_init__(self) -> None:
        self.share, self.stub, self.work = self.root / "share", self.root / "stub", self.root / "work"
        self.directory = self.root / "job"
        self.keep = self.work / "agent"
        for path in (self.share, self.stub, self.keep, self.directory):
            path.mkdir(parents=True)
        search = ":".join(map(str, [STUBS, *tools(self.world, self.root / "bin")]))
        self.environment = {
            "PATH": search,
            "B2D_PATH": search,
            "STUB": str(self.stub),
            "B2D_HOME": str(HOME),
            "B2D_SHARE": str(self.share),
            "B2D_WORK": str(self.work),
            "B2D_JOB": str(self.directory),
            "B2D_SCRATCH": str(self.root / "scratch"),
            "B2D_ROOT": str(self.root / "root"),
            "B2D_SYS": str(self.root / "sys"),
            "B2D_DOCKER_DATA": str(self.root / "docker"),
            "B2D_SOCKET": str(self.root / "docker.sock"),
            "B2D_GUESTLOG": str(STUBS / "guestlog"),
            "B2D_CONSOLE": str(self.root / "console"),
            "B2D_LOG": str(self.root / "agent.log"),
            "B2D_BOOTED": "/proc/uptime",
            "B2D_DATE": "false",  # tests may run as root: none may set the real clock
            "B2D_MOUNT": str(STUBS / "mount"),
            "B2D_MODPROBE": str(STUBS / "modprobe"),
            "B2D_RETRY_SECONDS": "0.1",
            "B2D_HEARTBEAT_SECONDS": "1",
            "B2D_MOVE_SECONDS": "3",
            "B2D_ROOM_SECONDS": "3",
            **self.environment,
        }
        (self.root / "docker").mkdir()
        (self.root / "root" / "usr" / "bin").mkdir(parents=True)
        if self.world != "old":
            (self.root / "root" / "usr" / "bin" / "tar").symlink_to("/bin/tar")
        (self.stub / "mount-type").write_text("9p\nbind\ntmpfs\n")
        (self.stub / "container").write_text("exit 0\n")
        self.power_on()

    def power_on(self) -> None:
        """Fresh memory: /run and /proc of a new boot, nothing mounted but the disk."""
        self.boots += 1
        for path in (self.directory, self.root / "docker", self.root / "root" / "tmp"):
            if path.is_symlink():  # the mount stand-in's
                path.unlink()
                path.mkdir()
        if not self.disk:
            shutil.rmtree(self.work)
            self.work.mkdir()
        self.run_dir, proc = self.root / f"run{self.boots}", self.root / f"proc{self.boots}"
        self.run_dir.mkdir()
        proc.mkdir()
        disk = f"disk {self.work} ext4 rw 0 0\n" if self.disk else ""
        (proc / "mounts").write_text(f"rootfs / tmpfs rw 0 0\n{disk}")
        (proc / "filesystems").write_text("nodev\ttmpfs\nnodev\tvboxsf\nnodev\t9p\n")
        (proc / "meminfo").write_text("MemTotal: 1000000 kB\nMemAvailable: 900000 kB\nSwapFree: 0 kB\n")
        self.environment |= {"B2D_RUN": str(self.run_dir), "B2D_PROC": str(proc)}

    @property
    def shell(self) -> Path:
        return self.root / "bin" / "sh"

    def sh(self, script: str, *words: str | bytes, parts: str = "", check: bool = True) -> bytes:
        """Runs a script in the machine's shell; returns its stdout. Sources files of ``lib`` and what they need."""
        sources = "".join(f'. "$B2D_HOME/lib/{part}.sh"\n' for part in with_needs(parts.split()))
        argv: list[str | bytes] = [str(self.shell), "-c", f"set -u\n{sources}{script}", "sh", *words]
        done = subprocess.run(argv, env=self.environment, capture_output=True, check=False, timeout=60)
        assert not check or done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout

    def job(self, script: str) -> None:
        """Writes the job; the path of the agent's functions is this machine's."""
        script = script.replace("/opt/boinc2docker/", f"{HOME}/")
        (self.share / "boinc_app").write_text(script, encoding="utf-8", errors="surrogateescape")

    def image(self, *contents: bytes) -> str:
        """Puts an image of these layers into shared/image; returns the lines of a job file for it."""
        folder = self.share / "image"
        folder.mkdir(exist_ok=True)
        lines = []
        diffs = []
        for content in contents:
            layer = gzip.compress(content, mtime=0)
            name, diff = hashlib.sha256(layer).hexdigest(), hashlib.sha256(content).hexdigest()
            (folder / name).write_bytes(layer)
            diffs.append(f"sha256:{diff}")
            lines.append(f"job_layer 'sha256:{name}' {len(layer)} 'sha256:{diff}'\n")
        config = json.dumps({"rootfs": {"type": "layers", "diff_ids": diffs}}).encode()
        name = hashlib.sha256(config).hexdigest()
        (folder / name).write_bytes(config)
        return f"job_image 'python:3-slim' 'sha256:{name}' {len(config)}\n" + "".join(lines)

    def boot(self) -> None:
        """Starts the agent as the base does."""
        with (self.root / "out").open("ab") as out:
            self.process = subprocess.Popen(
                [str(self.shell), str(HOME / "agent")],
                env=self.environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def wait_for(self, seen: Callable[[], bool], seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not seen():
            assert time.monotonic() < deadline, f"nothing after {seconds} s:\n{self.log()}\n{self.output()}"
            time.sleep(0.02)

    def run_job(self) -> tuple[int, str]:
        """Boots, waits for the completion file, cuts the power; returns exit code and message."""
        with engine_socket(self.root / "docker.sock"):
            self.boot()
            self.wait_for(self.completion.exists)
            self.cut_power()
        (self.root / "docker.sock").unlink()
        code, notice, message = self.completion.read_text().split("\n", 2)
        assert notice == "0"
        return int(code), message

    @property
    def completion(self) -> Path:
        return self.share / "completion_trigger_file"

    def cut_power(self) -> None:
        """SIGKILL to every process of this machine (found by its environment), until none is left.

        A process that is just being executed shows no environment for a moment, so one empty look is not enough.
        """
        mark = f"B2D_RUN={self.run_dir}\0".encode()
        quiet = 0
        while quiet < 3:
            alive = [int(one.name) for one in Path("/proc").iterdir() if self._owns(one, mark)]
            quiet = 0 if alive else quiet + 1
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.process is not None:
                self.process.poll()
            time.sleep(0.005)
        if self.process is not None:
            self.process.wait()

    @staticmethod
    def _owns(process: Path, mark: bytes) -> bool:
        with contextlib.suppress(OSError):
            return process.name.isdigit() and mark in (process / "environ").read_bytes()
        return False

    def log(self) -> str:
        log = self.root / "agent.log"
        return log.read_text() if log.exists() else ""

    def output(self) -> str:
        out = self.root / "out"
        return out.read_text(errors="replace") if out.exists() else ""

    def archive(self, name: str | Path) -> dict[str, bytes]:
        """The regular files of an archive in the share, whether their names begin with ./ or not."""
        with tarfile.open(self.share / name) as tar:
            return {m.name.removeprefix("./"): _read(tar, m) for m in tar if m.isfile()}

    def record(self) -> dict[str, Any]:
        """job.json."""
        record: dict[str, Any] = json.loads(self.archive("boinc_log.tgz")["job.json"])
        return record


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = tar.extractfile(member) or io.BytesIO()
    return stream.read()
