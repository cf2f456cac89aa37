"""What ``invoke bench`` measures: ratios within one run, never seconds against a fixed number.

Each command is a whole process; its seconds are wall time, its memory the peak resident set that the kernel accounts to
it (``wait4``). What is compared runs in turn (A B A B …), and the median of the ratios is quoted.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from builder import PROJECT_ROOT, atomic, base, command, console, iso, vm
from builder.digest import Digest
from builder.errors import CommandError, HostError, UsageError
from ci import bench_chart
from ci import figures as figure_files
from ci.release import sizes

REMASTER = """\
import sys
from pathlib import Path
from builder import iso
from builder.digest import Digest
base = iso.BaseIdentity("bench", Digest("0" * 64))
iso.remaster(Path(sys.argv[1]), Path(sys.argv[2]), base=base, version="0", epoch=0)
"""

PHASES = (
    ("power-on → init", None, "init"),
    ("init → containerd", "init", "containerd"),
    ("containerd → Docker ready", "containerd", "docker"),
    ("Docker ready → image loaded", "docker", "loaded"),
    ("image loaded → first line of the container", "loaded", "first-output"),
    ("first line → results packed", "first-output", "results"),
)
"""Stages of a job: name, mark it begins with (None: power-on), mark it ends with."""


@dataclass(frozen=True)
class Run:
    """One finished process: wall seconds, peak resident memory in MB."""

    seconds: float
    peak_mb: float


@dataclass(frozen=True)
class Comparison:
    """Medians of both commands, and of the ratios taken pair by pair."""

    name: str
    against: str
    seconds: float
    against_seconds: float
    ratio: float
    peak_mb: float
    against_peak_mb: float


def timed(argv: Sequence[str | Path]) -> Run:
    """Runs ``argv`` to its end, its output thrown away; raises CommandError if it fails."""
    words = [str(word) for word in argv]
    with tempfile.TemporaryFile() as output:
        began = time.monotonic()
        files = [(os.POSIX_SPAWN_DUP2, output.fileno(), 1), (os.POSIX_SPAWN_DUP2, output.fileno(), 2)]
        child = os.posix_spawnp(words[0], words, {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}, file_actions=files)
        _, status, usage = os.wait4(child, 0)
        seconds = time.monotonic() - began
        if status != 0:
            output.seek(0)
            raise CommandError(words, os.waitstatus_to_exitcode(status), output.read().decode(errors="replace"))
    return Run(seconds, usage.ru_maxrss / 1024)


def compare(name: str, ours: Callable[[], Run], against: str, theirs: Callable[[], Run], rounds: int) -> Comparison:
    """Runs both in turn: once to warm up, then ``rounds`` times counted."""
    ours()
    theirs()
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    middle = statistics.median
    return Comparison(
        name=name,
        against=against,
        seconds=middle(a.seconds for a, _ in pairs),
        against_seconds=middle(b.seconds for _, b in pairs),
        ratio=middle(a.seconds / b.seconds for a, b in pairs),
        peak_mb=max(a.peak_mb for a, _ in pairs),
        against_peak_mb=max(b.peak_mb for _, b in pairs),
    )


def remaster(base: Path, *, rounds: int = 5) -> list[Comparison]:
    """Our remaster of ``base`` against copying it, and against xorriso adding the same files where it is installed."""
    with tempfile.TemporaryDirectory(prefix="boinc2docker-bench-") as name:
        work = Path(name)
        target = work / "ours.iso"
        ours = lambda: timed([sys.executable, "-c", REMASTER, base, target])  # noqa: E731
        found = [compare("remaster", ours, "cp", lambda: timed(["cp", base, work / "copy.iso"]), rounds)]
        if shutil.which("xorriso"):
            added = work / "boinc.img"
            added.write_bytes(bytes(300 << 10))
            found.append(compare("remaster", ours, "xorriso", lambda: _xorriso(base, work, added), rounds))
    return found


def _xorriso(base: Path, work: Path, added: Path) -> Run:
    output = work / "theirs.iso"
    output.unlink(missing_ok=True)
    edit: list[str | Path] = ["-map", added, "/boot/boinc.img", "-map", added, "/isolinux/isolinux.cfg"]
    return timed(["xorriso", "-indev", base, "-outdev", output, "-boot_image", "any", "keep", *edit])


def boot(image: Path, archive: Path) -> dict[str, Any]:
    """Runs a small job in a real machine: what `run --json` tells of it."""
    with tempfile.TemporaryDirectory(prefix="boinc2docker-bench-") as name:
        results = Path(name) / "results"
        words: list[str | Path] = [
            "run",
            archive,
            "--iso",
            image,
            "--json",
            "--results",
            results,
            "--",
            "/bin/sh",
            "-c",
            "echo first",
        ]
        output = command.run([sys.executable, "-m", "builder.program", *words], cwd=PROJECT_ROOT)
        outcome: dict[str, Any] = json.loads(output)
        return outcome


def phases(marks: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each stage whose two marks were reached."""
    found = {}
    for name, begin, end in PHASES:
        if end in marks and (begin is None or begin in marks):
            found[name] = round(marks[end] - (marks[begin] if begin else 0), 2)
    return found


