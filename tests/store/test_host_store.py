"""The host's image store, written by the guest's own functions where they matter, and by bad luck everywhere else."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from boinc2docker import console
from boinc2docker.cli.store import store_command
from boinc2docker.errors import HostError, InputError, UsageError
from boinc2docker.store.host_store import DAY, Removal, collect, plan, verify
from boinc2docker.store.store_survey import DIRECTORIES, LIVES_SECONDS, find_store, survey
from tests.equipment.checkout import PROJECT_ROOT
from tests.guest.scripts import with_needs

LIB = PROJECT_ROOT / "guest/overlay/opt/boinc2docker/lib"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    root = tmp_path / "scratch" / "boinc2docker" / "v1"
    for name in DIRECTORIES:
        (root / name).mkdir(parents=True, exist_ok=True)
    return root


def aged(path: Path, seconds: float) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then), follow_symlinks=False)
    return path


def layer(store: Path, size: int, *, tick: int = 0, images: str = "", seed: object = 0) -> str:
    data = random.Random(f"{seed} {size} {tick}").randbytes(size)
    name = hashlib.sha256(data).hexdigest()
    (store / "layers" / "sha256" / name).write_bytes(data)
    if tick:
        (store / "used" / name).write_text(f"tick {tick}\n{images}")
    return name


def guest(store: Path, script: str, vm: str = "5a9c0d5e-0000-4000-8000-000000000001") -> None:
    """Runs the guest's own functions on this store, as a machine with this name."""
    run = store.parent.parent.parent / f"run.{vm}"
    run.mkdir(exist_ok=True)
    parts = "".join(f". {LIB}/{name}.sh\n" for name in with_needs(["budget", "lock"]))
    code = f"{parts}\nSTORE={store} STORE_HOST={store} STORE_VM={vm}\n{script}\n"
    env = {"B2D_RUN": str(run), "B2D_CONSOLE": "/dev/null", "B2D_LOG": str(run / "log"), "B2D_GUESTLOG": "/bin/true"}
    subprocess.run(["sh", "-euc", code], env={**os.environ, **env}, check=True, timeout=30)


def test_reads_what_the_guest_writes(store: Path) -> None:
    first, second, third = (layer(store, size) for size in (1000, 2000, 3000))
    guest(store, f"budget_used python:3 {first} {second}\nbudget_used ruby:3 {second}")
    mark = (
        f"printf '%s %s\\n' {first} 1000 {'e' * 64} 77 >$B2D_RUN/store-running\n"
        f"budget_mark main\nbudget_mark beat\nlock_try {'e' * 64}"
    )
    guest(store, mark)
    found = survey(store, time.time())
    told = {one.item.name: (one.item.bytes, one.tick, one.images, one.in_use) for one in found.layers}
    assert told == {
        first: (1000, 1, ("python:3",), True),
        second: (2000, 2, ("ruby:3", "python:3"), False),
        third: (3000, 0, (), False),
    }
    assert found.images == {"python:3": 2, "ruby:3": 1}
    assert found.machines == 1
    assert found.wanted == frozenset({first, "e" * 64})
    assert [item.name for item in found.locks] == ["e" * 64]
    # Without room, what nobody uses goes, least recently used first; what a machine has marked stays.
    assert [one.name for one in collect(store, 3500)] == [third]
    assert [one.name for one in collect(store, 0)] == [second]
    assert (store / "layers" / "sha256" / first).exists()
    assert (store / "locks" / ("e" * 64)).exists()
    assert not (store / "used" / second).exists()


def test_verify_sets_aside_and_never_destroys(store: Path) -> None:
    good = [layer(store, size, seed="good") for size in (0, 10, 3 << 20)]
    layers = store / "layers" / "sha256"
    flipped, short, empty, other = (layer(store, 5000, seed=seed) for seed in range(4))
    data = bytearray((layers / flipped).read_bytes())
    data[2500] ^= 1
    (layers / flipped).write_bytes(data)
    (layers / short).write_bytes(bytes(data[:100]))
    (layers / empty).write_bytes(b"")
    (layers / other).write_bytes((layers / good[1]).read_bytes())
    (layers / "README").write_text("foreign")
    (layers / ("f" * 64)).mkdir()
    (layers / ("a" * 64)).symlink_to("/etc/passwd")
    os.mkfifo(layers / ("b" * 64))
    (layers / "probe.x").write_text("a machine tries whether it can write")
    before = {path.name: path.lstat().st_size for path in layers.iterdir()}
    done = verify(store)
    assert set(done.bad) == {flipped, short, empty, other, "README", "f" * 64, "a" * 64, "b" * 64}
    assert (done.layers, done.bytes) == (3, (3 << 20) + 10)
    assert {path.name for path in layers.iterdir()} == {*good, "probe.x"}
    moved = {path.name.rpartition(".")[0]: path.lstat().st_size for path in (store / "corrupt").iterdir()}
    assert moved == {name: before[name] for name in done.bad}
    assert Path("/etc/passwd").exists()
    assert verify(store).bad == ()


