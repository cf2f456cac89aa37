"""A job: image reference → layers → job files. The public face of this part."""

from builder.project.project import Project
from builder.work.boinc.batch import Batch, Summary, submit_many
from builder.work.boinc.batch_command import ManyJobs, submit_batch, try_batch
from builder.work.boinc.batch_file import BatchFile, Row
from builder.work.boinc.cancel import cancel
from builder.work.boinc.job_template import JobTemplate
from builder.work.boinc.jobs_command import CANCEL, STATUS, cancel_command, status_command
from builder.work.boinc.options import WorkUnitOptions
from builder.work.boinc.plan import Shape
from builder.work.boinc.selection import Selection
from builder.work.boinc.status import status
from builder.work.boinc.submission import Submitted, submit, try_out
from builder.work.boinc.submit_command import SUBMIT, submit_command
from builder.work.boinc.sweep import Combinations
from builder.work.boinc.sweep import parse as parse_sweep
from builder.work.boinc_app import render
from builder.work.container_options import (
    IMAGE,
    JOB,
    LAYERS,
    REFUSED,
    delivery_of,
    job_of,
    only_a_job,
    refuse,
    require_image,
)
from builder.work.delivery import Delivery, Via, obtain, parse_via
from builder.work.environment import gather as gather_environment
from builder.work.image import BlobSource, Image, Layer
from builder.work.image_archive import read_archive
from builder.work.inputs import Input
from builder.work.inputs import parse as parse_input
from builder.work.job import Job, command_words
from builder.work.job_directory import Prepared, prepare
from builder.work.reference import Source
from builder.work.reference import parse as parse_reference
from builder.work.registry import Access, Registry
from builder.work.sizes import parse_bytes, parse_count, parse_seconds
from builder.work.store_command import store_command

__all__ = [
    "CANCEL",
    "IMAGE",
    "JOB",
    "LAYERS",
    "REFUSED",
    "STATUS",
    "SUBMIT",
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
    "ManyJobs",
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
    "cancel_command",
    "command_words",
    "delivery_of",
    "gather_environment",
    "job_of",
    "obtain",
    "only_a_job",
    "parse_bytes",
    "parse_count",
    "parse_input",
    "parse_reference",
    "parse_seconds",
    "parse_sweep",
    "parse_via",
    "prepare",
    "read_archive",
    "refuse",
    "render",
    "require_image",
    "status",
    "status_command",
    "store_command",
    "submit",
    "submit_batch",
    "submit_command",
    "submit_many",
    "try_batch",
    "try_out",
]
