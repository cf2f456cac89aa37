"""The options of ``docker run`` that a job can have, for every command that takes one; and those that cannot work."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from boinc2docker import console
from boinc2docker.cli.option import Option, group, wrong_values
from boinc2docker.cli.readers import existing
from boinc2docker.errors import UsageError
from boinc2docker.image.delivery import Delivery, parse_via
from boinc2docker.image.registry import Access
from boinc2docker.job import remote_input
from boinc2docker.job.inputs import parse
from boinc2docker.job.job import NETWORKS, Job, command_words
from boinc2docker.job.variables import Variables, gather
from boinc2docker.sizes import parse_bytes

IMAGE = (
    Option(
        "image",
        "The image: a name as `docker run` takes it, docker-daemon:NAME for one in your local Docker, or the path of "
        "an archive (`docker save` or OCI).",
        "argument",
        group="Arguments",
    ),
    Option(
        "cmd",
        "The container's command: every word after IMAGE, as with `docker run`; or one quoted string, which is split "
        "into words as a shell would. Without it the image's own command runs. Options belong before IMAGE, or between "
        "IMAGE and --.",
        "argument",
        noun="CMD…",
        group="Arguments",
    ),
)
CONTAINER = group(
    "Container",
    Option("entrypoint", "Replace the image's entrypoint; an empty text removes it.", noun="PROGRAM"),
    Option(
        "env",
        "Set an environment variable; NAME alone passes on the value from this shell.",
        kind="list",
        short="e",
        noun="NAME[=VALUE]",
    ),
    Option("env_file", "Read environment variables from a file with one NAME=VALUE a line.", kind="list", noun="FILE"),
    Option("workdir", "Working directory in the container.", short="w", noun="DIR"),
    Option("user", "User, and optionally group, that the container runs as.", short="u", noun="USER[:GROUP]"),
    Option(
        "network",
        "What the container can reach: bridge (default), host or none.",
        choices=NETWORKS,
        aliases=("--net",),
    ),
    Option("hostname", "Host name in the container.", noun="NAME"),
    Option("shm_size", "Size of /dev/shm, such as 1GB (default 64MB).", read=parse_bytes, noun="SIZE"),
    Option("init", "Run an init process in the container that reaps zombie processes.", kind="flag"),
    Option("read_only", "Let the container write only below /root/shared and to --tmpfs directories.", kind="flag"),
    Option("tmpfs", "Mount a directory in memory.", kind="list", noun="PATH[:OPTIONS]"),
    Option("cap_drop", "Drop a Linux capability, or ALL of them.", kind="list", noun="NAME"),
    Option("ulimit", "Set a resource limit, such as nofile=1024.", kind="list", noun="NAME=SOFT[:HARD]"),
)
FILES = group(
    "Files",
    Option(
        "input",
        "Give the job a file or directory of this machine; it appears as /root/shared/NAME.",
        kind="list",
        noun="FILE[:NAME]",
    ),
    Option(
        "input_url",
        "Give the job a file that its machine downloads. Without md5 and size, it is downloaded here once to learn "
        "them.",
        kind="list",
        read=lambda text, _what: remote_input.parse(text),
        noun="URL[#name=NAME&md5=HEX&size=BYTES]",
    ),
    Option("prerun", "Shell text that the machine runs before the container, in the job's directory.", noun="TEXT"),
    Option(
        "postrun",
        "Shell text that the machine runs after the container, in the job's directory, with the exit code as $1.",
        noun="TEXT",
    ),
    Option(
        "progress_file",
        "File below /root/shared to which the container writes its progress, from 0 to 1 (default: progress).",
        noun="NAME",
    ),
    Option("keep_failed_results", "Return the results of a container that fails, and report success.", kind="flag"),
)
LAYERS = group(
    "Layers",
    Option(
        "via",
        "How the image's layers reach a host: from the registry (default), or through BOINC, with the job.",
        noun="WAY",
        choices=("registry", "boinc"),
    ),
    Option("mirror", "Registry mirror to try first.", kind="list", noun="URL"),
    Option(
        "plain_http",
        "Talk to the registry without TLS. Registries on this machine are talked to that way anyway.",
        kind="flag",
    ),
)
JOB = (*CONTAINER, *FILES)


def _platform(text: str, what: str) -> str:
    if text not in ("linux", "linux/amd64", "linux/x86_64"):
        raise UsageError("bad-platform", f"{what}: the machines are linux/amd64, found {text[:80]!a}")
    return text


def memory(text: str, what: str) -> int:
    """Reads MiB: ``2GB``, ``900MB``. A bare number up to 1048576 is MB, as for create_work; a larger one bytes, as for
    docker. Raises UsageError."""
    bare = re.fullmatch(r"\s*\d{1,7}\s*", text, re.ASCII) and int(text) <= 1 << 20
    found = int(text) if bare else parse_bytes(text, what) >> 20
    if not 256 <= found <= 1 << 20:
        raise UsageError("bad-size", f"{what}: expected 256MB to 1TB, found {text[:80]!a}")
    return found


DOCKERS = tuple(
    replace(one, hidden=True)
    for one in group(
        "Container",
        Option("rm", "Does nothing: a job's container is always removed.", kind="flag"),
        Option("interactive", "Does nothing: a job has no terminal.", kind="flag", short="i"),
        Option("tty", "Does nothing: a job has no terminal.", kind="flag", short="t"),
        Option("platform", "The machines are linux/amd64.", read=_platform, noun="PLATFORM"),
    )
)
"""What people type for ``docker run`` and what changes nothing here."""


def tell_terminal(given: Mapping[str, Any]) -> None:
    """Says what ``-i`` and ``-t`` cannot give."""
    if given["interactive"] or given["tty"]:
        console.info("-i and -t are ignored: a job has no terminal and an empty standard input")


_NO_DIRECTORIES = "volunteers' computers have none of your directories: use --input, and write to /root/shared/results"
_NO_VISITORS = "nobody can reach a machine on a volunteer's computer: the job has to fetch or bring what it needs"
_NO_DEVICES = "a virtual machine on a volunteer's computer has no GPU or other device to hand on"
_CONFINED = "the container stays confined: what it could break is the agent that reports its result"
_NO_TERMINAL = "there is no terminal: a job reads files and writes /root/shared/results"
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
    **dict.fromkeys(("--attach", "-a"), _NO_TERMINAL),
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
    "--restart": "BOINC tries a failed job again on another host: --max-error-results",
    "--pull": "the image is resolved once, when the job is submitted, to bits that all hosts run",
    **dict.fromkeys(("--stop-timeout", "--stop-signal"), _ENDING),
}
"""Options of ``docker run`` that do not work here, and why. A command's own options come first: ``submit --name``."""


