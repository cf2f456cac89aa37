"""The commands: ``ci/invoke --list`` names them, ``ci/invoke --help COMMAND`` explains one.

Each is a few lines here; what it does is in ``boinc2docker.cli.image`` and the parts behind it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from invoke.context import Context

sys.path.insert(0, str(Path(__file__).resolve().parent / "builder"))  # for plain `invoke NAME` in a checkout

from boinc2docker import app, extras
from boinc2docker.cli import image as commands
from boinc2docker.cli import sign_app as signing
from boinc2docker.cli.container_options import refuse
from boinc2docker.cli.jobs import CANCEL, STATUS, cancel_command, status_command
from boinc2docker.cli.program import command, words_after_dashes
from boinc2docker.cli.release import diff, release, verify_release
from boinc2docker.cli.results import Options, results_command
from boinc2docker.cli.run import RUN, RunOptions, run_command
from boinc2docker.cli.store import store_command
from boinc2docker.cli.submit import SUBMIT, submit_command
from boinc2docker.cli.task_options import BASE, DEBUG, LOCKED, MIRROR, SECURITY, TALK, path
from boinc2docker.option import taking_values
from boinc2docker.results.settings_check import check_settings

__all__ = ["diff", "release", "verify_release"]  # from ci; Invoke finds every task among this module's names


@command(
    help={
        "base": BASE,
        "sha256": "digest the base must have",
        "output": "where to write (default: boinc2docker-VERSION.iso in the output directory)",
        "locked": LOCKED,
        "offline": "use the cache only, open no connection",
        "mirror": MIRROR,
        "security_mirror": SECURITY,
        **TALK,
    }
)
def build_iso(
    c: Context,
    base: str | None = None,
    sha256: str | None = None,
    output: str | None = None,
    locked: bool = False,
    offline: bool = False,
    mirror: str | None = None,
    security_mirror: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Builds the ISO that volunteers' machines boot: a base with the job agent in it.

    The first build downloads Debian's packages and packs them (minutes); later ones take about a second.
    """
    commands.build_iso(
        base,
        sha256=sha256,
        output=path(output),
        locked=locked,
        offline=offline,
        mirror=mirror,
        security_mirror=security_mirror,
    )


