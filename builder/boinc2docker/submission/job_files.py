"""The files of a job, as entries of its work unit.

```
shared/boinc_app            b2d_app_<sha256>        variable   the job
vbox_job.xml                b2d_vbox_<sha256>.xml   constant   the machine
shared/image/<hex>          b2d_config_<sha256>     constant   the image's config
shared/image/<hex>          b2d_layer_<sha256>      constant   a layer that travels with jobs; hosts keep it
shared/NAME                 b2d_input_<sha256>      constant if all jobs share it, else variable
Dockerfile                  b2d_dockerfile_<sha256> constant   for docker_wrapper only: the image and the agent
b2d_image                   b2d_image_<sha256>      constant   for docker_wrapper only: what the image's config says
job.toml                    b2d_settings_<sha256>   constant   for docker_wrapper only: the container's options
```

vboxwrapper ignores docker_wrapper's files, and docker_wrapper those of the machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from boinc2docker.container.files import slot_files
from boinc2docker.digest import Digest
from boinc2docker.image.image import Image, Layer
from boinc2docker.job import remote_input
from boinc2docker.job.inputs import Input
from boinc2docker.job.job import Job
from boinc2docker.job.remote_input import RemoteInput
from boinc2docker.job.shipment import Shipped, ship
from boinc2docker.project.project import Project
from boinc2docker.project.staged_name import kind_of, staged_name
from boinc2docker.project.staging import ToStage
from boinc2docker.submission import documents
from boinc2docker.submission.app_files import AppFiles
from boinc2docker.submission.documents import Entry
from boinc2docker.submission.shape import Runner, Shape


def layer_name(digest: Digest) -> str:
    """The physical name of a layer."""
    return staged_name("layer", digest)


def is_layer(entry: Entry) -> bool:
    """Whether the file is a layer of the image."""
    return kind_of(entry.physical_name) == "layer"


class JobFiles:
    """Knows the files of one submission. Each input is packed and hashed once.

    ``scratch`` holds the fetched layers, in ``image/``, and packed inputs. ``project`` None: every file is local.
    """

    def __init__(
        self,
        project: Project | None,
        app: AppFiles,
        image: Image,
        shape: Shape,
        scratch: Path,
        shared_inputs: Sequence[Input],
    ) -> None:
        self._project, self._app, self._image, self._shape, self._scratch = project, app, image, shape, scratch
        self._shared_inputs = frozenset(shared_inputs)
        self._fetched = frozenset(layer.digest for layer in image.layers if self._fetched_path(layer).exists())
        self._shipped: dict[Input, tuple[Shipped, ToStage]] = {}
        self._remote: dict[RemoteInput, RemoteInput] = {}
        self._machines: dict[int, Entry] = {}

    def shared(self, job: Job, memory_mb: int) -> Iterator[Entry]:
        """The files that all jobs like ``job`` share: the machine first, the image, shared inputs."""
        yield self.machine(memory_mb)
        config = self._image.config_digest
        yield Entry(f"shared/image/{config.hex}", ToStage(staged_name("config", config), self._image.config))
        for layer in dict.fromkeys(self._image.layers):
            # Of an image in a registry, only layers that old Dockers cannot read as they are were fetched.
            if not self._image.sources or layer.digest in self._fetched:
                yield self._layer(layer)
        if Runner.CONTAINER in self._shape.runners:
            yield from self._for_containers(job)
        for source in job.inputs:
            if source in self._shared_inputs:
                yield self._input(source, constant=True)

    def _for_containers(self, job: Job) -> Iterator[Entry]:
        """Raises InputError for a job that docker_wrapper cannot run."""
        files = slot_files(job, self._image)
        for open_name, kind, text in (
            ("Dockerfile", "dockerfile", files.dockerfile),
            ("b2d_image", "image", files.image),
            ("job.toml", "settings", files.settings),
        ):
            content = text.encode()
            file = ToStage(f"b2d_{kind}_{Digest.of(content).hex}", content)
            yield Entry(open_name, file, sticky=self._shape.layer_lifetime)

    def own(self, job: Job) -> Iterator[Entry]:
        """The inputs of this job alone."""
        for source in job.inputs:
            if source not in self._shared_inputs:
                yield self._input(source, constant=False)
        for remote in job.remote_inputs:
            file, lifetime = self._known(remote), self._shape.input_lifetime
            yield Entry(f"shared/{remote.name}", file, constant=False, sticky=lifetime)

    def script(self, content: bytes) -> Entry:
        """The job itself."""
        file = ToStage(staged_name("app", Digest.of(content)), content)
        return Entry("shared/boinc_app", file, constant=False)

    def machine(self, memory_mb: int) -> Entry:
        """The vbox_job.xml of a machine with this memory: without a data disk, larger inputs need more."""
        if memory_mb not in self._machines:
            text = documents.vbox_job(self._app.vbox_job, memory_mb, self._shape.vbox)
            file = ToStage(staged_name("vbox", Digest.of(text), ".xml"), text)
            self._machines[memory_mb] = Entry("vbox_job.xml", file, copy=False)
        return self._machines[memory_mb]

    def shipped(self, job: Job) -> list[Shipped]:
        """The inputs as they travel."""
        return [self._ship(source)[0] for source in job.inputs]

    def input_bytes(self, job: Job) -> int:
        """The size of all inputs as they travel."""
        local = sum(self._ship(source)[1].size for source in job.inputs)
        return local + sum(self._known(remote).size for remote in job.remote_inputs)

    def forget(self) -> None:
        """Forgets inputs that jobs do not share. Remote inputs are the same for all jobs and stay known."""
        self._shipped = {source: known for source, known in self._shipped.items() if source in self._shared_inputs}

    def _fetched_path(self, layer: Layer) -> Path:
        return self._scratch / "image" / layer.digest.hex

    def _layer(self, layer: Layer) -> Entry:
        name = layer_name(layer.digest)
        if self._project is None or layer.digest in self._fetched:
            file = ToStage(name, self._fetched_path(layer), movable=True, length=layer.size)
        else:
            file = ToStage(name, self._project.download_path(name), length=layer.size)
        return Entry(f"shared/image/{layer.digest.hex}", file, sticky=self._shape.layer_lifetime)

    def _ship(self, source: Input) -> tuple[Shipped, ToStage]:
        if source not in self._shipped:
            shipped = ship(source, self._scratch)
            digest = Digest.of_file(shipped.content)
            size = shipped.content.stat().st_size
            archive = shipped.unpacks_to is not None
            name = staged_name("input", digest)
            file = ToStage(name, shipped.content, movable=archive, length=size, digest=digest)
            self._shipped[source] = shipped, file
        return self._shipped[source]

    def _input(self, source: Input, *, constant: bool) -> Entry:
        shipped, file = self._ship(source)
        return Entry(f"shared/{shipped.name}", file, constant=constant, sticky=self._shape.input_lifetime)

    def _known(self, remote: RemoteInput) -> RemoteInput:
        """The remote input with digest and size; downloaded once if they were not given."""
        if remote not in self._remote:
            self._remote[remote] = remote if remote.known else remote_input.obtain(remote)[0]
        return self._remote[remote]
