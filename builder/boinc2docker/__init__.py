"""Runs any Docker image on BOINC volunteers' computers. What Python programs use is named here.

    from pathlib import Path
    from boinc2docker import Job, Shape, WorkUnitOptions, submit

    made = submit(
        "python:3-slim",
        Job(command=("python", "-c", "print('Hello BOINC')")),
        project=Path("/home/boincadm/projects/sample"),
        shape=Shape(memory_mb=2048, options=WorkUnitOptions(min_quorum=2)),
    )

Names are imported when they are first used, so that ``import boinc2docker`` costs nothing. Every error is a
``BuilderError``.

Each part of the package imports only what stands below it. From the top: ``cli``, ``release``, ``submission``, ``vm``
and ``app``, ``job``, then ``base``, ``image``, ``results`` and ``iso``, then ``fetch``, ``store`` and ``project``, then
``formats`` and ``locks``, and the modules beside this one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boinc2docker.errors import BuilderError
    from boinc2docker.image.delivery import Delivery, Via
    from boinc2docker.image.image import Image
    from boinc2docker.image.registry import Access
    from boinc2docker.job.inputs import Input
    from boinc2docker.job.job import Job
    from boinc2docker.job.remote_input import RemoteInput
    from boinc2docker.project.project import Project
    from boinc2docker.results.reading import Results, StoredResult
    from boinc2docker.submission.batch.batch import Batch
    from boinc2docker.submission.batch.batch_file import BatchFile
    from boinc2docker.submission.batch.submit_many import Summary
    from boinc2docker.submission.batch.sweep import Combinations, Sweep
    from boinc2docker.submission.job_template import JobTemplate
    from boinc2docker.submission.jobs.cancel import Cancelled, cancel
    from boinc2docker.submission.jobs.selection import Selection, UnitStatus
    from boinc2docker.submission.jobs.status import Status, status
    from boinc2docker.submission.options import WorkUnitOptions
    from boinc2docker.submission.shape import Shape
    from boinc2docker.submission.submit import Submitted, Tried, submit, try_out
    from boinc2docker.submission.submit_many import submit_many, try_out_many

__version__ = "2.0.0"

__all__ = [
    "Access",
    "Batch",
    "BatchFile",
    "BuilderError",
    "Cancelled",
    "Combinations",
    "Delivery",
    "Image",
    "Input",
    "Job",
    "JobTemplate",
    "Project",
    "RemoteInput",
    "Results",
    "Selection",
    "Shape",
    "Status",
    "StoredResult",
    "Submitted",
    "Summary",
    "Sweep",
    "Tried",
    "UnitStatus",
    "Via",
    "WorkUnitOptions",
    "__version__",
    "cancel",
    "status",
    "submit",
    "submit_many",
    "try_out",
    "try_out_many",
]

_HOMES = {
    "errors": ("BuilderError",),
    "image.delivery": ("Delivery", "Via"),
    "image.image": ("Image",),
    "image.registry": ("Access",),
    "job.inputs": ("Input",),
    "job.job": ("Job",),
    "job.remote_input": ("RemoteInput",),
    "project.project": ("Project",),
    "results.reading": ("Results", "StoredResult"),
    "submission.batch.batch": ("Batch",),
    "submission.batch.batch_file": ("BatchFile",),
    "submission.batch.submit_many": ("Summary",),
    "submission.batch.sweep": ("Combinations", "Sweep"),
    "submission.job_template": ("JobTemplate",),
    "submission.jobs.cancel": ("Cancelled", "cancel"),
    "submission.jobs.selection": ("Selection", "UnitStatus"),
    "submission.jobs.status": ("Status", "status"),
    "submission.options": ("WorkUnitOptions",),
    "submission.shape": ("Shape",),
    "submission.submit": ("Submitted", "Tried", "submit", "try_out"),
    "submission.submit_many": ("submit_many", "try_out_many"),
}
"""The same imports as above, done by ``__getattr__`` (PEP 562)."""


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
