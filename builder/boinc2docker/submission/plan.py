"""Jobs of one shape into what ``create_work`` needs: names, files to stage, an input template.

```
shared/boinc_app            b2d_app_<sha256>        variable   the job
vbox_job.xml                b2d_vbox_<sha256>.xml   constant   the machine
shared/image/<hex>          b2d_config_<sha256>     constant   the image's config
shared/image/<hex>          b2d_layer_<sha256>      constant   a layer, where layers travel with jobs; hosts keep it
shared/NAME                 b2d_input_<sha256>      constant where all jobs share it, else variable
```
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from boinc2docker import console, leftovers
from boinc2docker.atomic import explain
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError, UsageError
from boinc2docker.image import delivery as deliveries
from boinc2docker.image.image import FEWER_LAYERS, Image, Layer
from boinc2docker.image.reference import Source
from boinc2docker.job import inputs, remote_input
from boinc2docker.job.inputs import Input
from boinc2docker.job.job import Job
from boinc2docker.job.remote_input import RemoteInput
from boinc2docker.job.script import container_words, render
from boinc2docker.job.shipment import Shipped, ship, unpackings
from boinc2docker.project.create_work import Creation, check_name
from boinc2docker.project.project import Project
from boinc2docker.project.staging import PART_PREFIX, ToStage, is_staged
from boinc2docker.submission import documents
from boinc2docker.submission.app_files import AppFiles
from boinc2docker.submission.bounds import Bounds, Needs, compute
from boinc2docker.submission.documents import Entry
from boinc2docker.submission.options import IN_TEMPLATE, TITLE, WorkUnitOptions, plain

LAYER_LIFETIME = 30 * 86400
_LAYER_PREFIX = "b2d_layer_"


@dataclass(frozen=True)
class Shape:
    """What the jobs of one submission have in common, beside image and command.

    ``memory_mb`` MiB of the machine; ``room`` bytes for what a job writes; ``seconds`` it takes on an ordinary core;
    ``vbox`` options of vbox_job.xml; lifetimes in seconds, ``input_lifetime`` None: inputs go with their job.
    """

    options: WorkUnitOptions = field(default_factory=WorkUnitOptions)
    memory_mb: int | None = None
    room: int | None = None
    seconds: float | None = None
    vbox: tuple[tuple[str, str], ...] = ()
    additional_xml: str = ""
    layer_lifetime: int = LAYER_LIFETIME
    input_lifetime: int | None = None


@dataclass(frozen=True)
class PlannedUnit:
    """A work unit that can be created once ``files`` are staged, and the planner's shared files.

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
        """What has to be staged for this job alone."""
        own = [one.file for one in self.entries if not one.constant and isinstance(one.file, ToStage)]
        return tuple(own if self.own_machine is None else [*own, self.own_machine])

    @property
    def line_files(self) -> tuple[str, ...]:
        return tuple(word for one in self.entries for word in one.words)

    @property
    def creation(self) -> Creation:
        """What ``create_work.create`` takes."""
        return Creation(self.name, self.template, self.line_files)


def default_name(app: str, job: Job, image: Image) -> str:
    """A name for a single job: what it is, and when it was submitted."""
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
    """A planner for ``job`` and others of its kind. Everything that can be checked without the image is checked first.

    ``project`` None, or ``reimport``: all of the image is fetched, whatever is staged. What it holds on the disk goes
    with the ``with`` block. Raises the errors of ``delivery.obtain``; InputError for a job that cannot work.
    """
    way = delivery or deliveries.Delivery()
    deliveries.check(source, way)
    container_words(job)
    for one in job.inputs:
        if not one.source.is_dir():  # a directory's names are inside its archive
            documents.check_open_name(f"shared/{one.name}")
        for _ in inputs.files_of(one):
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
    return lambda layer: project is not None and is_staged(project, _layer_name(layer.digest), layer.size)


def _layer_name(digest: Digest) -> str:
    return f"{_LAYER_PREFIX}{digest.hex}"


