"""The options of ``docker run`` that a job can have, for every command that takes one; and those that cannot work."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from boinc2docker.errors import UsageError
from boinc2docker.image.delivery import Delivery, parse_via
from boinc2docker.image.registry import Access
from boinc2docker.job import remote_input
from boinc2docker.job.inputs import parse
from boinc2docker.job.job import Job, command_words
from boinc2docker.job.variables import gather
from boinc2docker.option import Option
from boinc2docker.sizes import parse_bytes

IMAGE = (
    Option(
        "image",
        "a name as docker run takes it, docker-daemon:NAME, or an archive's path (docker save, OCI)",
        "argument",
    ),
    Option("cmd", "the command as one shell-quoted string; or give its words after --", "argument"),
)
CONTAINER = (
    Option("entrypoint", "replaces the image's entrypoint"),
    Option("env", "NAME=VALUE, or NAME to pass on this shell's value (repeatable)", kind="list", short="e"),
    Option("env_file", "a file of such lines (repeatable)", kind="list"),
    Option("workdir", "working directory in the container", short="w"),
    Option("user", "user (and :group) the container runs as", short="u"),
    Option("network", "bridge (default), host or none: what the container may reach"),
    Option("hostname", "host name in the container"),
    Option("shm_size", "size of /dev/shm, such as 1GB (default 64MB)", read=parse_bytes),
    Option("init", "run an init in the container that reaps processes", kind="flag"),
    Option("read_only", "the container may write below /root/shared and --tmpfs only", kind="flag"),
    Option("tmpfs", "PATH[:OPTIONS], a directory in memory (repeatable)", kind="list"),
    Option("cap_drop", "take a Linux capability away, or ALL (repeatable)", kind="list"),
    Option("ulimit", "NAME=SOFT[:HARD], such as nofile=1024 (repeatable)", kind="list"),
    Option("rm", "does nothing: a job's container is always removed", kind="flag"),
)
FILES = (
    Option("input", "FILE[:NAME], a file or directory that appears as /root/shared/NAME (repeatable)", kind="list"),
    Option(
        "input_url",
        "URL[#name=NAME&md5=HEX&size=BYTES], a file that hosts fetch from there; without md5 and size it is "
        "downloaded once to learn them (repeatable)",
        kind="list",
        read=lambda text, _what: remote_input.parse(text),
    ),
    Option("prerun", "shell text that the machine runs before the container, in the job's directory"),
    Option("postrun", "shell text that it runs after it, with the exit code as $1"),
    Option(
        "progress_file", "file below /root/shared where the container writes its progress, 0 to 1 (default: progress)"
    ),
    Option("keep_failed_results", "hand back results also if the container fails, and report success", kind="flag"),
)
LAYERS = (
    Option("via", "how layers reach hosts: registry (they fetch them; default) or boinc (they come with the job)"),
    Option("mirror", "URL of a registry mirror to try first (repeatable)", kind="list"),
    Option("plain_http", "talk to the registry without TLS (this machine's own are asked so anyway)", kind="flag"),
)
JOB = (*CONTAINER, *FILES)

_NO_DIRECTORIES = "volunteers' computers have none of your directories: use --input, and write to /root/shared/results"
_NO_VISITORS = "nobody can reach a machine on a volunteer's computer: the job has to fetch or bring what it needs"
_NO_DEVICES = "a virtual machine on a volunteer's computer has no GPU or other device to hand on"
_CONFINED = "the container stays confined: what it could break is the agent that reports its result"
_NO_TERMINAL = "there is no terminal: a job reads files and writes /root/shared/results"
_DETACHED = "a job is its container: it ends when the container does"
_ALONE = "the container has its machine to itself: --memory, --cpus and --disk say how large that is"
_NAMES = "the machine hands its own network on: --network says which; names and addresses are the host's"
_UNSEEN = "the container is gone when its job ends: nobody looks for it by that"
_UNWATCHED = "nobody watches its health: a job that cannot go on should end with an error"
_ENDING = "a job ends by itself, or BOINC switches its machine off"
_OUTPUT = "what the container prints comes back in boinc_log.tgz"
_WINDOWS = "it is for Windows containers; the machines are linux/amd64"
_SHARES = (
    *("--cpu-period", "--cpu-quota", "--cpu-rt-period", "--cpu-rt-runtime", "--cpu-shares", "-c"),
    *("--cpuset-cpus", "--cpuset-mems", "--oom-kill-disable", "--oom-score-adj", "--storage-opt"),
    *("--memory-reservation", "--memory-swap", "--memory-swappiness", "--kernel-memory"),
    *("--blkio-weight", "--blkio-weight-device"),
    *("--device-read-bps", "--device-read-iops", "--device-write-bps", "--device-write-iops"),
)
_ADDRESSES = (
    *("--add-host", "--dns", "--dns-option", "--dns-search", "--domainname", "--mac-address"),
    *("--ip6", "--link-local-ip", "--network-alias"),
)
_LABELS = ("--name", "--label", "-l", "--label-file", "--annotation", "--cidfile")
_HEALTH = (
    *("--health-cmd", "--health-interval", "--health-retries", "--health-start-interval"),
    *("--health-start-period", "--health-timeout", "--no-healthcheck"),
)
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("-v", "--volume", "--mount", "--volumes-from", "--volume-driver"), _NO_DIRECTORIES),
    **dict.fromkeys(("-p", "--publish", "-P", "--publish-all", "--expose", "--link", "--ip"), _NO_VISITORS),
    **dict.fromkeys(("--gpus", "--device", "--runtime"), _NO_DEVICES),
    **dict.fromkeys(("--privileged", "--cap-add", "--security-opt", "--userns", "--pid", "--ipc", "--uts"), _CONFINED),
    **dict.fromkeys(("-i", "--interactive", "-t", "--tty", "-it", "-ti", "--attach", "-a"), _NO_TERMINAL),
    **dict.fromkeys(("-d", "--detach"), _DETACHED),
    **dict.fromkeys(_SHARES, _ALONE),
    **dict.fromkeys(_ADDRESSES, _NAMES),
    **dict.fromkeys(_LABELS, _UNSEEN),
    **dict.fromkeys(_HEALTH, _UNWATCHED),
    **dict.fromkeys(("--log-driver", "--log-opt"), _OUTPUT),
    **dict.fromkeys(("--cpu-count", "--cpu-percent", "--io-maxbandwidth", "--io-maxiops", "--isolation"), _WINDOWS),
    **dict.fromkeys(("--sysctl", "--cgroup-parent", "--cgroupns", "--use-api-socket"), _CONFINED),
    **dict.fromkeys(("--sig-proxy", "--detach-keys"), _NO_TERMINAL),
    "--device-cgroup-rule": _NO_DEVICES,
    "--pids-limit": "its way here is --ulimit nproc=N",
    "--group-add": "its way here is --user USER:GROUP",
    "--disable-content-trust": "images are verified by their digests, always",
    "-q": "its name is --quiet, with submit",
    "--restart": "BOINC tries a failed job again on another host: --max-error-results",
    "--pull": "the image is resolved once, when the job is submitted, to bits that all hosts run",
    "--platform": "the machines are linux/amd64",
    "--net": "its name is --network",
    "-m": "its name is --memory",
    "-h": "its name is --hostname; --help shows all options",
    **dict.fromkeys(("--stop-timeout", "--stop-signal"), _ENDING),
}
"""Options of ``docker run`` that do not work here, and why. ``-d 1`` to ``-d 4`` is create_work's debug level, and
``submit`` has a ``--name`` of its own."""


def job_of(given: Mapping[str, Any], words: Sequence[str] | None, *, cpus: str | None = None) -> Job:
    """The job that options say, by their names; ``given`` has typed values. Raises UsageError, InputError."""
    return Job(
        command=command_words(given.get("cmd"), words),
        entrypoint=given["entrypoint"],
        environment=gather([Path(name) for name in given["env_file"]], given["env"], os.environ),
        workdir=given["workdir"],
        user=given["user"],
        network=given["network"],
        inputs=tuple(parse(text) for text in given["input"]),
        keep_failed_results=given["keep_failed_results"],
        cpus=cpus,
        shm_size=given["shm_size"],
        init=given["init"],
        read_only=given["read_only"],
        tmpfs=tuple(given["tmpfs"]),
        cap_drop=tuple(given["cap_drop"]),
        ulimit=tuple(given["ulimit"]),
        hostname=given["hostname"],
        prerun=given["prerun"] or "",
        postrun=given["postrun"] or "",
        progress_file=given["progress_file"],
        remote_inputs=tuple(given["input_url"]),
    )


def delivery_of(given: Mapping[str, Any], seen_by_hosts: Callable[[str], str] = str) -> Delivery:
    """How the image's layers travel. Raises UsageError."""
    access = Access(mirrors=tuple(given["mirror"]), plain_http=given["plain_http"])
    return Delivery(via=parse_via(given["via"]), access=access, seen_by_hosts=seen_by_hosts)


