"""What ``bench`` measures: ratios within one run, never seconds against a fixed number.

Each command is a whole process; its seconds are wall time, its memory the peak resident set that the kernel accounts to
it (``wait4``). What is compared runs in turn (A B A B …), and the median of the ratios is quoted.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from boinc2docker import atomic, base, console, iso
from boinc2docker.cli.run import default_iso
from boinc2docker.errors import HostError
from boinc2docker.release import sizes
from ci.bench import chart as bench_chart
from ci.bench import figures as figure_files
from ci.bench.files import FileSeconds, inputs_and_results
from ci.bench.process_cost import Run, timed
from ci.bench.results import Throughput, throughput
from ci.bench.staging import Staging, staging
from ci.bench.store import StoreSeconds, cold_and_warm
from ci.bench.submit import Submitting, submitting

Measured = Throughput | Staging | StoreSeconds | Submitting | FileSeconds
"""What each further part of the benchmarks finds: figures, and ``str()`` of them for people."""

REMASTER = """\
import sys
from pathlib import Path
from boinc2docker import iso
from boinc2docker.digest import Digest
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

OF_RUN = (
    *("exit_code", "acceleration", "phases", "downloaded_bytes", "reused_bytes"),
    *("guest_memory_mb", "host_memory_mb"),
)
"""What is told of the job's run: a release publishes it, so neither paths of its maker nor texts of the guest."""


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


def phases(marks: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each stage whose two marks were reached."""
    found = {}
    for name, begin, end in PHASES:
        if end in marks and (begin is None or begin in marks):
            found[name] = round(marks[end] - (marks[begin] if begin else 0), 2)
    return found


def as_json(
    comparisons: Sequence[Comparison],
    outcome: Mapping[str, Any] | None,
    measured: Mapping[str, Measured | None],
    size_bytes: Mapping[str, int],
) -> dict[str, Any]:
    """What was measured as the object that ``bench --json`` prints; ``ci.bench.figures`` reads it back."""
    return {
        "comparisons": [asdict(one) for one in comparisons],
        **{name: asdict(one) if one else None for name, one in measured.items()},
        "phases": phases(outcome["phases"]) if outcome else {},
        "run": {name: outcome.get(name) for name in OF_RUN} if outcome else None,
        "size_bytes": dict(size_bytes),
    }


def render(
    comparisons: Sequence[Comparison], outcome: Mapping[str, Any] | None, measured: Mapping[str, Measured | None]
) -> str:
    """What was measured as text for a person."""
    lines = [
        f"{one.name} against {one.against}: {one.ratio:.2f}× "
        f"({one.seconds:.2f} s, {one.peak_mb:.0f} MB; {one.against_seconds:.2f} s, {one.against_peak_mb:.0f} MB)"
        for one in comparisons
    ]
    lines += [str(one) for one in measured.values() if one]
    lines += [f"{name}: {seconds:.1f} s" for name, seconds in (phases(outcome["phases"]) if outcome else {}).items()]
    if outcome and outcome.get("guest_memory_mb"):
        lines.append(f"peak memory of the guest: {outcome['guest_memory_mb']} MB")
        lines.append(f"peak memory of the machine's process: {outcome['host_memory_mb']} MB")
    return "\n".join(lines)


def measure(image: Path | None, *, quick: bool = False) -> tuple[dict[str, Any], str]:
    """All of it, about the ISO ``image`` (None: what build-iso made), as JSON and as text.

    ``quick`` boots nothing and starts no Docker. Raises HostError where a job in a machine cannot be measured; what
    else cannot is said and left out.
    """
    base_iso = base.obtain().path
    with console.step("Remaster against cp and xorriso, in turn"):
        comparisons = remaster(base_iso)
    with console.step("Assimilating results, at 1 000 and at 100 000 rows of the index"):
        results = throughput()
    outcome, staged, store, jobs, files = None, None, None, None, None
    chosen = default_iso() if image is None and not quick else image
    if chosen is not None and not quick:
        outcome, store = cold_and_warm(chosen)
        files = inputs_and_results(chosen)
        with console.step("Staging from a registry against docker pull, save and gzip"):
            try:
                staged = staging()
            except HostError as error:
                console.warn(f"not measured: {error.message}")
        with console.step("Submitting many jobs at once against one by one, to stand-ins of BOINC's programs"):
            try:
                jobs = submitting()
            except HostError as error:
                console.warn(f"not measured: {error.message}")
    measured: dict[str, Measured | None] = {
        "results": results,
        "staging": staged,
        "store": store,
        "submitting": jobs,
        "files": files,
    }
    size_bytes = sizes.of(iso.inspect(chosen)) if chosen is not None else {}
    return as_json(comparisons, outcome, measured, size_bytes), render(comparisons, outcome, measured)


def run(
    image: Path | None, *, quick: bool, before: Mapping[str, Any] | None, figures: Path | None, chart: Path | None
) -> None:
    """Measures, or reads ``figures``; compares with the figures ``before`` and draws a chart, if asked to."""
    if figures is not None:
        machine = figure_files.load(figures)
        text = "\n".join(f"{name}: {value:g}" for name, value in figure_files.flatten(machine).items())
    else:
        machine, text = measure(image, quick=quick)
    if before is None:
        console.report(machine, text)
        return
    rows = figure_files.compare(figure_files.flatten(before), figure_files.flatten(machine))
    then, now = figure_files.acceleration(before), figure_files.acceleration(machine)
    if then and now and then != now:
        console.warn(
            f"the machine ran with {ascii(then)[1:-1]} before and with {ascii(now)[1:-1]} now: its seconds are left out"
        )
        rows = [row for row in rows if not figure_files.of_machine(row.name)]
    if chart is not None:
        atomic.write_text(chart, bench_chart.draw(rows))
    compared = "\n".join(str(row) for row in rows) or "no figures"
    console.report({**machine, "compared": [asdict(row) for row in rows]}, compared)