@command(help={"base": BASE, "locked": LOCKED, "mirror": MIRROR, "security_mirror": SECURITY, **TALK})
def fetch(
    c: Context,
    base: str | None = None,
    locked: bool = False,
    mirror: str | None = None,
    security_mirror: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Downloads what a base needs into the cache, so that a build works offline."""
    commands.fetch(base, locked=locked, mirror=mirror, security_mirror=security_mirror)


@command(
    help={
        "report": "a directory for the new lock and, for a reviewer, what changed (security updates with their CVEs)",
        "mirror": MIRROR,
        "security_mirror": SECURITY,
        **TALK,
    }
)
def update_base(
    c: Context,
    report: str | None = None,
    mirror: str | None = None,
    security_mirror: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Refreshes guest/debian/packages.lock from Debian's signed index and prints what changed."""
    commands.update_base(mirror=mirror, security_mirror=security_mirror, report=path(report))


@command(help={"iso": "the ISO to look into", **TALK})
def inspect(c: Context, iso: str, json: bool = False, debug: bool = False) -> int:
    """Tells what is in an ISO, whether it is ours, what was changed against its base, and whether it is intact."""
    return commands.inspect(Path(iso))


@command(
    positional=["iso"],
    iterable=["set", "add", "remove"],
    help={
        "iso": "an ISO made by build-iso; it is changed in place",
        "set": "KEY=VALUE: REGISTRY_MIRROR, HTTP_PROXY, HTTPS_PROXY, NO_PROXY, STORE_BUDGET_MB (repeatable)",
        "add": "FILE:PATH puts a file at PATH in the guest; FILE:hook:before-job or :after-job a script (repeatable)",
        "remove": "takes a setting, a path or a hook out again (repeatable)",
        "show": "show what was changed",
        "reset": "back to the released bytes",
        **TALK,
    },
)
def customize(
    c: Context,
    iso: str,
    set: list[str] | None = None,
    add: list[str] | None = None,
    remove: list[str] | None = None,
    show: bool = False,
    reset: bool = False,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Writes a project's settings and files into a finished ISO, shows them, or takes them out."""
    commands.customize(Path(iso), settings=set or [], add=add or [], remove=remove or [], show=show, reset=reset)


@command(table=RUN, check_words=lambda words: refuse(words, taking_values(RUN)))
def run(c: Context, **options: Any) -> int:
    """Runs an image as a volunteer's machine would: boots the ISO in QEMU, runs the container, brings back results.

    ci/invoke run hello.tar -- /bin/sh -c 'echo hello > /root/shared/results/out.txt'
    """
    return run_command(RunOptions.of(words_after_dashes(), **options))


@command(table=SUBMIT, check_words=lambda words: refuse(words, taking_values(SUBMIT)))
def submit(c: Context, **options: Any) -> int:
    """Makes a job a BOINC work unit: what docker run would do here is done on a volunteer's computer.

    ci/invoke submit python:3-slim --project DIR -- python -c "print('Hello BOINC')"
    """
    return submit_command(options, words_after_dashes())


@command(
    iterable=["platform", "dont_install"],
    help={
        "version": "two digits after the dot, such as 1.02",
        "settings": "an app.toml of this app's own; what it does not say comes from app_template/app.toml",
        "iso": "the ISO to ship (default: what build-iso made)",
        "wrapper": "vboxwrapper: a release such as 26212, or a directory with its files",
        "platform": "package this one only: x86_64-pc-linux-gnu, windows_x86_64, x86_64-apple-darwin (repeatable)",
        "project": "install into this BOINC project (default: $PROJHOME, $BOINC_PROJECT_DIR, else not at all)",
        "dont_install": "leave this part of the project alone: template_in, template_out, vbox_job, create_work, "
        "assimilator, validator, project, plan_class, config (repeatable)",
        "run": "also run bin/xadd and bin/update_versions, and tell what became of each platform",
        "dry_run": "show all that would be done, change nothing",
        "download_only": "fetch vboxwrapper and stop",
        "offline": "use the cache only, open no connection",
        **TALK,
    },
    texts={name: f"app.toml: {field.help}" for name, field in app.FIELDS.items()},
)
def package_app(
    c: Context,
    version: str,
    settings: str | None = None,
    iso: str | None = None,
    wrapper: str | None = None,
    platform: list[str] | None = None,
    project: str | None = None,
    dont_install: list[str] | None = None,
    run: bool = False,
    dry_run: bool = False,
    download_only: bool = False,
    offline: bool = False,
    json: bool = False,
    debug: bool = False,
    **fields: str | None,
) -> int:
    """Makes a version of a BOINC app, with vboxwrapper and the ISO, and installs it into a project."""
    return app.package_app(
        app.Options(
            version=version,
            iso=path(iso) or commands.default_iso(),
            check_results=check_settings,
            own_settings=path(settings),
            settings=fields,
            wrapper=wrapper,
            platform=platform or (),
            project=path(project),
            dont_install=dont_install or (),
            run=run,
            dry_run=dry_run,
            download_only=download_only,
            offline=offline,
        )
    )


@command(positional=["directory"], help={"directory": "a version's tree", "key": "BOINC's code_sign_private", **TALK})
def sign_app(c: Context, directory: str, key: str | None = None, json: bool = False, debug: bool = False) -> None:
    """Signs a version's files for BOINC, on a machine without BOINC: keep the key off the server."""
    signing.sign(Path(directory), key)


@command(positional=["directory"], help={"directory": "a version's tree", "key": "BOINC's code_sign_public", **TALK})
def verify_app(c: Context, directory: str, key: str | None = None, json: bool = False, debug: bool = False) -> int:
    """Checks the signatures of a version's files."""
    return signing.verify(Path(directory), key)


@command(table=STATUS)
def status(c: Context, **options: Any) -> int:
    """Tells how far jobs are: waiting, running, returned, valid, done, failed or cancelled."""
    return status_command(options)


@command(table=CANCEL)
def cancel(c: Context, **options: Any) -> int:
    """Ends jobs that are not over, through the project's cancel_jobs. Jobs that are done stay as they are."""
    return cancel_command(options)


@command(
    positional=["action", "store_path"],
    help={
        "action": "ls, verify (bad files are set aside) or gc",
        "store_path": "a host's scratch directory, such as build/scratch, or a BOINC project's",
        "budget": "gc of a host's store: keep at most this much, such as 10GB (default)",
        "grace": "gc of a project: keep what no job needs this long after its last use, such as 0s (default 1d)",
        "dry_run": "gc: say what would go, remove nothing",
        **TALK,
    },
)
def store(
    c: Context,
    action: str,
    store_path: str,
    budget: str | None = None,
    grace: str | None = None,
    dry_run: bool = False,
    json: bool = False,
    debug: bool = False,
) -> int:
    """Shows, checks and tidies a host's image store, or what is staged in a project. verify exits with 1 if bad."""
    return store_command(action, Path(store_path), budget=budget, grace=grace, dry_run=dry_run)


@command(
    positional=["action", "first", "second"],
    optional_positional=["first", "second"],
    iterable=["column"],
    help={
        "action": "ls, show WU, export, plot X Y, or retry (what failed to be assimilated)",
        "first": "show: the work unit; plot: the column X",
        "second": "plot: the column Y",
        "project": "the results of an app that is installed in this BOINC project",
        "appname": "with --project: the app (default boinc2docker)",
        "settings": "instead of these the app's app.toml (default: ./app.toml, else that of the project here)",
        "batch": "only this batch",
        "name": "only work units whose name fits this pattern of * and ?",
        "state": "only done, failed, error or kept (done, though the container failed)",
        "column": "export: a name of the index, a recorded value, or FILE:COLUMN of result files (repeatable)",
        "csv": "export: write this CSV file",
        "raw": "export: leave texts in CSV that a spreadsheet would take for formulas as they are",
        "parquet": "export: write this Parquet file",
        "output": "plot: a .png or .svg file (default: plot.png)",
        "log": "plot: logarithmic axes: x, y or xy (default: those whose values, all above 0, span two decades)",
        "linear": "plot: linear axes: x, y or xy",
        **TALK,
    },
)
def results(
    c: Context,
    action: str,
    first: str | None = None,
    second: str | None = None,
    project: str | None = None,
    appname: str | None = None,
    settings: str | None = None,
    batch: str | None = None,
    name: str | None = None,
    state: str | None = None,
    column: list[str] | None = None,
    csv: str | None = None,
    parquet: str | None = None,
    output: str | None = None,
    log: str | None = None,
    linear: str | None = None,
    raw: bool = False,
    json: bool = False,
    debug: bool = False,
) -> int:
    """Lists, shows, exports and plots what came back, and tries again what could not be assimilated."""
    return results_command(
        action,
        Options(
            settings=path(settings),
            project=path(project),
            app=appname,
            raw=raw,
            words=[word for word in (first, second) if word is not None],
            batch=batch,
            name=name,
            state=state,
            columns=column or (),
            csv=path(csv),
            parquet=path(parquet),
            output=path(output),
            log=log,
            linear=linear,
        ),
    )


@command(
    help={
        "exhaustive": "the long fault matrix as well",
        "quick": "without the tests that boot machines",
        "debug": DEBUG,
    }
)
def test(c: Context, exhaustive: bool = False, quick: bool = False, debug: bool = False) -> int:
    """Installs what real tests need (as root on Debian), then runs them all. Words after -- go to pytest."""
    return commands.test(exhaustive=exhaustive, quick=quick, words=words_after_dashes() or [])


@command(
    help={
        "iso": "the ISO to boot (default: what build-iso made)",
        "quick": "without booting a machine",
        "compare": "hold the figures against those of this file (bench --json, or a release's measurements.json)",
        "figures": "compare: take these figures, and measure nothing",
        "chart": "compare: draw the ratios into this file, as SVG",
        **TALK,
    }
)
def bench(
    c: Context,
    iso: str | None = None,
    quick: bool = False,
    compare: str | None = None,
    figures: str | None = None,
    chart: str | None = None,
    json: bool = False,
    debug: bool = False,
) -> None:
    """Measures remastering, staging an image, a job with a cold and a warm store, the phases of a boot, and results."""
    extras.bring("test")
    from ci.bench import bench as benchmarks  # only here: what it measures with is not there before

    benchmarks.run(path(iso), quick=quick, old=path(compare), figures=path(figures), chart=path(chart))
