"""A machine that runs the ISO the way vboxwrapper does, in QEMU. The public face of this part."""

from boinc2docker.vm.acceleration import Acceleration, choose
from boinc2docker.vm.outcome import Outcome
from boinc2docker.vm.process import Running
from boinc2docker.vm.run import run_job
from boinc2docker.vm.settings import Settings

__all__ = [
    "Acceleration",
    "Outcome",
    "Running",
    "Settings",
    "choose",
    "run_job",
]
