"""The resources a job asks of a host: memory, disk, operations. Pure.

Each follows the rule below, unless an option overrides it; all are shown before the job is submitted.

inside   what a job occupies on its machine's data disk, or in memory if there is none:
         4 x image (compressed layers unpack to about three times their size)
         + inputs, which are copied from the share; directories count twice, once unpacked
         + 2 x the largest allowed outputs: results/ itself and the archive made of it.
memory   of the machine: --memory, else --rsc_memory_bound less 100 MB, else the app's; without a data disk at least
         500 MB + inside. The bound adds 100 MB for VirtualBox.
disk     1 GB (boot image, logs) + the machine's memory (saved in the slot) + inside, if there is a data disk
         + the share: layers that travel with the job, inputs, the largest allowed outputs
         + --disk, for what the job itself writes (4 GB), including results that compress well.
time     the estimate is --time on cores of 5 GFLOPS: on --cpus of them, else on 4, because BOINC counts all processors
         of the machine. Without --time: the app's input template, else one hour. A job that hangs is ended after
         100 x the estimate, and not before the app's template says, else a day on 4 cores of 20 GFLOPS.

"image" is the size of the compressed layers. Inputs are rounded up to a power of two. BOINC's own defaults (500 MB,
1 GB, a day at 1 GFLOPS) are too small for any machine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from boinc2docker.errors import UsageError
from boinc2docker.submission.options import IN_TEMPLATE, WorkUnitOptions, plain

MIB = 1 << 20
GB = 1_000_000_000
LEAST_MEMORY_MB = 512
"""The least that vboxwrapper gives a machine (``vboxjob.cpp``)."""
MUCH_MEMORY_MB = 16 << 10
"""Few volunteers' computers can spare more."""
DEADLINE = 7 * 86400
"""Seconds a host has to return a job, if neither ``--delay-bound`` nor the app says (``create_work``)."""
ROOM = 4 << 30
FLOPS = 5e9
HOUR = 3600
_OVERHEAD = 100_000_000
_USABLE = 0.92
"""The usable share of a data disk: ext4 keeps the rest."""
CPUS = 4
"""Processors of a machine if the job does not say: the default of an app.toml."""
_LONGEST = 86400 * CPUS * 20e9


@dataclass(frozen=True)
class Needs:
    """The input of the rules: bytes, MiB of the app's machine, seconds, processors, operations.

    ``inputs`` is their size as sent, ``unpacked`` that of the directories among them once unpacked. ``disk_mb`` is the
    size of the data disk in MiB, None if unknown. Those called ``app_…`` come from the app's input template.
    """

    image: int
    layers_travel: bool
    inputs: int
    outputs: int
    app_memory_mb: int
    unpacked: int = 0
    data_disk: bool = True
    disk_mb: int | None = None
    memory_mb: int | None = None
    room: int | None = None
    seconds: float | None = None
    cpus: float | None = None
    app_fpops_est: float | None = None
    app_fpops_bound: float | None = None
    app_delay_bound: float | None = None


@dataclass(frozen=True)
class Bounds:
    """The limits in the work unit: MiB of the machine, bytes, operations. The times are of ``cpus`` cores."""

    memory_mb: int
    memory: int
    disk: int
    fpops_est: float
    fpops_bound: float
    warnings: tuple[str, ...] = ()
    cpus: float = CPUS

    @property
    def seconds(self) -> float:
        """The expected time on ``cpus`` cores of 5 GFLOPS."""
        return self.fpops_est / (FLOPS * self.cpus)

    def __str__(self) -> str:
        cores = "an ordinary core" if self.cpus == 1 else f"{self.cpus:g} ordinary cores"
        return (
            f"each host needs {self.memory_mb} MB of memory and {self.disk / GB:.1f} GB of disk; "
            f"expected time: {_span(self.seconds)} on {cores} (5 GFLOPS each); "
            f"BOINC ends a job that runs longer than {_span(self.fpops_bound / (FLOPS * self.cpus))} there"
        )


def compute(needs: Needs, options: WorkUnitOptions) -> Bounds:
    """The bounds of a job. ``options`` win, with a warning if they ask for less than the rules do."""
    warnings: list[str] = []
    memory_mb = _memory_mb(needs, options)
    if memory_mb < LEAST_MEMORY_MB:
        warnings.append(f"--memory: vboxwrapper raises {memory_mb} MB to {LEAST_MEMORY_MB} MB")
        memory_mb = LEAST_MEMORY_MB
    if memory_mb > MUCH_MEMORY_MB:
        warnings.append(f"--memory: few volunteers' computers can spare {memory_mb >> 10} GB")
    memory = memory_mb * MIB + _OVERHEAD
    disk = least_disk(needs, memory_mb) + (ROOM if needs.room is None else needs.room)
    if options.rsc_memory_bound is not None:
        if options.rsc_memory_bound < memory_mb * MIB:
            warnings.append(
                f"--rsc_memory_bound {options.rsc_memory_bound} is less than the machine's memory, {memory_mb * MIB}"
            )
        memory = options.rsc_memory_bound
    if options.rsc_disk_bound is not None:
        if options.rsc_disk_bound < least_disk(needs, memory_mb):
            warnings.append(
                f"--rsc_disk_bound {options.rsc_disk_bound} is less than the {least_disk(needs, memory_mb)} bytes that "
                "machine, image, inputs and outputs may take: hosts may end the job (error 196)"
            )
        disk = options.rsc_disk_bound
    if (
        needs.data_disk
        and needs.disk_mb
        and (most := inside(needs) + (needs.room or 0)) > _USABLE * needs.disk_mb * MIB
    ):
        warnings.append(
            f"the job may need {most / GB:.1f} GB of its machine's data disk, which has "
            f"{needs.disk_mb * MIB / GB:.1f} GB: `package-app --disk-mb` makes a version with a larger one"
        )
    cpus = max(1.0, needs.cpus or CPUS)
    estimate, bound = _operations(needs, options, cpus, warnings)
    bounds = Bounds(memory_mb, memory, disk, estimate, bound, cpus=cpus)
    deadline = options.delay_bound or needs.app_delay_bound or DEADLINE
    if bounds.seconds > deadline:
        warnings.append(
            f"the job should take {_span(bounds.seconds)}, but hosts have only {_span(deadline)} to return it: "
            "split the job, or raise --delay-bound"
        )
    return replace(bounds, warnings=tuple(warnings))


