"""What a run is waiting for and for how long yet, as the guest's events tell it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from boinc2docker.vm.events import Event

DOCKER_SECONDS = 600
"""How long the guest waits for its Docker (B2D_DOCKER_WAIT in its lib/paths.sh)."""
CONTAINER_STARTED = "container started"
"""The event after which a job's output may come (lib/container.sh)."""
_IMAGE = (0.003, 0.01)
"""The guest's progress at the beginning and at the end of fetching and loading an image (lib/progress.sh)."""


@dataclass(frozen=True)
class Wait:
    """Something waited for since ``since``. ``limit`` in seconds, None if it may take as long as it takes."""

    what: str
    since: float
    limit: float | None = None


class Waits:
    """Follows one run. Times are any clock's, in seconds; ``total`` is the limit of the whole run."""

    def __init__(self, began: float, *, boot: float, docker: float, total: float | None) -> None:
        self._began, self._docker, self._total = began, docker, total
        self._wait = Wait("waiting for the machine to boot", began, boot)
        self.running = False
        """True while the container runs: its output is on the screen."""

    def note(self, event: Event, now: float) -> None:
        """Takes an event that was seen at ``now``."""
        if event.text == CONTAINER_STARTED:
            self.running = True
            self._wait = Wait("the container is running", now)
        elif event.text.startswith("container exit ") or event.phase in ("results", "report"):
            self._begin("waiting for the results", now)
        elif event.text == "Docker is ready":
            self._begin("waiting for the job", now)
        elif event.phase in ("image", "store"):
            self._begin("fetching and loading the image", now)
        elif self._wait.limit is not None and "still waiting" not in event.text:  # Docker has not been ready yet
            self._wait = Wait("waiting for Docker", now, self._docker)

    def _begin(self, what: str, now: float) -> None:
        self.running = False
        if self._wait.what != what:
            self._wait = Wait(what, now)

    def text(self, now: float, fraction: float | None = None) -> str:
        """Such as ``waiting for Docker: 40 of 600 s``; ``fraction`` is the guest's own progress, if it is known."""
        wait = self._wait
        if wait.limit is None and self._total is not None:  # that runs since the beginning
            return f"{wait.what}: {now - self._began:.0f} of {self._total:.0f} s"
        seconds = f"{now - wait.since:.0f}" + (f" of {wait.limit:.0f} s" if wait.limit is not None else " s")
        if fraction is not None and wait.what.endswith("the image") and _IMAGE[0] < fraction <= _IMAGE[1]:
            seconds += f" ({100 * (fraction - _IMAGE[0]) / (_IMAGE[1] - _IMAGE[0]):.0f} %)"
        return f"{wait.what}: {seconds}"
