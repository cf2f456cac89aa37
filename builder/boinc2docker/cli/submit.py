"""``invoke submit`` and the classic ``boinc2docker_create_work.py``: a command line becomes a submission."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from boinc2docker import console, places
from boinc2docker.cli.batch_options import BATCH_OPTIONS, batch_of, rows_of
from boinc2docker.cli.container_options import IMAGE, JOB, LAYERS, delivery_of, job_of, require_image
from boinc2docker.cli.submit_batch import ManyJobs, batch_command
from boinc2docker.errors import UsageError
from boinc2docker.image.delivery import Delivery
from boinc2docker.option import QUIET, Option, values
from boinc2docker.sizes import parse_bytes
from boinc2docker.submission.app_files import hosts_read_zstd
from boinc2docker.submission.documents import parse_vbox_option
from boinc2docker.submission.job_template import JobTemplate
from boinc2docker.submission.options import CREATE_WORK, WorkUnitOptions, seconds, size
from boinc2docker.submission.shape import LAYER_LIFETIME, Shape
from boinc2docker.submission.submit import APP, Submitted, Tried, submit, try_out


def megabytes(text: str, what: str) -> int:
    """Reads MiB: ``2GB``, ``900MB``; a bare number is MB, as the classic tool took it."""
    found = int(text) if re.fullmatch(r"\s*\d{1,9}\s*", text, re.ASCII) else parse_bytes(text, what) >> 20
    if not 256 <= found <= 1 << 20:
        raise UsageError("bad-size", f"{what}: expected 256MB to 1TB, found {text[:80]!r}")
    return found


OWN = (
    Option(
        "project", "the BOINC project's directory (default: $PROJHOME, $BOINC_PROJECT_DIR, else this one)", noun="DIR"
    ),
    Option("appname", f"the app that package-app installed (default {APP})", noun="NAME"),
    Option("name", "name of the work unit, unique in the project (default: made from app, job and time)"),
    Option("wu_name", "the same, under create_work's name for it", noun="NAME"),
    Option("memory", "memory of the machine, such as 2GB; a bare number is MB (default: the app's)", read=megabytes),
    Option("cpus", "processors the container may use at most, such as 1.5 (default: all its machine has)", noun="N"),
    Option("disk", "room for what the job writes, beside image and inputs (default 4GB)", read=size, noun="SIZE"),
    Option(
        "time", "how long the job takes on an ordinary processor, such as 2h (default 1h)", read=seconds, noun="TIME"
    ),
    Option(
        "sticky_inputs", "hosts keep the inputs this long after their last job, such as 7d", read=seconds, noun="TIME"
    ),
    Option(
        "sticky_layers", "hosts keep layers sent with --via boinc this long (default 30d)", read=seconds, noun="TIME"
    ),
    Option(
        "vbox_job_xml",
        "NAME or NAME=VALUE, an option of vboxwrapper for this job's vbox_job.xml (repeatable)",
        kind="list",
        read=parse_vbox_option,
    ),
    Option("additional_xml", "elements that go into the work unit's XML as they are", noun="XML"),
    Option("wu_template", "take the limits of this input template (default: templates/APP_in)", noun="FILE"),
    Option("native_unzip", "does nothing: layers go to Docker as they are", kind="flag"),
    Option("force_reimport", "fetch the image's layers again, also if staged, and replace damaged files", kind="flag"),
    Option("dry_run", "create nothing: write the job's files, print what would be run", kind="flag"),
    Option(
        "output",
        "where --dry-run writes; each job gets a directory of its name there (default: submit in the output directory)",
        noun="DIR",
    ),
    QUIET,
)
SUBMIT: tuple[Option, ...] = (*IMAGE, *JOB, *LAYERS, *OWN, *BATCH_OPTIONS, *CREATE_WORK)
"""The options of ``invoke submit``."""


def submit_command(given: Mapping[str, Any], words: Sequence[str] | None) -> int:
    """Does what the options ``given`` (texts, by name) say, reports it, returns the exit code. Raises BuilderErrors."""
    image = require_image(given.get("image"))
    typed = values(SUBMIT, given)
    batch, typed["batch"] = batch_of(typed["batch"], typed["batch_id"])
    if batch is not None or typed["sweep"]:
        return _many(typed, words, batch)
    if typed["report"] or typed["keep_going"]:
        raise UsageError("bad-option", "--report and --keep-going are for many jobs: --batch FILE or --sweep")
    job = job_of(typed, words, cpus=typed["cpus"])
    common = {
        "project": Path(typed["project"]) if typed["project"] else None,
        "app": typed["appname"] or APP,
        "name": name_of(typed),
        "shape": shape_of(typed),
        "delivery": delivery_to_hosts(typed),
        "wu_template": typed["wu_template"],
    }
    if typed["dry_run"]:
        _tell_tried(try_out(image, job, output=Path(typed["output"] or places.output() / "submit"), **common))
    else:
        _tell(submit(image, job, reimport=typed["force_reimport"], **common))
    return 0


def delivery_to_hosts(typed: Mapping[str, Any]) -> Delivery:
    """How layers travel to the hosts of the app as the project has it."""
    where = Path(typed["project"]) if typed["project"] else None
    number = WorkUnitOptions.of(typed).app_version_num
    return replace(delivery_of(typed), reads_zstd=hosts_read_zstd(typed["appname"] or APP, where, number))


def _many(typed: Mapping[str, Any], words: Sequence[str] | None, batch: str | None) -> int:
    """Jobs of a batch: inputs may have placeholders, so they are read job by job."""
    job = job_of({**typed, "input": ()}, words, cpus=typed["cpus"])
    with rows_of(batch, typed["sweep"]) as rows:
        jobs = ManyJobs(
            image=typed["image"],
            template=JobTemplate(job, tuple(typed["input"])),
            rows=rows,
            project=Path(typed["project"]) if typed["project"] else None,
            app=typed["appname"] or APP,
            name=name_of(typed),
            shape=shape_of(typed),
            delivery=delivery_to_hosts(typed),
            wu_template=typed["wu_template"],
        )
        return batch_command(
            jobs,
            output=Path(typed["output"] or places.output() / "submit") if typed["dry_run"] else None,
            keep_going=typed["keep_going"],
            report=Path(typed["report"]) if typed["report"] else None,
            reimport=typed["force_reimport"],
        )


def name_of(typed: Mapping[str, Any]) -> str | None:
    """``--name``, or create_work's ``--wu_name``. Raises UsageError if both are given."""
    if typed["name"] and typed["wu_name"]:
        raise UsageError("two-names", "--name and --wu_name are the same: give one of them")
    found: str | None = typed["name"] or typed["wu_name"]
    return found


