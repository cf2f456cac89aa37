"""Submits jobs as BOINC work units, reports their status, cancels them. The public interface for Python programs."""

from boinc2docker.image.delivery import Delivery, Via, obtain, parse_via
from boinc2docker.image.image import BlobSource, Image, Layer
from boinc2docker.image.image_archive import read_archive
from boinc2docker.image.reference import Source
from boinc2docker.image.reference import parse as parse_reference
from boinc2docker.image.registry import Access, Registry
from boinc2docker.job.inputs import Input
from boinc2docker.job.inputs import parse as parse_input
from boinc2docker.job.job import Job, command_words
from boinc2docker.job.job_directory import Prepared, prepare
from boinc2docker.job.script import render
from boinc2docker.job.variables import gather as gather_environment
from boinc2docker.project.project import Project
from boinc2docker.sizes import parse_bytes, parse_count, parse_seconds
from boinc2docker.submission.batch.batch import Batch
from boinc2docker.submission.batch.batch_file import BatchFile, Row
from boinc2docker.submission.batch.submit_many import Summary, submit_many
from boinc2docker.submission.batch.sweep import Combinations
from boinc2docker.submission.batch.sweep import parse as parse_sweep
from boinc2docker.submission.job_template import JobTemplate
from boinc2docker.submission.jobs.cancel import cancel
from boinc2docker.submission.jobs.selection import Selection
from boinc2docker.submission.jobs.status import status
from boinc2docker.submission.options import WorkUnitOptions
from boinc2docker.submission.shape import Shape
from boinc2docker.submission.submit import Submitted, submit, try_out

__all__ = [
    "Access",
    "Batch",
    "BatchFile",
    "BlobSource",
    "Combinations",
    "Delivery",
    "Image",
    "Input",
    "Job",
    "JobTemplate",
    "Layer",
    "Prepared",
    "Project",
    "Registry",
    "Row",
    "Selection",
    "Shape",
    "Source",
    "Submitted",
    "Summary",
    "Via",
    "WorkUnitOptions",
    "cancel",
    "command_words",
    "gather_environment",
    "obtain",
    "parse_bytes",
    "parse_count",
    "parse_input",
    "parse_reference",
    "parse_seconds",
    "parse_sweep",
    "parse_via",
    "prepare",
    "read_archive",
    "render",
    "status",
    "submit",
    "submit_many",
    "try_out",
]