def test_what_is_old_and_nobodys_goes(store: Path) -> None:
    kept, locked = layer(store, 100, tick=1), "c" * 64
    for kind, name, seconds in [
        ("corrupt", "old.1", DAY + 10),
        ("corrupt", "new.2", DAY - 10),
        ("partial", f"{'d' * 64}.vm", DAY + 10),
        ("partial", f"{'d' * 64}.vn", DAY - 10),
        ("partial", f"{locked}.vm", DAY + 10),
        ("used", "running.dead", DAY + 10),
        ("used", "running.paused", DAY - 10),
    ]:
        (store / kind / name).write_bytes(b"x" * 50)
        aged(store / kind / name, seconds)
    for name, seconds in ((locked, 30), ("e" * 64, DAY + 10)):
        (store / "locks" / name / "vm").mkdir(parents=True)
        (store / "locks" / name / "vm" / "heartbeat").write_text("1")
        for path in (
            store / "locks" / name / "vm" / "heartbeat",
            store / "locks" / name / "vm",
            store / "locks" / name,
        ):
            aged(path, seconds)
    (store / "corrupt" / "tree.1" / "deep").mkdir(parents=True)
    (store / "corrupt" / "tree.1" / "link").symlink_to(store / "layers")
    for path in (
        store / "corrupt" / "tree.1" / "link",
        store / "corrupt" / "tree.1" / "deep",
        store / "corrupt" / "tree.1",
    ):
        aged(path, DAY + 10)
    expected = {
        ("corrupt", "old.1"), ("corrupt", "tree.1"), ("partial", f"{'d' * 64}.vm"), ("used", "running.dead"),
        ("locks", "e" * 64),
    }  # fmt: skip
    told = collect(store, 10**9, dry_run=True)
    assert {(one.kind, one.name) for one in told} == expected
    assert {(one.kind, one.name) for one in collect(store, 10**9)} == expected
    assert collect(store, 10**9) == []
    left = {path.relative_to(store).as_posix() for path in store.rglob("*") if not path.is_dir()}
    assert left == {
        f"layers/sha256/{kept}", f"used/{kept}", "corrupt/new.2", f"partial/{'d' * 64}.vn", f"partial/{locked}.vm",
        "used/running.paused", f"locks/{locked}/vm/heartbeat",
    }  # fmt: skip


def test_the_budget_takes_the_least_used_first(store: Path) -> None:
    names = [layer(store, 1000, tick=tick) for tick in (5, 3, 9, 1)]
    never = layer(store, 1000, seed="never")
    (store / "corrupt" / "x.1").write_bytes(bytes(500))
    (store / "partial" / f"{'d' * 64}.vm").write_bytes(bytes(500))
    order = [one.name for one in plan(survey(store, time.time()), 0)]
    assert order == ["x.1", f"{'d' * 64}.vm", never, names[3], names[1], names[0], names[2]]
    assert [one.name for one in plan(survey(store, time.time()), 5200)] == ["x.1", f"{'d' * 64}.vm"]
    assert plan(survey(store, time.time()), 6000) == []
    assert plan(survey(store, time.time()), 5999) == [Removal("corrupt", "x.1", 500, "over the budget")]


def test_a_mark_protects_as_long_as_its_machine_lives(store: Path) -> None:
    name = layer(store, 1000, tick=1)
    mark = store / "used" / "running.vm"
    mark.write_text(f"beat main 1 5.0\n{name} 1000\nrubbish\n")
    assert collect(store, 0) == []
    aged(mark, LIVES_SECONDS + 5)
    assert [one.name for one in collect(store, 0)] == [name]