def inside(needs: Needs) -> int:
    """The bytes that every job occupies on its machine's data disk."""
    return 4 * needs.image + _rounded(needs.inputs + needs.unpacked) + 2 * needs.outputs


def least_disk(needs: Needs, memory_mb: int) -> int:
    """The bytes that every job occupies on a host."""
    travelling = needs.image if needs.layers_travel else 0
    shared = travelling + _rounded(needs.inputs) + needs.outputs
    return GB + memory_mb * MIB + (inside(needs) if needs.data_disk else 0) + shared


def limits(app: Mapping[str, float], options: WorkUnitOptions, bounds: Bounds) -> dict[str, float]:
    """The limits for the input template: ``bounds``, then what ``options`` give, then those of the ``app``'s template.

    Raises UsageError if they contradict each other.
    """
    given = {name: getattr(options, name) for name in IN_TEMPLATE}
    chosen: dict[str, float] = {**app, **{name: value for name, value in given.items() if value is not None}}
    chosen |= {
        "rsc_fpops_est": bounds.fpops_est,
        "rsc_fpops_bound": bounds.fpops_bound,
        "rsc_memory_bound": bounds.memory,
        "rsc_disk_bound": bounds.disk,
    }
    quorum = chosen.get("min_quorum", 1)
    copies = max(quorum, options.target_nresults or chosen.get("target_nresults", 1))
    errors = chosen.setdefault("max_error_results", 3)
    chosen |= {"min_quorum": quorum, "target_nresults": copies}
    if options.max_success_results is None:
        chosen["max_success_results"] = copies if quorum == 1 else copies + errors
    least = max(chosen["max_success_results"], chosen["max_error_results"], copies)
    if options.max_total_results is None:
        chosen["max_total_results"] = max(chosen.get("max_total_results", 0), copies + errors, 2 * errors, least)
    elif options.max_total_results < least:
        raise UsageError(
            "bad-number", f"--max-total-results: expected at least {plain(least)}, because of the other limits"
        )
    return {name: chosen[name] for name in IN_TEMPLATE if name in chosen}


def _rounded(inputs: int) -> int:
    """Rounds up to a power of two, at least 16 MB, so that jobs with slightly different inputs share a template."""
    return 0 if inputs == 0 else max(16 * MIB, 1 << (inputs - 1).bit_length())


def _memory_mb(needs: Needs, options: WorkUnitOptions) -> int:
    if needs.memory_mb is not None:
        return needs.memory_mb
    if options.rsc_memory_bound is not None:
        return max(LEAST_MEMORY_MB, (options.rsc_memory_bound - _OVERHEAD) // MIB)
    if needs.data_disk:
        return needs.app_memory_mb
    return max(needs.app_memory_mb, math.ceil((500_000_000 + inside(needs)) / MIB))


def _operations(needs: Needs, options: WorkUnitOptions, cpus: float, warnings: list[str]) -> tuple[float, float]:
    estimate = options.rsc_fpops_est
    if estimate is None:
        own = (needs.seconds or HOUR) * FLOPS * cpus
        estimate = own if needs.seconds or needs.cpus else needs.app_fpops_est or own
    bound = options.rsc_fpops_bound
    if bound is None:
        return estimate, max(100 * estimate, needs.app_fpops_bound or _LONGEST)
    if options.rsc_fpops_est is None and needs.seconds is None:
        estimate = min(estimate, bound / 10)
    if bound < 10 * estimate:
        warnings.append(
            f"--rsc_fpops_bound {bound:g} is less than ten times the estimate {estimate:g}: hosts that are faster "
            "than their benchmark, or slower in a virtual machine, may end the job (error 197)"
        )
    return estimate, bound


def _span(seconds: float) -> str:
    for unit, length in (("years", 365 * 86400), ("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length and (unit != "years" or seconds >= 2 * length):
            return f"{seconds / length:.3g} {unit}" if seconds < 1000 * length else f"{seconds / length:.0f} {unit}"
    return f"{seconds:.3g} s"
