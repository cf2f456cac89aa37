"""A machine restored from its saved state, as far as a plain directory can show it.

After a restore the descriptor that a shell has kept leads to other bytes than the name of its file. So it does here:
the name gets a new inode with the same content, and something else is written into the old one.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.guest.machine import Machine, engine_socket
from tests.guest.scripts import with_needs
from tests.guest.test_agent import HEADER

PARTS = "deliver digest"
# restore: what a restore does to the open canary. count: what is known of restores.
RESTORE = """
    restore() {
        cp "$B2D_SHARE/.boinc2docker/canary" "$B2D_SHARE/.boinc2docker/copy"
        exec 8<>"$B2D_SHARE/.boinc2docker/canary"
        mv -f "$B2D_SHARE/.boinc2docker/copy" "$B2D_SHARE/.boinc2docker/canary"
        head -c 65536 /dev/zero >&8
        exec 8>&-
    }
    once() { [ ! -e "$B2D_RUN/once" ] && : >"$B2D_RUN/once"; }
    count() { echo "$(canary_restores)"; }
"""


def restore(machine: Machine) -> None:
    """The same from outside."""
    canary = machine.share / ".boinc2docker" / "canary"
    with canary.open("r+b") as old:
        content = canary.read_bytes()
        canary.unlink()
        canary.write_bytes(content)
        old.write(bytes(len(content)))


def test_a_restore_is_noticed_and_counted_once(machine: Machine) -> None:
    script = (
        "canary_start; canary_look; count; restore; canary_look; count; canary_look; count; restore; canary_look; count"
    )
    assert machine.sh(RESTORE + script, parts=PARTS) == b"0\n1\n1\n2\n"
    assert machine.log().count("restored from its saved state") == 2


def test_all_shells_of_a_machine_notice_the_same_restore(machine: Machine) -> None:
    # The inner shell is the job's: it has the descriptor of the outer one, and sources the files anew.
    script = """
        canary_start; restore; canary_look; count
        sh -c 'for part in NEEDED; do . "$B2D_HOME/lib/$part.sh"; done
            canary_look; canary_restores; restore; canary_look; canary_restores'
    """
    inner = RESTORE.replace("'", "")
    script = script.replace("NEEDED", " ".join(with_needs(["canary"])))
    script = script.replace("canary_look; canary_restores; restore", inner + "canary_look; canary_restores; restore")
    assert machine.sh(RESTORE + script + "canary_look; count", parts=PARTS) == b"1\n1\n2\n2\n"
    assert machine.log().count("restored from its saved state") == 2


def test_a_dead_descriptor_is_noticed(machine: Machine) -> None:
    script = 'canary_start; dd() { return 1; }; limit() { shift; "$@"; }; canary_look; count'
    assert machine.sh(RESTORE + script, parts=PARTS) == b"1\n"


def test_looks_without_end_are_no_restore(machine: Machine) -> None:
    script = "CANARY_LINES=3; canary_start; for look in 1 2 3 4 5 6 7 8; do canary_look; done; count; restore; "
    script += "canary_look; count"
    assert machine.sh(RESTORE + script, parts=PARTS) == b"0\n1\n"


def test_without_a_canary_nothing_is_noticed_and_nothing_fails(machine: Machine) -> None:
    script = "share_write() { return 1; }; canary_start || echo none; canary_look && count"
    assert machine.sh(RESTORE + script, parts=PARTS) == b"none\n0\n"


def test_a_canary_that_somebody_removes_is_no_restore_for_ever(machine: Machine) -> None:
    script = 'canary_start; rm "$CANARY_FILE"; restore() { :; }; canary_look; canary_look; count'
    assert machine.sh(RESTORE + script, parts=PARTS) == b"0\n"


@pytest.fixture
def holders(machine: Machine) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts processes that the machine sees as its own."""
    started: list[subprocess.Popen[bytes]] = []

    def start(script: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([machine.shell, "-c", script], env=machine.environment, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        (Path(machine.environment["B2D_PROC"]) / str(process.pid)).symlink_to(f"/proc/{process.pid}")
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_programs_with_files_of_the_host_open_are_ended(
    machine: Machine, holders: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    (machine.root / "scratch").mkdir()
    writer = holders('exec 3>"$B2D_SHARE/a log"; echo open; sleep 100')
    reader = holders('exec 3>"$B2D_SCRATCH/layer"; echo open; sleep 100')
    # A shell that rewrites in place has the file open at most for a moment.
    shell = holders('exec 3>"$B2D_SHARE/heartbeat"; echo open; sleep 0.5; exec 3>&-; sleep 100')
    other = holders('exec 3>"$B2D_WORK/log"; echo open; sleep 100')
    machine.sh(RESTORE + "canary_start; restore; canary_look", parts=PARTS)
    assert writer.wait(5) == reader.wait(5) == -9
    assert shell.poll() is None
    assert other.poll() is None


def test_the_canary_itself_ends_nobody(machine: Machine, holders: Callable[[str], subprocess.Popen[bytes]]) -> None:
    canary = machine.share / ".boinc2docker" / "canary"
    canary.parent.mkdir()
    canary.touch()
    holder = holders(f'exec 9<"{canary}"; echo open; sleep 100')
    second = holders("echo open; sleep 100")
    machine.sh(RESTORE + "canary_start; restore; canary_look", parts=PARTS)
    assert holder.poll() is None
    assert second.poll() is None


# --- what was going on is done again ---


def test_a_file_is_handed_over_again(machine: Machine) -> None:
    (machine.root / "data").write_bytes(b"x" * 100_000)
    script = """
        canary_start
        limit() { shift; case $* in *whole.part*) echo x >>"$STUB/copies"; ! once || restore ;; esac; "$@"; }
        deliver "$1" whole && count
    """
    assert machine.sh(RESTORE + script, str(machine.root / "data"), parts=PARTS) == b"1\n"
    assert (machine.stub / "copies").read_text() == "x\nx\n"
    assert (machine.share / "whole").read_bytes() == b"x" * 100_000


def test_inputs_are_brought_again(machine: Machine) -> None:
    (machine.share / "input").write_text("first")
    script = """
        canary_start
        tar_gnu() { if once; then restore; fi; return 1; }
        work_prepare && inputs_bring && count
    """
    script = script.replace("tar_gnu() {", 'inputs_same() { echo x >>"$STUB/copies"; }; tar_gnu() {')
    assert machine.sh(RESTORE + script, parts="inputs") == b"1\n"
    assert (machine.stub / "copies").read_text() == "x\nx\n"
    assert "once more" in machine.log()
    assert (machine.work / "job" / "input").read_text() == "first"


def test_a_layer_is_read_again_before_it_is_called_corrupt(machine: Machine) -> None:
    (machine.root / "layer").write_text("layer")
    digest = (
        "sha256:" + subprocess.run(["sha256sum"], input=b"layer", capture_output=True, check=True).stdout[:64].decode()
    )
    script = """
        canary_start
        sha256sum() { if once; then restore; echo "0000  -"; else command sha256sum; fi; }
        digest_verify "$1" "$2" && count
        digest_verify "sha256:0000" "$2" || echo corrupt
    """
    said = machine.sh(RESTORE + script, digest, str(machine.root / "layer"), parts=PARTS)
    assert said == b"1\ncorrupt\n"


def test_an_image_is_loaded_again_and_the_restore_is_in_the_record(machine: Machine) -> None:
    machine.job(HEADER + machine.image(b"one", b"two") + "job_run -- true\n")
    (machine.stub / "at-load").write_text(
        f'{RESTORE}\nonce || exit 0; restore; echo "flate: corrupt input before offset 82277"; exit 1\n'
    )
    assert machine.run_job() == (0, "")
    assert "flate: corrupt input before offset 82277: once more, since the machine was restored" in machine.log()
    assert machine.record()["restores"] == 1


def test_the_agent_notices_while_the_job_runs(make: Callable[[str], Machine]) -> None:
    machine = make("busybox")
    machine.job('echo up >"$B2D_JOB/up"; while [ ! -e "$B2D_JOB/go" ]; do sleep 0.1; done\n')
    with engine_socket(machine.root / "docker.sock"):
        machine.boot()
        machine.wait_for((machine.work / "job" / "up").exists)
        restore(machine)
        machine.wait_for(lambda: "restored from its saved state" in machine.log())
        before = (machine.share / "heartbeat").stat().st_mtime_ns
        machine.wait_for(lambda: (machine.share / "heartbeat").stat().st_mtime_ns > before)
        (machine.work / "job" / "go").touch()
        machine.wait_for(machine.completion.exists)
        machine.cut_power()
    assert machine.completion.read_text() == "0\n0\n"
    assert machine.record()["restores"] == 1
