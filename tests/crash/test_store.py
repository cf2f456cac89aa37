"""The host loses power while a machine fills the store: whatever is left, the next machine runs its job, no bad layer
reaches Docker twice, and what was there before is still there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.crash.disk import CrashState, Recording, Sync, crash_states
from tests.crash.recording import record
from tests.guest.blob_server import BlobServer
from tests.guest.machine import Machine
from tests.guest.store_job import StoredImage, image, layer, run, state, store, stored, whole, write_job

WITHOUT_MEANING = re.compile(r"/heartbeat$|/probe\.|/used/running\.")
"""Of these nothing but their presence matters, or that they change."""
MANY = 10
"""States of the quick run, beside those with a bad layer."""


@dataclass(frozen=True)
class Job:
    """The recorded job: it found ``old`` in the store, and fetched the others of ``wanted``."""

    recording: Recording
    wanted: StoredImage
    old: str


@pytest.fixture
def job(machines: Callable[..., Machine], server: BlobServer, scratch: Path, tmp_path: Path) -> Job:
    needs("strace", "curl", "busybox")
    kept = layer("kept", 3000)
    assert run(machines("busybox"), image(server, [kept])) == 0
    wanted = image(server, [layer("x", 9000), kept, layer("y", 900)])
    machine = machines("busybox")
    write_job(machine, wanted)
    recording = record(
        [machine.shell, machine.share / "boinc_app"], scratch, tmp_path / "log", machine.environment, machine.share
    )
    machine.cut_power()
    whole(scratch)
    return Job(recording, wanted, wanted.names[1])


def bad_layers(tree: dict[str, bytes | str | None], wanted: StoredImage) -> list[str]:
    """Layers that are under their names with other bytes."""
    good = dict(zip(wanted.names, wanted.layers, strict=True))
    found = [(name, tree.get(f"boinc2docker/v1/layers/sha256/{name}")) for name in good]
    return [name for name, content in found if content is not None and content != good[name]]


def chosen(job: Job, *, exhaustive: bool) -> Iterator[CrashState]:
    """All states; in the quick run a few, evenly, and one for each way in which layers are bad."""
    states = list(crash_states(job.recording, exhaustive=exhaustive, passed_over=WITHOUT_MEANING))
    if exhaustive:
        yield from states
        return
    bad = {}
    for one in states:
        for name in bad_layers(one.tree, job.wanted):
            content = one.tree[f"boinc2docker/v1/layers/sha256/{name}"]
            assert isinstance(content, bytes)
            bad[name, len(content), content.count(0) > 500] = one
    yield from bad.values()
    yield from states[:: len(states) // MANY]


def check(one: CrashState, job: Job, machine: Machine, server: BlobServer, scratch: Path) -> None:
    """A new machine, with a blank disk of its own, on what the power cut left."""
    one.put(scratch)
    server.sent.clear()
    log = machine.root / "loads"
    log.unlink(missing_ok=True)
    impatient = "SEEN_STILL_SECONDS=1\nstore_pause() { sleep 0.3; }\n"
    count = f'docker() {{ [ "$1" != load ] || echo >>"{log}"; command docker "$@"; }}\n'
    assert run(machine, job.wanted, impatient + count) == 0, machine.output()
    assert stored(scratch) == dict(zip(job.wanted.names, job.wanted.layers, strict=True))
    loads = len(log.read_text().splitlines())
    bad = bad_layers(one.tree, job.wanted)
    assert loads <= 2, "a bad layer reaches Docker once"
    assert loads == 1 or bad
    assert job.old not in server.sent, "a layer of an earlier job is lost"
    for name in bad:
        assert server.sent[name] <= len(job.wanted.layers[job.wanted.names.index(name)])
    left = {path.name.partition(".")[0] for path in (store(scratch) / "partial").iterdir()} - {"probe"}
    assert left <= {path.name for path in (store(scratch) / "locks").iterdir()}, "nobody will remove these downloads"


def without_flushes(job: Job) -> Job:
    """As if the machine's flushes did not reach the host's disk: vboxsf has none."""
    kept = tuple(one for one in job.recording.operations if not isinstance(one, Sync))
    return replace(job, recording=replace(job.recording, operations=kept))


def check_all(
    job: Job, machines: Callable[..., Machine], server: BlobServer, memory: Path, *, exhaustive: bool
) -> tuple[int, int]:
    scratch = memory / "scratch"
    count = damaged = 0
    for one in chosen(job, exhaustive=exhaustive):
        shutil.rmtree(scratch, ignore_errors=True)
        machine = machines("busybox", scratch)
        shutil.rmtree(scratch)
        try:
            check(one, job, machine, server, scratch)
        except Exception as error:
            raise AssertionError(f"power cut {one.how}\n{machine.log()}\n{state(machine, 'message')}") from error
        count += 1
        damaged += bool(bad_layers(one.tree, job.wanted))
    return count, damaged


@pytest.mark.parametrize("flushes", [True, False], ids=["9p", "vboxsf"])
@pytest.mark.parametrize("exhaustive", [False, pytest.param(True, marks=pytest.mark.exhaustive)], ids=["few", "all"])
def test_the_store_survives_the_hosts_power_cut(
    job: Job,
    machines: Callable[..., Machine],
    server: BlobServer,
    memory: Path,
    record_property: Callable[[str, str], None],
    exhaustive: bool,
    flushes: bool,
) -> None:
    job = job if flushes else without_flushes(job)
    count, damaged = check_all(job, machines, server, memory, exhaustive=exhaustive)
    operations = len(job.recording.operations)
    how = "with" if flushes else "without"
    text = f"store {how} flushes: {operations} operations, {count} states, {damaged} with a damaged layer"
    record_property("figure", text)
    assert (damaged == 0) == flushes, "a layer is flushed before it gets its name, where the host can do that"
