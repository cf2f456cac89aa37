"""What docker_wrapper finds in a task's slot: ``Dockerfile``, ``b2d_image``, ``job.toml``, ``.dockerignore``. Pure.

docker_wrapper (BOINC, ``samples/docker_wrapper/docker_wrapper.cpp``, release 22) pastes its settings into commands of
at most 1023 bytes that a shell reads, and takes a command for failed if its output has the word "Error" in it. So a
user's text stands in these files only as quoted words of ``b2d_image``, which nobody but the agent reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import tomli_w

from boinc2docker.errors import InputError
from boinc2docker.image.image import Image
from boinc2docker.image.image_config import an_object, load_json, texts
from boinc2docker.job.job import SHARED, Job
from boinc2docker.job.script import join, quote

BUNDLE = "boinc2docker_agent.tar.gz"
"""The agent's archive in the slot; it belongs to the app version, whose processor it is for."""
AGENT_HOME = "/opt/boinc2docker"
IGNORED = f"*\n!{BUNDLE}\n!b2d_image\n!shared/image\n"
"""``.dockerignore``: a build's context is the whole slot, and inputs are no part of an image."""
OWN_NAMES = (
    "Dockerfile",
    "b2d_image",
    "job.toml",
    "vbox_job.xml",
    "init_data.xml",
    "stderr.txt",
    "fraction_done",
    "shared",
    BUNDLE,
)
"""Names in the slot that are not a job's to use, besides those that begin with a dot or ``boinc_``."""
MAX_CREATE_ARGS = 500
"""Bytes: with the names of project and task, which are in the command twice, it stays below docker_wrapper's 1023."""
_PLAIN = re.compile(r"[A-Za-z0-9_./:=,%-]+")
_MISREAD = ("Error", "unreachable", "unable to copy")
"""Words in a build's output that docker_wrapper takes for a failure, or for a host without a network."""


@dataclass(frozen=True)
class SlotFiles:
    """The texts of a work unit's files for docker_wrapper, by their names in the slot."""

    dockerfile: str
    image: str
    settings: str


def slot_files(job: Job, image: Image) -> SlotFiles:
    """The files for ``job`` in ``image``. Raises InputError for what docker_wrapper cannot do; see ``unable``."""
    if reason := next(iter(unable(job, image)), None):
        raise InputError("needs-a-machine", f"this job cannot run in a container of Docker's or Podman's: {reason}")
    return SlotFiles(dockerfile(image), image_words(image), settings(job))


def unable(job: Job, image: Image) -> Iterator[str]:
    """Why a job cannot run under docker_wrapper, one reason each; nothing if it can."""
    for name in [item.name for item in job.inputs] + [item.name for item in job.remote_inputs]:
        first = name.split("/")[0]
        if first in OWN_NAMES or first.startswith((".", "boinc_")):
            yield f"the input name {first} is BOINC's or docker_wrapper's own in a slot"
    for path in job.tmpfs:
        if not _PLAIN.fullmatch(path):
            yield f"--tmpfs {path[:80]!a} would stand in a command that a shell reads"
    if (size := len(create_args(job))) > MAX_CREATE_ARGS:
        yield f"its options are {size} bytes long, and docker_wrapper has room for {MAX_CREATE_ARGS}"
    for word in _MISREAD:
        if word in image.pinned:
            yield f"docker_wrapper would misread the image's name: it has {word!r} in it"
    if image_setting(image, "OnBuild"):
        yield "its image has ONBUILD instructions, which would run on every host"


def dockerfile(image: Image) -> str:
    """The recipe: the image by its digest, or its layers from the slot; then the agent."""
    if image.sources:
        start = [f"FROM {image.pinned}"]
    else:
        start = ["FROM scratch", *(f'ADD ["shared/image/{layer.digest.hex}", "/"]' for layer in image.layers)]
    return "\n".join(
        [
            *start,
            f'ADD ["{BUNDLE}", "/"]',
            f'ADD ["b2d_image", "{AGENT_HOME}/"]',
            "USER 0",
            f'ENTRYPOINT ["{AGENT_HOME}/agent"]',
            "CMD []\n",
        ]
    )


def image_words(image: Image) -> str:
    """``b2d_image``: what the image's config says, as words for the agent's shell."""
    what = f"the config of {image.name}"
    inner = an_object(an_object(load_json(image.config, what), what).get("config") or {}, what)
    lists = {
        "ENTRYPOINT": image.entrypoint,
        "CMD": image.command,
        "ENV": texts(inner.get("Env"), f"Env of {what}"),
    }
    single = {
        "USER": image_setting(image, "User"),
        "WORKDIR": image_setting(image, "WorkingDir"),
    }
    lines = [f"CONFIG_{name}={_nested(words)}\n" for name, words in lists.items()]
    lines += [f"CONFIG_{name}={quote(str(value or ''))}\n" for name, value in single.items()]
    return "".join(lines)


def _nested(words: Sequence[str]) -> str:
    """Quoted words as one quoted text, which the agent's ``eval`` takes apart again."""
    return "'" + join(words).replace("'", "'\\''") + "'"


def image_setting(image: Image, key: str) -> object:
    """A value of the image config's ``config`` object; None where there is none."""
    what = f"the config of {image.name}"
    inner = an_object(an_object(load_json(image.config, what), what).get("config") or {}, what)
    return inner.get(key)


def settings(job: Job) -> str:
    """``job.toml``. It belongs to the work unit: the app version's would win over it."""
    values: dict[str, object] = {"workdir": SHARED}
    if words := create_args(job):
        values["create_args"] = words
    return tomli_w.dumps(values)


def create_args(job: Job) -> str:
    """Options of ``docker create`` that the agent cannot set from within; all of plain characters."""
    options = [
        f"--{name}={value}"
        for name, value in (
            ("network", job.network),
            ("hostname", job.hostname),
            ("cpus", job.cpus),
            ("shm-size", job.shm_size),
        )
        if value is not None
    ]
    options += [f"--{name}" for name, given in (("init", job.init), ("read-only", job.read_only)) if given]
    if job.read_only:
        options.append(f"--tmpfs={AGENT_HOME}/run:mode=0755")
        if (job.user or "0").partition(":")[0] not in ("0", "root"):
            options.append("--tmpfs=/root:mode=0711")
    options += [f"--tmpfs={path}" for path in job.tmpfs]
    options += [f"--ulimit={limit}" for limit in job.ulimit]
    return " ".join(options)
