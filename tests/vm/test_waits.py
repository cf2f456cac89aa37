"""What a run says it is waiting for, event by event."""

from __future__ import annotations

from boinc2docker.vm.events import Event, parse_event
from boinc2docker.vm.waits import CONTAINER_STARTED, DOCKER_SECONDS, Waits
from tests.equipment.checkout import PROJECT_ROOT


def event(text: str) -> Event:
    found = parse_event(f"b2d 1.00 {text}")
    assert found is not None
    return found


def test_each_phase_has_its_seconds_and_its_limit() -> None:
    waits = Waits(100, boot=600, docker=1200, total=None)
    assert waits.text(112.4) == "waiting for the machine to boot: 12 of 600 s"
    waits.note(event("boot agent 2.0.0 on debian"), 120)
    waits.note(event("mounts shared by 9p"), 121)
    assert waits.text(161) == "waiting for Docker: 40 of 1200 s"
    waits.note(event("boot still waiting for Docker (at most 540 s more)"), 181)
    assert waits.text(182) == "waiting for Docker: 61 of 1200 s"
    waits.note(event("boot Docker is ready"), 190)
    waits.note(event("boot removing containers of an earlier boot: x"), 191)
    assert waits.text(195) == "waiting for the job: 5 s"
    waits.note(event("image python:3-slim"), 200)
    waits.note(event("store 3 layers: 0 in the store, 3 to fetch (20 MB)"), 201)
    assert waits.text(210) == "fetching and loading the image: 10 s"
    assert waits.text(210, 0.001) == "fetching and loading the image: 10 s"
    assert waits.text(210, 0.0065) == "fetching and loading the image: 10 s (50 %)"
    running = [waits.running]
    waits.note(event("run container started"), 220)
    running.append(waits.running)
    assert waits.text(265, 0.5) == "the container is running: 45 s"
    waits.note(event("run container exit 0"), 300)
    waits.note(event("results results.tgz 10 bytes"), 301)
    assert waits.text(302) == "waiting for the results: 2 s"
    assert [*running, waits.running] == [False, True, False]


def test_the_guest_says_what_is_looked_for() -> None:
    """Events are texts: whoever changes one in the guest finds out here."""
    lib = PROJECT_ROOT / "guest" / "overlay" / "opt" / "boinc2docker" / "lib"
    guest = "".join(path.read_text() for path in lib.glob("*.sh"))
    for text in (f"log run '{CONTAINER_STARTED}'", "log boot 'Docker is ready'", 'log run "container exit $'):
        assert text in guest
    assert f"B2D_DOCKER_WAIT:={DOCKER_SECONDS}}}" in guest
    assert "PROGRESS_READY=0.01 " in guest


def test_a_limit_of_the_whole_run_counts_from_its_beginning() -> None:
    waits = Waits(100, boot=600, docker=600, total=1800)
    assert waits.text(130) == "waiting for the machine to boot: 30 of 600 s"
    for text in ("boot agent 2.0.0 on debian", "boot Docker is ready", "run container started"):
        waits.note(event(text), 200)
    assert waits.text(240) == "the container is running: 140 of 1800 s"
