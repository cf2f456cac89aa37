"""What a job needs of a host: memory, disk, operations. Computed by these rules, each overridable, all shown. Pure.

inside   what a job puts on its machine's data disk, or without one into its memory:
         4 x image (its compressed layers, which unpack to about three times their size)
         + inputs, which are copied from the share, and directories among them once more, unpacked
         + 2 x the largest allowed outputs: results/ itself, and the archive made of it.
memory   of the machine: --memory, else what --rsc_memory_bound leaves, else the app's; without a data disk at least
         500 MB + inside. The bound is that + 100 MB for VirtualBox.
disk     1 GB (boot image, logs) + the machine's memory (it is saved in the slot) + inside, if there is a data disk
         + what lies in the share: the layers if they travel with the job, the inputs, the largest allowed outputs
         + --disk, the room for what the job writes itself (4 GB), compressible results among it.
time     --time on cores of 5 GFLOPS is the estimate, for --cpus of them, else 4, since BOINC counts all processors of
         the machine; without --time the app's input template says it, else an hour. 100 x the estimate, and at least
         what the app's template says, else a day of 4 cores of 20 GFLOPS, ends a job that hangs.

"image" is the size of its compressed layers. Inputs are rounded up to a power of two. BOINC's own defaults (500 MB,
1 GB, a day of 1 GFLOPS) fit no machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from boinc2docker.submission.options import WorkUnitOptions

MIB = 1 << 20
GB = 1_000_000_000
LEAST_MEMORY_MB = 512
"""What vboxwrapper gives a machine at least (``vboxjob.cpp``)."""
ROOM = 4 << 30
FLOPS = 5e9
HOUR = 3600
_OVERHEAD = 100_000_000
_USABLE = 0.92
"""Of a data disk: ext4 keeps the rest for itself and for root."""
CPUS = 4
"""Processors of a machine whose job does not say: what an app allows unless its app.toml says otherwise."""
_LONGEST = 86400 * CPUS * 20e9


@dataclass(frozen=True)
class Needs:
    """What the rules go by: bytes, MiB of the app's machine, seconds, processors, operations of the app's template.

    ``inputs`` as they travel; ``unpacked`` is what directories among them are once unpacked. ``disk_mb`` MiB of the
    data disk at most, None if nobody knows.
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


@dataclass(frozen=True)
class Bounds:
    """What the work unit will say: MiB of the machine, bytes, operations. ``warnings`` are for the user."""

    memory_mb: int
    memory: int
    disk: int
    fpops_est: float
    fpops_bound: float
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (
            f"memory {self.memory_mb} MB, disk {self.disk / GB:.1f} GB, "
            f"about {_span(self.fpops_est / FLOPS)} on a core of 5 GFLOPS, "
            f"ended after {_span(self.fpops_bound / FLOPS)} of it"
        )


def compute(needs: Needs, options: WorkUnitOptions) -> Bounds:
    """The bounds of a job; what ``options`` give wins, with a warning if it is less than the rules say."""
    warnings: list[str] = []
    memory_mb = _memory_mb(needs, options)
    if memory_mb < LEAST_MEMORY_MB:
        warnings.append(f"a machine of {memory_mb} MB: vboxwrapper makes it {LEAST_MEMORY_MB} MB")
        memory_mb = LEAST_MEMORY_MB
    memory, disk = (
        memory_mb * MIB + _OVERHEAD,
        least_disk(needs, memory_mb) + (ROOM if needs.room is None else needs.room),
    )
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
                "machine, image, inputs and outputs may take: hosts may end the job (196)"
            )
        disk = options.rsc_disk_bound
    if (
        needs.data_disk
        and needs.disk_mb
        and (most := inside(needs) + (needs.room or 0)) > _USABLE * needs.disk_mb * MIB
    ):
        warnings.append(
            f"the job may need {most / GB:.1f} GB of its machine's data disk, which has "
            f"{needs.disk_mb * MIB / GB:.1f} GB: package-app --disk-mb makes a version with a larger one"
        )
    estimate, bound = _operations(needs, options, warnings)
    return Bounds(memory_mb, memory, disk, estimate, bound, tuple(warnings))


def inside(needs: Needs) -> int:
    """Bytes that a job takes on its machine's data disk, whatever it does."""
    return 4 * needs.image + _rounded(needs.inputs + needs.unpacked) + 2 * needs.outputs


def least_disk(needs: Needs, memory_mb: int) -> int:
    """Bytes that a job takes on a host, whatever it does."""
    travelling = needs.image if needs.layers_travel else 0
    shared = travelling + _rounded(needs.inputs) + needs.outputs
    return GB + memory_mb * MIB + (inside(needs) if needs.data_disk else 0) + shared


def _rounded(inputs: int) -> int:
    """Up to a power of two from 16 MB, so that jobs which differ a little in their inputs share a template."""
    return 0 if inputs == 0 else max(16 * MIB, 1 << (inputs - 1).bit_length())


def _memory_mb(needs: Needs, options: WorkUnitOptions) -> int:
    if needs.memory_mb is not None:
        return needs.memory_mb
    if options.rsc_memory_bound is not None:
        return max(LEAST_MEMORY_MB, (options.rsc_memory_bound - _OVERHEAD) // MIB)
    if needs.data_disk:
        return needs.app_memory_mb
    return max(needs.app_memory_mb, math.ceil((500_000_000 + inside(needs)) / MIB))


def _operations(needs: Needs, options: WorkUnitOptions, warnings: list[str]) -> tuple[float, float]:
    estimate = options.rsc_fpops_est
    if estimate is None:
        own = (needs.seconds or HOUR) * FLOPS * max(1.0, needs.cpus or CPUS)
        estimate = own if needs.seconds or needs.cpus else needs.app_fpops_est or own
    bound = options.rsc_fpops_bound
    if bound is None:
        return estimate, max(100 * estimate, needs.app_fpops_bound or _LONGEST)
    if options.rsc_fpops_est is None and needs.seconds is None:
        estimate = min(estimate, bound / 10)
    if bound < 10 * estimate:
        warnings.append(
            f"--rsc_fpops_bound {bound:g} is less than ten times the estimate {estimate:g}: hosts faster than their "
            "benchmark, or slower in a virtual machine, may end the job (197)"
        )
    return estimate, bound


def _span(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
