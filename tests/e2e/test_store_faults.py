"""The store and everything that can be wrong around it, in real machines: the disk, the registry, the sizes."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections import deque
from contextlib import ExitStack
from pathlib import Path

import pytest

from boinc2docker import vm
from tests.e2e.images import busybox_layer
from tests.e2e.store_rig import CONFIG, MB, Rig, random_layer, zeros_layer
from tests.guest.blob_server import serving

pytestmark = [pytest.mark.machine, pytest.mark.timeout(2400), pytest.mark.exhaustive]


def test_damage_is_found_set_aside_and_fetched_once_more(rig: Rig) -> None:
    """A layer of each kind of damage, and rubbish in every folder of the store and in every control file, at once."""
    image = rig.push("damage", 2 * MB, 2 * MB + 1, 2 * MB + 2, 2 * MB + 3, 2 * MB + 4, 2 * MB + 5)
    rig.put(*image.layers)
    good, flipped, cut, empty, swapped, folder, loop = image.names
    damaged = bytearray(rig.layer(flipped).read_bytes())
    damaged[len(damaged) // 2] ^= 0x10
    rig.layer(flipped).write_bytes(damaged)
    rig.layer(cut).write_bytes(rig.layer(cut).read_bytes()[:-1000])
    rig.layer(empty).write_bytes(b"")
    rig.layer(swapped).write_bytes(image.layers[1][: len(image.layers[4])].ljust(len(image.layers[4]), b"\0"))
    rig.layer(folder).unlink()
    (rig.layer(folder) / "sub").mkdir(parents=True)
    rig.layer(loop).unlink()
    rig.layer(loop).symlink_to(loop)  # root can read everything but this
    rubbish = bytes(range(256)) * 40
    for name in ("partial", "locks", "used", "corrupt"):
        (rig.store / name).mkdir()
        (rig.store / name / "rubbish").write_bytes(rubbish)
        (rig.store / name / ("0" * 64)).mkdir()
    (rig.layer("rubbish")).write_bytes(rubbish)
    (rig.store / "used" / good).write_bytes(rubbish)
    (rig.store / "used" / flipped / "sub").mkdir(parents=True)
    (rig.store / "used" / "running.dead").write_bytes(rubbish)
    (rig.store / "partial" / f"{empty}.dead").write_bytes(rubbish)
    (rig.store / "locks" / cut / "dead").mkdir(parents=True)
    (rig.store / "locks" / cut / "dead" / "heartbeat").write_bytes(rubbish)
    (rig.store / "locks" / empty).write_bytes(rubbish)
    with rig.counting() as sent:
        outcome = rig.run(image)
    assert outcome["status"] == 0, outcome["events"]
    bad = image.names[1:]
    # The download that began with rubbish has wrong bytes at its end, and is begun anew.
    most = sum(map(len, image.layers[1:])) + len(image.layers[3]) + CONFIG
    assert sum(map(len, image.layers[1:])) - len(rubbish) <= sent[0] <= most
    for name, layer in zip(image.names, image.layers, strict=True):
        assert rig.layer(name).read_bytes() == layer
    aside = [path.name.partition(".")[0] for path in (rig.store / "corrupt").iterdir()]
    assert sorted(set(aside) & set(image.names)) == sorted(bad)
    assert len(aside) == len(bad) + 1, aside  # the download that began with rubbish, too


def mount_small(point: Path, options: str) -> None:
    point.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", point], check=False)
    if done.returncode != 0:
        pytest.skip("mounting a small disk needs root")


def test_a_read_only_scratch_and_none(rig: Rig) -> None:
    image = rig.push("degraded", 3 * MB)
    mount_small(rig.scratch, "size=1m,ro")
    try:
        machine = rig.start(image)
        job = rig.job(image)
        settings = vm.Settings(memory_mb=1024)
        without = vm.run_job(job, None, rig.iso, settings, results=rig.directory / "none", log=rig.directory / "log")
        outcome = machine.end()
    finally:
        subprocess.run(["umount", "-l", rig.scratch], check=True)
    assert outcome["status"] == 0, outcome["events"]
    assert "working without the store: scratch cannot be written" in outcome["events"]
    assert outcome["downloaded_bytes"] == image.bytes
    assert without.exit_code == 0, without.message
    assert "working without the store: there is no scratch" in (without.log / "events.txt").read_text()
    assert without.downloaded_bytes == image.bytes


def test_a_scratch_on_another_file_system_that_gets_full(rig: Rig) -> None:
    """What is there is used; the rest goes without the store, and the disk is not left full."""
    image = rig.push("full", 10 * MB)
    mount_small(rig.scratch, "size=6m")
    rig.put(image.layers[0])
    try:
        outcome = rig.run(image)
        kept = [path.name for path in rig.layer_files()]
        left = list((rig.store / "partial").iterdir())
    finally:
        subprocess.run(["umount", "-l", rig.scratch], check=True)
    assert outcome["status"] == 0, outcome["events"]
    assert "working without the store: it cannot be written (full?)" in outcome["events"]
    assert "2 layers: 1 in the store, 1 to fetch" in outcome["events"]
    assert kept == image.names[:1]
    assert left == []


def test_a_registry_with_every_fault_that_passes(rig: Rig) -> None:
    """A token, 500, 429 with Retry-After, a connection cut in a layer, wrong bytes, a hang: one layer each."""
    image = rig.push("troubled", MB, MB + 1, 12 * MB, MB + 3, MB + 4)
    _, errors, busy, cut, wrong, hang = image.names
    with serving() as server:
        for layer in image.layers:
            server.add(layer)
        server.token = "let-me-in"
        server.faults_of = {
            errors: deque(["500", "503"]),
            busy: deque(["429:7"]),
            cut: deque(["", "cut:3000000"]),
            wrong: deque(["wrong"]),
            hang: deque(["hang"]),
        }
        outcome = rig.run(rig.job(image, [f"{server.blobs_url} {server.root}/token".replace("127.0.0.1", "10.0.2.2")]))
    assert outcome["status"] == 0, outcome["events"]
    assert not any(server.faults_of.values())
    expected = dict(zip(image.names, map(len, image.layers), strict=True))
    expected[wrong] *= 2
    assert dict(server.sent) == expected  # what came before the connection broke was kept
    for name, cause in ((errors, "HTTP status 500, again in"), (busy, "HTTP status 429, again in 7 s")):
        assert f"sha256:{name[:12]}: 10.0.2.2:{server.port}: {cause}" in outcome["events"]
    for name in (cut, hang):
        assert f"sha256:{name[:12]}: 10.0.2.2:{server.port}: " in outcome["events"]
    assert f"sha256:{wrong[:12]} from 10.0.2.2:{server.port} has wrong bytes, set aside" in outcome["events"]
    assert [path.name.partition(".")[0] for path in (rig.store / "corrupt").iterdir()] == [wrong]
    for name, layer in zip(image.names, image.layers, strict=True):
        assert rig.layer(name).read_bytes() == layer


def test_registries_that_do_not_get_better(rig: Rig) -> None:
    """Down, 500, 429 and a hang end in a temporary exit; 401, 404 and wrong bytes in a failure. Both say all of it."""
    image = rig.push("refused", MB)
    layer, name = image.layers[-1], image.names[-1]
    rig.put(image.layers[0])
    with socket.socket() as nobody, ExitStack() as open_servers:
        nobody.bind(("127.0.0.1", 0))
        down = f"10.0.2.2:{nobody.getsockname()[1]}"

        def server(fault: str) -> str:
            made = open_servers.enter_context(serving())
            made.add(layer)
            made.always = fault
            return f"10.0.2.2:{made.port}"

        busy, broken, silent = server("429:9999"), server("500"), server("hang")
        locked, missing, liar = server("401"), server("404"), server("wrong")

        def job(*hosts: str) -> Path:
            return rig.job(image, [f"http://{host}/v2/x/blobs" for host in hosts], first="B2D_FETCH_TRIES=2")

        another = Path(shutil.copytree(rig.scratch, rig.directory / "another-scratch"))
        later = rig.start(job(down, broken, busy, silent))
        never = rig.start(job(locked, missing, liar), scratch=another)
        assert never.process.wait(timeout=900) == 1
        assert later.process.wait(timeout=900) == 1
    told = next(line for line in later.errors.read_text().splitlines() if line.startswith("error:"))
    # What the server wants, and a little more at every boot of a job.
    assert f"tried again in {9999 + 300} s: image {image.reference}: layer sha256:{name}: " in told
    for host, cause in ((broken, "HTTP status 500"), (busy, "HTTP status 429")):
        assert f"{host}: {cause}" in told
    assert f"{down}: " in told
    assert f"{silent}: " in told
    assert "Traceback" not in later.events()
    refused = never.end()
    assert f"layer sha256:{name}: wrong bytes twice, the last from {liar}" in refused["message"]
    for host, cause in ((locked, "HTTP status 401"), (missing, "HTTP status 404")):
        assert f"{host}: {cause}" in refused["message"]


def test_an_image_larger_than_memory_runs_from_a_data_disk(rig: Rig) -> None:
    """Two gigabytes unpacked, in a machine of one; most of it compresses well, as emulation unpacks slowly."""
    plain = [busybox_layer(), random_layer(1, 96 * MB), zeros_layer(2048 * MB)]
    image = rig.push_layers("large", plain)
    script = "ls -l /large | grep -q 2147483648 && sha256sum </data-1 > /root/shared/results/out.txt"
    outcome = rig.run(image, "--memory", "1GB", "--disk", "8GB", script=script)
    assert outcome["status"] == 0, outcome["events"]
    assert outcome["guest_memory_mb"] < 1024
    assert len((Path(outcome["results"]) / "out.txt").read_text()) == 64 + 4