def refuse(words: Sequence[str], taking_values: Container[str]) -> None:
    """Raises UsageError for the first option of ``words`` that cannot work in a job; options' values are not looked at.

    ``taking_values`` are the options whose next word is their value.
    """
    value = False
    for position, word in enumerate(words):
        if value:
            value = False
            continue
        name = word.partition("=")[0]
        follows = words[position + 1] if position + 1 < len(words) else ""
        if name == "-d" and follows in ("1", "2", "3", "4"):
            value = True
        elif name in REFUSED and (name != "--name" or name not in taking_values):
            raise UsageError("docker-option", f"{name} cannot work in a job: {REFUSED[name]}")
        else:
            value = word in taking_values


def require_image(image: str | None) -> str:
    """Raises UsageError if there is none."""
    if not image:
        raise UsageError("no-image", "expected an image", hint="IMAGE CMD, or IMAGE -- WORD…; --help shows an example")
    return image


def only_a_job(given: Mapping[str, Any], words: object) -> None:
    """Raises UsageError if ``--job`` comes with anything that says what to run."""
    if words or any(given.get(one.name) for one in (*IMAGE, *JOB, *LAYERS) if one.name != "rm"):
        raise UsageError(
            "job-and-image", "--job runs a directory as it is: no image, command or option of the container"
        )