class Planner:
    """Knows the image, and what all jobs share. Made by ``planning``."""

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
        self.project, self.app, self.shape = project, app, shape
        self._scratch, self._shared_inputs = scratch, frozenset(shared_inputs)
        self._shipped: dict[Input, tuple[Shipped, ToStage]] = {}
        self._remote: dict[RemoteInput, RemoteInput] = {}
        self._templates: dict[object, bytes] = {}
        self._bounds: dict[tuple[int, int], Bounds] = {}
        self._machines: dict[int, Entry] = {}
        self._extra = documents.extra_elements(shape.additional_xml)
        self._cpus = float(job.cpus) if job.cpus else None
        self.image = image
        self._fetched = self._here(image)
        self._constants = tuple(self._shared_entries(job))
        self._require_room(self._constants)
        for warning in self.bounds(job).warnings:
            console.warn(warning)

    def shared_files(self) -> tuple[ToStage, ...]:
        """What all jobs share: the image's config and layers, vbox_job.xml, shared inputs. To be staged first."""
        return tuple(one.file for one in self._constants if isinstance(one.file, ToStage))

    def bounds(self, job: Job) -> Bounds:
        """What a job needs of a host."""
        shipped = [self._ship(one) for one in job.inputs]
        unpacked = sum(one.unpacked for one, _ in shipped)
        size = sum(file.size for _, file in shipped) + sum(self._known(one).size for one in job.remote_inputs)
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
        """One job. Cheap: looks only at inputs it has not seen. Raises InputError for a job that cannot work."""
        check_name(name)
        own = [one for one in job.inputs if one not in self._shared_inputs]
        unpack = unpackings(self._ship(one)[0] for one in job.inputs)
        script = render(job, self.image, unpack).encode()
        first = Entry("shared/boinc_app", _named("app", script), constant=False)
        rest = (*(self._input(one, constant=False) for one in own), *(self._far(one) for one in job.remote_inputs))
        bounds = self.bounds(job)
        usual, *others = self._constants
        machine = self._machine(bounds.memory_mb)
        entries = (first, machine, *others, *rest)
        own_machine = machine.file if machine != usual and isinstance(machine.file, ToStage) else None
        return PlannedUnit(name, self._template(entries, bounds), entries, bounds, own_machine)

    def forget(self) -> None:
        """Drops what is remembered of inputs that jobs do not share: for submissions of very many jobs.

        Remote inputs are the same for all jobs of a submission: what was downloaded to learn of them stays known.
        """
        self._shipped = {one: found for one, found in self._shipped.items() if one in self._shared_inputs}
        self._templates.clear()
        self._bounds.clear()

    def _template(self, entries: Sequence[Entry], bounds: Bounds) -> bytes:
        key = (bounds, tuple((one.open_name, one.sticky) for one in entries if not one.constant))
        if key not in self._templates:
            self._require_room(entries)
            self._templates[key] = documents.input_template(entries, self._limits(bounds), self._extra)
        return self._templates[key]

    def _limits(self, bounds: Bounds) -> dict[str, float]:
        """What the template says of the work unit: computed bounds, then the options, then what the app says."""
        options = self.shape.options
        given = {name: getattr(options, name) for name in IN_TEMPLATE}
        limits: dict[str, float] = {**self.app.limits, **{name: one for name, one in given.items() if one is not None}}
        limits |= {
            "rsc_fpops_est": bounds.fpops_est,
            "rsc_fpops_bound": bounds.fpops_bound,
            "rsc_memory_bound": bounds.memory,
            "rsc_disk_bound": bounds.disk,
        }
        quorum = limits.get("min_quorum", 1)
        copies = max(quorum, options.target_nresults or limits.get("target_nresults", 1))
        errors = limits.setdefault("max_error_results", 3)
        limits |= {"min_quorum": quorum, "target_nresults": copies}
        if options.max_success_results is None:
            limits["max_success_results"] = copies if quorum == 1 else copies + errors
        most = max(limits["max_success_results"], limits["max_error_results"], copies)
        if options.max_total_results is None:
            limits["max_total_results"] = max(limits.get("max_total_results", 0), copies + errors, 2 * errors, most)
        elif options.max_total_results < most:
            raise UsageError(
                "bad-number", f"--max-total-results: expected at least {plain(most)}, as the other limits say"
            )
        return {name: limits[name] for name in IN_TEMPLATE if name in limits}

    def _shared_entries(self, job: Job) -> Iterator[Entry]:
        yield self._machine(self.bounds(job).memory_mb)
        config = self.image.config_digest.hex
        yield Entry(f"shared/image/{config}", ToStage(f"b2d_config_{config}", self.image.config))
        for layer in dict.fromkeys(self.image.layers):
            if self._travels(layer):
                yield self._layer(layer)
        for one in (one for one in job.inputs if one in self._shared_inputs):
            yield self._input(one, constant=True)

    def _machine(self, memory_mb: int) -> Entry:
        """The machine of a job with these bounds; without a data disk, larger inputs take more memory."""
        if memory_mb not in self._machines:
            text = documents.vbox_job(self.app.vbox_job, memory_mb, self.shape.vbox)
            file = ToStage(f"b2d_vbox_{Digest.of(text).hex}.xml", text)
            self._machines[memory_mb] = Entry("vbox_job.xml", file, copy=False)
        return self._machines[memory_mb]

    def _here(self, image: Image) -> frozenset[Digest]:
        """The layers that have been fetched."""
        return frozenset(one.digest for one in image.layers if (self._scratch / "image" / one.digest.hex).exists())

    def _travels(self, layer: Layer) -> bool:
        """Whether hosts get it with the job; of an image in a registry, what old Dockers cannot read as it is."""
        return not self.image.sources or layer.digest in self._fetched

    def _layer(self, layer: Layer) -> Entry:
        name = _layer_name(layer.digest)
        if layer.digest in self._fetched or self.project is None:
            file = ToStage(name, self._scratch / "image" / layer.digest.hex, movable=True, length=layer.size)
        else:
            file = ToStage(name, self.project.download_path(name), length=layer.size)
        return Entry(f"shared/image/{layer.digest.hex}", file, sticky=self.shape.layer_lifetime)

    def _ship(self, one: Input) -> tuple[Shipped, ToStage]:
        if one not in self._shipped:
            shipped = ship(one, self._scratch)
            digest = Digest.of_file(shipped.content)
            size = shipped.content.stat().st_size
            archive = shipped.unpacks_to is not None
            file = ToStage(f"b2d_input_{digest.hex}", shipped.content, movable=archive, length=size, digest=digest)
            self._shipped[one] = shipped, file
        return self._shipped[one]

    def _input(self, one: Input, *, constant: bool) -> Entry:
        shipped, file = self._ship(one)
        return Entry(f"shared/{shipped.name}", file, constant=constant, sticky=self.shape.input_lifetime)

    def _known(self, one: RemoteInput) -> RemoteInput:
        """The remote input with digest and size; downloaded once if they were not given."""
        if one not in self._remote:
            self._remote[one] = one if one.known else remote_input.obtain(one)[0]
        return self._remote[one]

    def _far(self, one: RemoteInput) -> Entry:
        return Entry(f"shared/{one.name}", self._known(one), constant=False, sticky=self.shape.input_lifetime)

    def _require_room(self, entries: Sequence[Entry]) -> None:
        """Raises InputError if BOINC's database cannot hold the XML of a work unit with these files."""
        size = self._xml_bytes(entries)
        if size <= documents.MAX_XML:
            return
        layers = [entry for entry in entries if entry.physical_name.startswith(_LAYER_PREFIX)]
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


def _named(kind: str, content: bytes) -> ToStage:
    return ToStage(f"b2d_{kind}_{Digest.of(content).hex}", content)
