"""Jobs of one shape into what ``create_work`` needs: names, files to stage, an input template."""

from __future__ import annotations

from dataclasses import dataclass

from builder.work.boinc.staging import ToStage
from builder.work.job import Job


@dataclass(frozen=True)
class PlannedUnit:
    """A work unit that can be created once ``files`` are staged, and the planner's shared files.

    ``template`` is the same object for all jobs of one shape. ``line_files`` are the words for its variable files, in
    order: a staged name, or ``--remote_file URL BYTES MD5``.
    """

    name: str
    files: tuple[ToStage, ...]
    template: bytes
    line_files: tuple[str, ...]


class Planner:
    """Made once for any number of jobs: resolves the image, fetches what has to be staged, knows the shared files."""

    def shared_files(self) -> tuple[ToStage, ...]:
        """What all jobs share: the image's config and layers, vbox_job.xml, shared inputs. To be staged first."""
        raise NotImplementedError

    def unit(self, job: Job, name: str) -> PlannedUnit:
        """One job. Cheap: hashes only inputs it has not seen. Raises InputError for a job that cannot work."""
        raise NotImplementedError
