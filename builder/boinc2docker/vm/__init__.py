"""A machine that runs the ISO the way vboxwrapper does, in QEMU. The public face of this part."""

from builder.vm.acceleration import Acceleration, choose
from builder.vm.command import RUN, RunOptions, default_iso, run_command
from builder.vm.process import Running
from builder.vm.run import Outcome, Settings, run_job

__all__ = [
    "RUN",
    "Acceleration",
    "Outcome",
    "RunOptions",
    "Running",
    "Settings",
    "choose",
    "default_iso",
    "run_command",
    "run_job",
]
