"""What the jobs of one submission have in common, beside image and command."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from boinc2docker.submission.options import WorkUnitOptions


class Runner(StrEnum):
    """Who runs a job on a host: vboxwrapper in a machine of its own, or docker_wrapper in a container."""

    MACHINE = "vm"
    CONTAINER = "docker"


LAYER_LIFETIME = 30 * 86400
"""Seconds that hosts keep a layer after its last job."""


@dataclass(frozen=True)
class Shape:
    """What the jobs of one submission have in common, beside image and command.

    ``memory_mb`` is the machine's, in MiB; ``room`` is for what a job writes, in bytes; ``seconds`` is its
    time on ordinary cores; ``vbox`` are options of vbox_job.xml. Lifetimes are in seconds; ``input_lifetime`` None:
    inputs go with their job. ``runners`` are those that the work units have files for.
    """

    options: WorkUnitOptions = field(default_factory=WorkUnitOptions)
    memory_mb: int | None = None
    room: int | None = None
    seconds: float | None = None
    vbox: tuple[tuple[str, str], ...] = ()
    additional_xml: str = ""
    layer_lifetime: int = LAYER_LIFETIME
    input_lifetime: int | None = None
    runners: frozenset[Runner] = frozenset({Runner.MACHINE})
