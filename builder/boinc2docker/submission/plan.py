"""Plans jobs of one shape: the names, files and input template that ``create_work`` needs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from boinc2docker import console, leftovers
from boinc2docker.atomic import explain
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError
from boinc2docker.image import delivery as deliveries
from boinc2docker.image.image import FEWER_LAYERS, Image, Layer
from boinc2docker.image.reference import Source
from boinc2docker.job import inputs
from boinc2docker.job.inputs import Input
from boinc2docker.job.job import Job
from boinc2docker.job.script import container_words, render
from boinc2docker.job.shipment import unpackings
from boinc2docker.project.create_work import Creation, check_name
from boinc2docker.project.project import Project
from boinc2docker.project.staging import PART_PREFIX, ToStage, is_staged
from boinc2docker.submission import documents
from boinc2docker.submission.app_files import AppFiles
from boinc2docker.submission.bounds import Bounds, Needs, compute, limits
from boinc2docker.submission.documents import Entry
from boinc2docker.submission.job_files import JobFiles, is_layer, layer_name
from boinc2docker.submission.options import TITLE
from boinc2docker.submission.shape import Runner, Shape

_LIKE_A_RESULT = re.compile(r"_\d{1,2}$")
"""docker_wrapper looks for containers whose name *contains* its task's: a job's name with _0, _1 … at its end."""


@dataclass(frozen=True)
class PlannedUnit:
    """A work unit that can be created once ``files`` and the planner's shared files are staged.

    ``template`` is the same object for all jobs of one shape. ``line_files`` are the words for its variable files, in
    order: a staged name, or ``--remote_file URL BYTES MD5``. ``entries`` are all its files. ``own_machine`` is the
    vbox_job.xml of a job that needs more memory than the others.
    """

    name: str
    template: bytes
    entries: tuple[Entry, ...]
    bounds: Bounds
    own_machine: ToStage | None = None

    @property
    def files(self) -> tuple[ToStage, ...]:
        """The files to stage for this job alone."""
        own = [entry.file for entry in self.entries if not entry.constant and isinstance(entry.file, ToStage)]
        return tuple(own if self.own_machine is None else [*own, self.own_machine])

    @property
    def line_files(self) -> tuple[str, ...]:
        return tuple(word for entry in self.entries for word in entry.words)

    @property
    def creation(self) -> Creation:
        """The argument for ``create_work.create``."""
        return Creation(self.name, self.template, self.line_files)


def default_name(app: str, job: Job, image: Image) -> str:
    """A name for a single job: a hash of its content, and the time."""
    digest = Digest.of(render(job, image).encode()).hex
    return f"{app}_{digest[:12]}_{time.time_ns()}"


@contextmanager
def planning(
    project: Project | None,
    app: AppFiles,
    source: Source,
    job: Job,
    shape: Shape,
    *,
    delivery: deliveries.Delivery | None = None,
    shared_inputs: Sequence[Input] = (),
    reimport: bool = False,
) -> Iterator[Planner]:
    """A planner for ``job`` and others like it. Checks first whatever does not need the image.

    ``project`` None, or ``reimport``: fetches the whole image, whatever is staged. Its files are removed at the end of
    the ``with`` block. Raises the errors of ``delivery.obtain``, and InputError for a job that cannot work.
    """
    way = delivery or deliveries.Delivery()
    deliveries.check(source, way)
    container_words(job)
    for source_input in job.inputs:
        if not source_input.source.is_dir():  # a directory's names are inside its archive
            documents.check_open_name(f"shared/{source_input.name}")
        for _ in inputs.files_of(source_input):
            pass
    where = project.download if project else None
    with ExitStack() as stack:
        try:
            scratch = stack.enter_context(leftovers.scratch(where, prefix=f"{PART_PREFIX}held-"))
        except OSError as error:
            raise explain(error, f"write into {where or 'the directory for temporary files'}") from error
        have = _staged_in(project if not reimport else None)
        image = deliveries.for_volunteers(deliveries.obtain(source, scratch / "image", way, have=have))
        yield Planner(project, app, image, job, shape, scratch, shared_inputs=shared_inputs)


def _staged_in(project: Project | None) -> Callable[[Layer], bool]:
    return lambda layer: project is not None and is_staged(project, layer_name(layer.digest), layer.size)


class Planner:
    """Turns jobs of one image and shape into work units. Made by ``planning``."""

    def __init__(
        self,
        project: Project | None,
        app: AppFiles,
        image: Image,
        job: Job,
        shape: Shape,
        scratch: Path,
        *,
        shared_inputs: Sequence[Input] = (),
    ) -> None:
        self.project, self.app, self.shape, self.image = project, app, shape, image
        self._files = JobFiles(project, app, image, shape, scratch, shared_inputs)
        self._templates: dict[object, bytes] = {}
        self._bounds: dict[tuple[int, int], Bounds] = {}
        self._extra = documents.extra_elements(shape.additional_xml)
        self._cpus = float(job.cpus) if job.cpus else None
        self._constants = tuple(self._files.shared(job, self.bounds(job).memory_mb))
        self._require_room(self._constants)
        for warning in self.bounds(job).warnings:
            console.warn(warning)

    def shared_files(self) -> tuple[ToStage, ...]:
        """The files that all jobs share, to be staged first: the image's config and layers, vbox_job.xml, inputs."""
        return tuple(entry.file for entry in self._constants if isinstance(entry.file, ToStage))

    def bounds(self, job: Job) -> Bounds:
        """The resources that a job asks of a host."""
        size = self._files.input_bytes(job)
        unpacked = sum(shipped.unpacked for shipped in self._files.shipped(job))
        if (size, unpacked) not in self._bounds:
            needs = Needs(
                image=self.image.size,
                layers_travel=not self.image.sources,
                inputs=size,
                unpacked=unpacked,
                outputs=self.app.outputs.bytes,
                app_memory_mb=self.app.memory_mb,
                data_disk=self.app.data_disk,
                disk_mb=self.app.disk_mb,
                memory_mb=self.shape.memory_mb,
                room=self.shape.room,
                seconds=self.shape.seconds,
                cpus=self._cpus,
                app_fpops_est=self.app.limits.get("rsc_fpops_est"),
                app_fpops_bound=self.app.limits.get("rsc_fpops_bound"),
                app_delay_bound=self.app.limits.get("delay_bound"),
            )
            self._bounds[size, unpacked] = compute(needs, self.shape.options)
        return self._bounds[size, unpacked]

    def unit(self, job: Job, name: str) -> PlannedUnit:
        """Plans one job. Cheap: only new inputs are read. Raises InputError for a job that cannot work."""
        check_name(name)
        if Runner.CONTAINER in self.shape.runners and _LIKE_A_RESULT.search(name):
            raise InputError(
                "bad-name",
                f"the job's name {name} ends like the name of a task, and docker_wrapper would take one for the other",
                hint="let it end in letters, or in three digits or more",
            )
        script = render(job, self.image, unpackings(self._files.shipped(job)))
        bounds = self.bounds(job)
        usual, *others = self._constants
        machine = self._files.machine(bounds.memory_mb)
        entries = (self._files.script(script.encode()), machine, *others, *self._files.own(job))
        own_machine = machine.file if machine != usual and isinstance(machine.file, ToStage) else None
        return PlannedUnit(name, self._template(entries, bounds), entries, bounds, own_machine)

    def forget(self) -> None:
        """Forgets what jobs do not share, to bound memory in submissions of very many jobs."""
        self._files.forget()
        self._templates.clear()
        self._bounds.clear()

    def _template(self, entries: Sequence[Entry], bounds: Bounds) -> bytes:
        key = (bounds, tuple((entry.open_name, entry.sticky) for entry in entries if not entry.constant))
        if key not in self._templates:
            self._require_room(entries)
            chosen = limits(self.app.limits, self.shape.options, bounds)
            self._templates[key] = documents.input_template(entries, chosen, self._extra)
        return self._templates[key]

    def _require_room(self, entries: Sequence[Entry]) -> None:
        """Raises InputError if BOINC's database cannot hold the XML of a work unit with these files."""
        size = self._xml_bytes(entries)
        if size <= documents.MAX_XML:
            return
        layers = [entry for entry in entries if is_layer(entry)]
        limit = f"a BOINC work unit can hold {documents.MAX_XML} bytes of XML; {len(entries)} files make {size}"
        if 2 * len(layers) > len(entries):
            raise InputError(
                "too-many-layers",
                f"image {self.image.name}: {limit}, and {len(layers)} of them are the image's layers",
                hint=f"{FEWER_LAYERS}; or push it to a registry, from which volunteers' machines fetch it",
            )
        raise InputError("too-many-files", limit, hint="put inputs into one directory: a directory travels as one file")

    def _xml_bytes(self, entries: Iterable[Entry]) -> int:
        url = self.project.download_url if self.project else "https://project.example/download"
        command = len(self.shape.options.command_line or "") + TITLE
        return documents.workunit_bytes(entries, url, self._extra) + command + 100
