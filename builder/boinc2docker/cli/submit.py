"""``submit`` and the classic ``boinc2docker_create_work.py``: a command line becomes a submission."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from boinc2docker import console, places
from boinc2docker.cli.batch_options import BATCH_OPTIONS, batch_of, rows_of
from boinc2docker.cli.command import Command, Example
from boinc2docker.cli.container_options import (
    CONTAINER,
    DOCKERS,
    FILES,
    IMAGE,
    LAYERS,
    REFUSED,
    delivery_of,
    job_of,
    memory,
    require_image,
    tell_terminal,
)
from boinc2docker.cli.create_work_options import CREATE_WORK, seconds, size
from boinc2docker.cli.option import Option, group, values, wrong_values
from boinc2docker.cli.submit_batch import ManyJobs, batch_command
from boinc2docker.errors import UsageError
from boinc2docker.image.delivery import Delivery
from boinc2docker.image.reference import parse as parse_reference
from boinc2docker.submission.app_files import hosts_read_zstd
from boinc2docker.submission.documents import parse_vbox_option
from boinc2docker.submission.job_template import JobTemplate
from boinc2docker.submission.options import WorkUnitOptions
from boinc2docker.submission.shape import LAYER_LIFETIME, Runner, Shape
from boinc2docker.submission.submit import APP, Submitted, Tried, submit, try_out
from boinc2docker.typed import command

PROJECT = Option(
    "project",
    "Directory of the BOINC project (default: $PROJHOME, $BOINC_PROJECT_DIR, else the current directory).",
    noun="DIR",
    group="Project",
)
APPNAME = Option("appname", f"App that package-app installed (default: {APP}).", noun="NAME", group="Project")


def runners(text: str, what: str) -> frozenset[Runner]:
    """Reads ``vm``, ``docker`` or both with a comma between. Raises UsageError."""
    known = [runner.value for runner in Runner]
    words = text.split(",")
    if not set(words) <= set(known) or len(set(words)) != len(words):
        raise UsageError("bad-runner", f"{what}: expected {', '.join(known)} or {','.join(known)}, found {text[:80]!a}")
    return frozenset(Runner(word) for word in words)


MACHINE = group(
    "Machine",
    Option(
        "memory",
        "Memory of the virtual machine, such as 2GB (default: the app's). A bare number is MB.",
        read=memory,
        short="m",
        noun="SIZE",
    ),
    Option("cpus", "Processors the container may use, such as 1.5 (default: all of its machine).", noun="N"),
    Option(
        "disk",
        "Room for what the job writes, besides its image and inputs (default 4GB).",
        read=size,
        noun="SIZE",
    ),
    Option(
        "time",
        "How long the job takes on an ordinary processor, such as 2h (default: the app's, else 1h).",
        read=seconds,
        noun="TIME",
    ),
)
OWN = (
    PROJECT,
    APPNAME,
    *group(
        "Project",
        Option(
            "name",
            "Name of the work unit, unique in the project (default: made from app, job and time).",
            noun="NAME",
            aliases=("--wu-name",),
        ),
    ),
    *MACHINE,
    *group(
        "BOINC",
        Option(
            "on",
            "What may run the job on a host: vm, a machine of its own (default); docker, a container that BOINC's "
            "docker_wrapper makes with Docker or Podman; or vm,docker. The app needs a version for each.",
            read=runners,
            noun="RUNNERS",
        ),
        Option(
            "sticky_inputs",
            "How long hosts keep the inputs after their last job, such as 7d.",
            read=seconds,
            noun="TIME",
        ),
        Option(
            "sticky_layers",
            "How long hosts keep layers that --via boinc sent (default 30d).",
            read=seconds,
            noun="TIME",
        ),
        Option(
            "vbox_job_xml",
            "Option of vboxwrapper for this job's vbox_job.xml.",
            kind="list",
            read=parse_vbox_option,
            noun="NAME[=VALUE]",
        ),
        Option("additional_xml", "Elements to add to the work unit's XML.", noun="XML"),
        Option("wu_template", "Take the limits of this input template (default: templates/APP_in).", noun="FILE"),
    ),
    *group(
        "Staging",
        Option(
            "force_reimport",
            "Fetch the image's layers again, even if they are staged, and replace damaged files.",
            kind="flag",
        ),
        Option("dry_run", "Create nothing: write the job's files and print what would be run.", kind="flag"),
        Option(
            "output",
            "Directory where --dry-run writes; each job gets a directory of its name (default: submit; in a checkout "
            "build/submit).",
            noun="DIR",
        ),
    ),
)
SUBMIT: tuple[Option, ...] = (*IMAGE, *CONTAINER, *FILES, *LAYERS, *OWN, *BATCH_OPTIONS, *CREATE_WORK, *DOCKERS)
"""The options of ``submit``."""


def submit_command(given: Mapping[str, Any], words: Sequence[str] | None) -> int:
    """Does what the options ``given`` (texts, by name) say, reports it, returns the exit code. Raises BuilderErrors."""
    image = require_image(given.get("image"))
    with wrong_values():
        parse_reference(image)
    typed = values(SUBMIT, given)
    tell_terminal(typed)
    typed["input_url"] += typed["remote_file"]
    batch, typed["batch"] = batch_of(typed["batch"], typed["batch_id"])
    if batch is not None or typed["sweep"]:
        return _many(typed, words, batch)
    if typed["report"] or typed["keep_going"]:
        raise UsageError("bad-option", "--report and --keep-going are for many jobs: --batch FILE or --sweep")
    job = job_of(typed, words, cpus=typed["cpus"])
    common = {
        "project": Path(typed["project"]) if typed["project"] else None,
        "app": typed["appname"] or APP,
        "name": typed["name"],
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
            name=typed["name"],
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
        runners=typed["on"] or Shape.runners,
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
    console.info(f"the job: {done.job}  (try it: {command('run', '--job', done.job)})")
    console.info(f"to be staged: {' '.join(done.staged_names)}")
    console.report(done.as_json(), done.command)


COMMAND = Command(
    "submit",
    lambda given: submit_command(given, given["words"]),
    SUBMIT,
    (
        Example(
            "submit python:3-slim python -c \"print('Hello BOINC')\"", "One job, in the project of this directory."
        ),
        Example(
            'submit --project ~/projects/sample --memory 2GB -e LEVEL=3 python:3-slim "python -V"',
            "Options come before IMAGE; the command may be one quoted string.",
        ),
        Example(
            "submit --dry-run --input data.csv hello.tar wc -l /root/shared/data.csv",
            "Try it without a project: write the job's files and print what would be run.",
        ),
        Example(
            "submit --sweep n=1..1000 --name sweep python:3-slim python -c 'print({n})'",
            "A thousand jobs; {n} is replaced in each.",
        ),
        Example(
            "submit --batch jobs.csv --report jobs.jsonl python:3-slim echo '{name}'", "A job for each line of a file."
        ),
    ),
    "Takes the `docker run` options that make sense for a job, and every option of BOINC's create_work.",
    words="container",
    refused=REFUSED,
)