def job_of(given: Mapping[str, Any], words: Sequence[str] | None, *, cpus: str | None = None) -> Job:
    """The job that options say, by their names; ``given`` has typed values. Raises UsageError, InputError."""
    command = command_words(given.get("cmd"), words)
    files = gather([existing(name, "--env-file") for name in given["env_file"]], (), os.environ)
    with wrong_values():
        variables = {**dict(files), **dict(gather((), given["env"], os.environ))}
        return _job(given, command, tuple(variables.items()), cpus)


def _job(given: Mapping[str, Any], command: tuple[str, ...], environment: Variables, cpus: str | None) -> Job:
    return Job(
        command=command,
        entrypoint=given["entrypoint"],
        environment=environment,
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
    with wrong_values():
        access = Access(mirrors=tuple(given["mirror"]), plain_http=given["plain_http"])
    return Delivery(via=parse_via(given["via"]), access=access, seen_by_hosts=seen_by_hosts)


def require_image(image: str | None) -> str:
    """Raises UsageError if there is none."""
    if not image:
        raise UsageError("no-image", "expected an image", hint="[options] IMAGE CMD…; --help shows an example")
    return image


def only_a_job(given: Mapping[str, Any], words: object) -> None:
    """Raises UsageError if ``--job`` comes with anything that says what to run."""
    if words or any(given.get(one.name) for one in (*IMAGE, *JOB, *LAYERS)):
        raise UsageError(
            "job-and-image", "--job runs a directory as it is: no image, command or option of the container"
        )
