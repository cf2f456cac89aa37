"""A machine that runs the ISO the way vboxwrapper does, in QEMU. The public face of this part."""

from boinc2docker.vm.acceleration import Acceleration, choose
from boinc2docker.vm.process import Running
from boinc2docker.vm.run import Outcome, Settings, run_job

__all__ = [
    "Acceleration",
    "Outcome",
    "Running",
    "Settings",
    "choose",
    "run_job",
]