def test_a_machine_that_marks_while_we_evict_keeps_its_layer(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = layer(store, 1000, tick=1)
    found = survey(store, time.time())
    monkeypatch.setattr("boinc2docker.store.host_store.survey", lambda *_: found)
    (store / "used" / "running.vm").write_text(f"beat main 1 5.0\n{name} 1000\n")
    assert collect(store, 0) == []
    assert (store / "layers" / "sha256" / name).exists()
    assert list((store / "partial").iterdir()) == []


def test_machines_that_write_all_the_time_do_not_disturb(store: Path) -> None:
    """Layers, locks and downloads come and go while we look and tidy: no error."""
    stop = threading.Event()

    def machine(number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            name = layer(store, 2000, tick=turn, seed=number)
            lock = store / "locks" / name / f"vm{number}"
            lock.mkdir(parents=True, exist_ok=True)
            (lock / "heartbeat").write_text(str(turn))
            (store / "partial" / f"{name}.vm{number}").write_bytes(b"x")
            (store / "layers" / "sha256" / name).unlink(missing_ok=True)
            for path in (store / "partial" / f"{name}.vm{number}", lock / "heartbeat"):
                path.unlink(missing_ok=True)
            for path in (lock, lock.parent):
                path.rmdir()

    machines = [threading.Thread(target=machine, args=(number,)) for number in range(3)]
    for one in machines:
        one.start()
    try:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            survey(store, time.time())
            collect(store, 10**9)
    finally:
        stop.set()
        for one in machines:
            one.join()


@pytest.mark.parametrize("name", DIRECTORIES)
def test_links_in_place_of_directories_are_refused(name: str, store: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (victim / "sha256").mkdir(parents=True)
    (victim / "old.1").write_bytes(b"x")
    aged(victim / "old.1", 9 * DAY)
    moved = store / name
    moved.rename(tmp_path / "aside")
    moved.symlink_to(victim)
    with pytest.raises(InputError) as caught:
        find_store(store)
    assert caught.value.code == "bad-store"
    with pytest.raises(InputError):
        collect(store, 0)
    assert (victim / "old.1").exists()


def test_garbage_in_control_files_is_survived(store: Path) -> None:
    noise = random.Random(1)
    names = [layer(store, 100, seed=seed) for seed in range(6)]
    for name, data in zip(
        names, [b"", b"\0" * 9, noise.randbytes(3000), b"tick 99999999999999999\nx", b"tick 5"], strict=False
    ):
        (store / "used" / name).write_bytes(data)
    (store / "used" / names[5]).mkdir()
    (store / "used" / "running.x").write_bytes(noise.randbytes(100_000))
    (store / "used" / "running.y").mkdir()
    (store / "locks" / "file").write_bytes(b"x")
    (store / "partial" / "no-dot").write_bytes(b"x")
    found = survey(store, time.time())
    assert [one.tick for one in found.layers if one.item.name == names[4]] == [5]
    assert sum(one.tick for one in found.layers) == 5
    collect(store, 0)
    assert not list((store / "layers" / "sha256").iterdir())


def test_where_a_store_is_found(store: Path, tmp_path: Path) -> None:
    scratch = store.parent.parent
    for path in (tmp_path, scratch, store.parent, store):
        assert find_store(path) == store
    for path, said in ((tmp_path / "absent", "not a directory"), (store / "layers", "no layers are stored in")):
        with pytest.raises(InputError, match=said) as caught:
            find_store(path)
        assert caught.value.code == "no-store"
        assert "layers of an archive travel with each job" in str(caught.value.hint)
    (store / "format").write_text("2\n")
    with pytest.raises(InputError) as caught:
        find_store(store)
    assert caught.value.code == "other-store"


def test_the_command(store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    name = layer(store, 2_500_000, tick=1, images="python:3\nbad\x1b[31m name\nruby:3\n")
    bad = layer(store, 700, seed="bad")
    (store / "layers" / "sha256" / bad).write_bytes(b"x")
    store_command("ls", store)
    text = capsys.readouterr().out
    assert f"sha256:{name[:12]}…      2.5 MB" in text
    assert "python:3, ruby:3" in text
    assert "2 layers of 2 images, 2.5 MB in all, 0 machines running" in text
    assert "\x1b" not in text
    console.configure(json=True)
    try:
        for action, options in (("ls", {}), ("verify", {}), ("gc", {"budget": "1MB", "dry_run": True})):
            store_command(action, store, **options)  # type: ignore[arg-type]
    finally:
        console.configure()
    listed, verified, collected = parse_all(capsys.readouterr().out)
    assert [one["digest"] for one in listed["layers"]] == [f"sha256:{name}", f"sha256:{bad}"]
    assert verified["bad"] == [bad]
    assert [one["kind"] for one in collected["removed"]] == ["corrupt", "layers"]
    assert (store / "layers" / "sha256" / name).exists()
    for action, budget in (("rm", None), ("ls", "1GB"), ("gc", "much")):
        with pytest.raises(UsageError):
            store_command(action, store, budget=budget)


def parse_all(text: str) -> list[dict[str, Any]]:
    """Several JSON documents, one after the other."""
    found, decoder = [], json.JSONDecoder()
    while text := text.lstrip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


def test_a_store_on_a_read_only_disk(tiny_disk: Path) -> None:
    for name in DIRECTORIES:
        (tiny_disk / "v1" / name).mkdir(parents=True, exist_ok=True)
    store = find_store(tiny_disk)
    bad = layer(store, 100)
    (store / "layers" / "sha256" / bad).write_bytes(b"x")
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    assert [one.item.name for one in survey(store, time.time()).layers] == [bad]
    for work in (lambda: verify(store), lambda: collect(store, 0)):
        with pytest.raises(HostError) as caught:
            work()
        assert caught.value.code == "no-permission"