def shape_of(typed: Mapping[str, Any]) -> Shape:
    """What all jobs of a submission have in common."""
    shape = Shape(
        options=WorkUnitOptions.of(typed),
        memory_mb=typed["memory"],
        room=typed["disk"],
        seconds=typed["time"],
        vbox=typed["vbox_job_xml"],
        additional_xml=typed["additional_xml"] or "",
        input_lifetime=typed["sticky_inputs"],
    )
    return replace(shape, layer_lifetime=typed["sticky_layers"] or LAYER_LIFETIME)


def _tell(done: Submitted) -> None:
    new = "submitted before, not created again" if done.outcome.outcome == "existed" else f"ID {done.outcome.id}"
    console.info(f"{done.image.name} is {done.digest}")
    console.info(str(done.bounds))
    console.info(f"staged {done.staged_bytes / 1e6:.1f} MB")
    console.report(done.as_json(), f"workunit name: {done.outcome.name} ({new})")


def _tell_tried(done: Tried) -> None:
    layers = len(done.image.layers)
    console.info(f"{done.image.name}: {layers} {'layer' if layers == 1 else 'layers'}, {done.image.size / 1e6:.1f} MB")
    console.info(str(done.bounds))
    console.info(f"the job: {done.job}  (try it: invoke run --job {done.job})")
    console.info(f"to be staged: {' '.join(done.staged_names)}")
    console.report(done.as_json(), done.command)
