"""``boinc_app``, format 1: the job as a shell script of a few kinds of lines, run by the agent in the guest. Pure.

The functions it calls are in guest/overlay/opt/boinc2docker/lib/job.sh.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from boinc2docker.errors import InputError
from boinc2docker.image.image import Image, Layer
from boinc2docker.job.job import Job, require_program

MAX_WORD = 120 << 10
"""Largest word in bytes: Linux allows 128 KiB (MAX_ARG_STRLEN, execve(2)) with its terminating zero and ``NAME=``."""
MAX_WORDS = 1 << 20
"""Bytes of all words together: Linux allows a quarter of the stack, 2 MiB, shared with the environment."""
_HEAD = "#!/bin/sh\n# boinc2docker job, format 1\n. /opt/boinc2docker/lib/job.sh\n"


@dataclass(frozen=True)
class Unpacking:
    """A directory sent as an archive: the archive and the directory's name, both below the job's directory."""

    archive: str
    name: str


def render(job: Job, image: Image, unpack: Iterable[Unpacking] = ()) -> str:
    """The script for ``job`` in ``image``. Raises InputError for words that no program can receive."""
    require_program(job, image)
    options = "job_option keep-failed-results\n" if job.keep_failed_results else ""
    if job.progress_file not in (None, "progress"):
        options += f"job_progress {quote(str(job.progress_file))}\n"
    options += f"job_prerun {quote(job.prerun)}\n" if job.prerun else ""
    options += f"job_postrun {quote(job.postrun)}\n" if job.postrun else ""
    options += "".join(f"job_unpack {quote(each.archive)} {quote(each.name)}\n" for each in unpack)
    sources = "".join(f"job_registry {quote(source.blobs_url)} {quote(source.token_url)}\n" for source in image.sources)
    return (
        _HEAD
        + options
        + f"job_image {quote(image.name)} {quote(str(image.config_digest))} {len(image.config)}\n"
        + sources
        + "".join(f"job_layer {_layer(layer, named=bool(image.sources))}\n" for layer in image.layers)
        + f"job_run {container_words(job)}\n"
    )


def _layer(layer: Layer, *, named: bool) -> str:
    """The words of a ``job_layer``; the compression is ``named`` if there is no file to detect it from."""
    words = f"{quote(str(layer.digest))} {layer.size} {quote(str(layer.diff_id))}"
    return f"{words} {layer.compression}" if named else words


def container_words(job: Job) -> str:
    """The words of ``job_run``: options of ``docker run``, ``--``, the container's words. Raises InputError."""
    line = join([*run_options(job), "--", *job.command])
    if len(line.encode()) > MAX_WORDS:
        raise InputError(
            "command-too-long",
            f"command and options are longer than {MAX_WORDS >> 20} MB",
            hint="put the data in a file: --input",
        )
    return line


def run_options(job: Job) -> Iterator[str]:
    """The options of ``docker run``, one word each: a separate value might be the ``--`` that ends them."""
    for option, value in (
        ("entrypoint", job.entrypoint),
        ("workdir", job.workdir),
        ("user", job.user),
        ("network", job.network),
        ("hostname", job.hostname),
        ("cpus", job.cpus),
        ("shm-size", job.shm_size),
    ):
        if value is not None:
            yield f"--{option}={value}"
    for option, given in (("init", job.init), ("read-only", job.read_only)):
        if given:
            yield f"--{option}"
    if job.read_only and (job.user or "0").partition(":")[0] not in ("0", "root"):
        yield "--tmpfs=/root:mode=0711"  # the image's /root cannot be opened for this user when it is read-only
    for option, values in (("tmpfs", job.tmpfs), ("cap-drop", job.cap_drop), ("ulimit", job.ulimit)):
        for value in values:
            yield f"--{option}={value}"
    for name, value in job.environment:
        yield f"--env={name}={value}"


def join(words: Iterable[str]) -> str:
    """``words`` quoted for any POSIX shell."""
    return " ".join(quote(word) for word in words)


def quote(word: str) -> str:
    """One word in single quotes, in which nothing but the quote itself is special (POSIX shell, 2.2.2).

    Raises InputError for what cannot be an argument of a program: NUL, text that is not Unicode, more than MAX_WORD
    bytes.
    """
    if "\0" in word:
        raise InputError("bad-word", f"a word has a NUL character, which no program can receive: {word[:40]!a}")
    try:
        size = len(word.encode())
    except UnicodeEncodeError as error:
        raise InputError(
            "bad-word", f"a word is not valid UTF-8: {word[:40]!a}", hint="put such bytes in a file: --input"
        ) from error
    if size > MAX_WORD:
        raise InputError(
            "word-too-long",
            f"a word of {size} bytes is longer than the {MAX_WORD} that a program can receive: {word[:40]!a}…",
            hint="put it in a file: --input",
        )
    return "'" + word.replace("'", "'\\''") + "'"