def as_json(
    comparisons: Sequence[Comparison], outcome: Mapping[str, Any] | None, size_bytes: Mapping[str, int]
) -> dict[str, Any]:
    """What was measured as the object that ``bench --json`` prints; ``ci.figures`` reads it back."""
    stages = phases(outcome["phases"]) if outcome else {}
    compared = [asdict(one) for one in comparisons]
    return {"comparisons": compared, "phases": stages, "run": outcome, "size_bytes": dict(size_bytes)}


def render(machine: Mapping[str, Any]) -> str:
    """The JSON form as text for a person."""
    lines = [
        f"{one.name} against {one.against}: {one.ratio:.2f}× "
        f"({one.seconds:.2f} s, {one.peak_mb:.0f} MB; {one.against_seconds:.2f} s, {one.against_peak_mb:.0f} MB)"
        for one in (Comparison(**found) for found in machine["comparisons"])
    ]
    lines += [f"{name}: {seconds:.1f} s" for name, seconds in machine["phases"].items()]
    lines += [f"size, {name}: {size / 1e6:.2f} MB" for name, size in machine["size_bytes"].items()]
    outcome = machine["run"]
    if outcome and outcome.get("guest_memory_mb"):
        lines.append(f"peak memory of the guest: {outcome['guest_memory_mb']} MB")
        lines.append(f"peak memory of the machine's process: {outcome['host_memory_mb']} MB")
    return "\n".join(lines)


def measure(image: Path, *, quick: bool = False) -> dict[str, Any]:
    """All of it, about ``image``, as the JSON form; ``quick`` boots nothing. Raises MachineError if the job fails."""
    base_iso = base.obtain().path
    with console.step("Remaster against cp and xorriso, in turn"):
        comparisons = remaster(base_iso)
    outcome = None
    if not quick:
        with (
            console.step("A small job in a machine"),
            tempfile.TemporaryDirectory(prefix="boinc2docker-bench-") as name,
        ):
            outcome = boot(image, tiny_archive(Path(name)))
    return as_json(comparisons, outcome, sizes.of(iso.inspect(image)))


def run(image: Path | None, *, quick: bool, old: Path | None, figures: Path | None, chart: Path | None) -> None:
    """``invoke bench``: measures, or reads ``figures``; holds them against ``old`` and draws a chart, if asked to."""
    if chart is not None and old is None:
        raise UsageError("nothing-to-draw", "--chart draws a comparison: expected --compare OLD.json as well")
    before = figure_files.read(old) if old else None
    machine = figure_files.load(figures) if figures is not None else measure(image or vm.default_iso(), quick=quick)
    if before is None:
        console.report(machine, render(machine))
        return
    rows = figure_files.compare(before, figure_files.flatten(machine))
    if chart is not None:
        atomic.write_text(chart, bench_chart.draw(rows))
    console.report(
        {**machine, "compared": [asdict(row) for row in rows]}, "\n".join(str(row) for row in rows) or "no figures"
    )


def tiny_archive(directory: Path) -> Path:
    """An image archive of one layer: this host's static busybox as /bin/sh. Raises HostError if there is none."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise HostError("program-missing", "busybox is not on this machine", hint="apt-get install busybox-static")
    layer = _tar({"bin/busybox": (Path(busybox).read_bytes(), 0o755), "bin/sh": ("/bin/busybox", 0o777)})
    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]}}
    config |= {"rootfs": {"type": "layers", "diff_ids": [str(Digest.of(layer))]}}
    manifest = [{"Config": "config.json", "RepoTags": ["bench:latest"], "Layers": ["layer.tar"]}]
    members: dict[str, tuple[bytes | str, int]] = {
        "manifest.json": (json.dumps(manifest).encode(), 0o644),
        "config.json": (json.dumps(config).encode(), 0o644),
        "layer.tar": (layer, 0o644),
    }
    path = directory / "bench.tar"
    path.write_bytes(_tar(members))
    return path


def _tar(members: Mapping[str, tuple[bytes | str, int]]) -> bytes:
    """A tar archive of files (bytes) and symbolic links (str)."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for name, (content, mode) in members.items():
            member = tarfile.TarInfo(name)
            member.mode = mode
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return output.getvalue()
