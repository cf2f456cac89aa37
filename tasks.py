"""The commands of a checkout: all that are installed (``boinc2docker.cli.commands``), and those for maintainers.

``ci/invoke NAME``, ``boinc2docker NAME`` and, with Invoke installed, ``invoke NAME`` do the same. Invoke itself would
read the words of a container as its own, so where it loads this file our program takes the command line over.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

_ROOT = Path(__file__).resolve().parent
sys.path[:0] = [str(_ROOT / "builder"), str(_ROOT)]  # for plain `invoke NAME` in a checkout

from boinc2docker import console, extras
from boinc2docker.cli import program
from boinc2docker.cli.base_options import MIRRORS
from boinc2docker.cli.command import Command, Entry, Example, Given
from boinc2docker.cli.commands import COMMANDS
from boinc2docker.cli.option import Option, group, values
from boinc2docker.cli.readers import existing, path
from boinc2docker.errors import HostError, UsageError

TEST_OPTIONS = (
    Option("exhaustive", "Also run the slow tests: every fault in every phase, and two clean systems.", kind="flag"),
    Option("quick", "Leave out the tests that boot machines.", kind="flag"),
)
UPDATE_OPTIONS = (
    Option(
        "report",
        "Directory for the new lock and a report for its reviewer: what changed, and security updates with their CVEs.",
        read=path,
        noun="DIR",
    ),
    *MIRRORS,
)
BENCH_OPTIONS = (
    Option("iso", "ISO to boot (default: the one that build-iso made).", read=existing, noun="FILE"),
    Option("quick", "Boot no machine.", kind="flag"),
    *group(
        "Comparison",
        Option(
            "compare",
            "Compare with the figures in this file, of `bench --json` or a release's measurements.json.",
            read=existing,
            noun="FILE",
        ),
        Option("figures", "Take the new figures from this file, and measure nothing.", read=existing, noun="FILE"),
        Option("chart", "Draw the ratios into this SVG file.", read=path, noun="FILE"),
    ),
)
RELEASE_OPTIONS = (
    Option("version", "Version of this checkout, such as 2.0.0.", noun="X.Y.Z", required=True),
    Option("output", "Directory for the release (default: dist/VERSION).", read=path, noun="DIR"),
    Option(
        "previous",
        "Directory or identity file of an earlier release (default: the tag before, by the changelog).",
        read=existing,
        noun="PATH",
    ),
    Option("key", "Secret key of minisign to sign with.", read=existing, noun="FILE"),
    *MIRRORS,
)


def run_tests(given: Given) -> int:
    """Prepares the environment and the machine and runs pytest; its exit code is the result."""
    typed = values(TEST_OPTIONS, given)
    extras.bring("test")
    if typed["exhaustive"]:
        with contextlib.suppress(HostError):  # the tests that need it skip and say so
            extras.bring("fuzz")
    if subprocess.run([str(_ROOT / "ci" / "prepare-tests")], check=False).returncode != 0:
        raise HostError("no-test-packages", "the packages that real tests need could not be installed; see above")
    options = ["--exhaustive" if typed["exhaustive"] else "--all"]
    options += ["-m", "not machine"] if typed["quick"] else []
    workers = ["-n", str(min(os.cpu_count() or 1, 4)), "--dist", "loadfile", "--no-loadscope-reorder"]
    argv = [sys.executable, "-m", "pytest", *workers, *options, *(given["words"] or [])]
    return subprocess.run(argv, cwd=_ROOT, check=False).returncode


def run_bench(given: Given) -> None:
    """Measures, and compares if asked to. Looks at its arguments before it installs anything."""
    from ci.bench import figures

    typed = values(BENCH_OPTIONS, given)
    if typed["chart"] and not typed["compare"]:
        raise UsageError("nothing-to-draw", "--chart draws a comparison: expected --compare FILE as well")
    old = figures.read(typed["compare"]) if typed["compare"] else None
    if typed["figures"]:
        figures.load(typed["figures"])
    if typed["iso"]:
        from boinc2docker.vm.run import check_iso

        check_iso(typed["iso"])
    extras.bring("test")
    from ci.bench import bench  # only here: what it measures with is not there before

    bench.run(typed["iso"], quick=typed["quick"], before=old, figures=typed["figures"], chart=typed["chart"])


def make_release(given: Given) -> None:
    """Makes a release. Looks at its arguments before it installs anything."""
    from boinc2docker import release

    typed = values(RELEASE_OPTIONS, given)
    options = release.Options(**{one.name: typed[one.name] for one in RELEASE_OPTIONS})
    release.check(options)
    extras.bring("test")  # it also measures, with what tests need
    release.release_command(options)


def update_base(given: Given) -> None:
    """Refreshes the lock and prints what changed."""
    from boinc2docker import base

    typed = values(UPDATE_OPTIONS, given)
    sources = base.Sources(mirror=typed["mirror"], security_mirror=typed["security_mirror"])
    report = typed["report"]
    with console.step("Resolve the debian base's packages from the signed index"):
        changes = base.update_and_report(sources, report) if report else base.update_lock(sources=sources)
    console.report(
        {"changes": [{"name": one.name, "before": one.before, "after": one.after} for one in changes]},
        "\n".join([str(change) for change in changes] or ["nothing changed"]),
    )


TEST = Command(
    "test",
    run_tests,
    TEST_OPTIONS,
    (
        Example("test", "Everything that this machine can run."),
        Example("test --quick -- tests/cli -k completion", "Words after -- go to pytest."),
    ),
    "Installs what real tests need (as root on Debian), and runs them all.",
    words="dashes",
    usage="[-- WORD…]",
)
BENCH = Command(
    "bench",
    run_bench,
    BENCH_OPTIONS,
    (
        Example("bench --quick", "Without booting a machine."),
        Example(
            "bench --compare dist/2.0.0/measurements.json --chart build/speed.svg", "What became faster or slower."
        ),
    ),
    "Measures remastering, staging an image, a job with a cold and a warm store, the phases of a boot, and results.",
)
RELEASE = Command(
    "release",
    make_release,
    RELEASE_OPTIONS,
    (Example("release --version 2.0.0", "Into dist/2.0.0."),),
    "Builds the ISO twice, boots it, and writes it with its list of parts, provenance, notes and digests. The checkout "
    "has to be clean. Everybody who releases the same commit gets the same SHA256SUMS.",
)
UPDATE_BASE = Command(
    "update-base",
    update_base,
    UPDATE_OPTIONS,
    (Example("update-base", "Newer packages in the default base; then build, test and commit the lock."),),
    "Rewrites guest/debian/packages.lock from Debian's signed index, and prints what changed.",
)
ENTRIES: tuple[Entry, ...] = (
    *COMMANDS,
    Entry("test", "Maintenance", "Run the tests.", lambda: TEST),
    Entry("bench", "Maintenance", "Measure, and compare with earlier figures.", lambda: BENCH),
    Entry("release", "Maintenance", "Make a release that anybody can rebuild.", lambda: RELEASE),
    Entry("update-base", "Maintenance", "Take newer packages into the default base.", lambda: UPDATE_BASE),
)


if "invoke.program" in sys.modules and program.takes_over(sys.argv):
    program.main(known=ENTRIES, program="invoke")
elif "invoke.program" in sys.modules:  # Invoke's own options: it lists the commands itself
    from invoke.context import Context
    from invoke.tasks import Task

    def _task(entry: Entry) -> Task[Callable[[Context], None]]:
        def body(_: Context) -> None:
            program.main([entry.name], known=ENTRIES, program="invoke")

        body.__doc__ = entry.summary
        return Task(body, name=entry.name)

    globals().update({f"_{entry.name}": _task(entry) for entry in ENTRIES})
