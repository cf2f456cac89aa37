"""Podman of an ordinary user, as BOINC's client on Linux runs it: the same bytes, in files of that user's."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from boinc2docker.container.files import slot_files
from boinc2docker.container.run import lay_out, run_job
from boinc2docker.container.wrapper import Engine
from boinc2docker.digest import Digest
from boinc2docker.image.reference import Archive
from boinc2docker.job.job import Job
from boinc2docker.job.job_directory import prepare
from tests.conftest import needs
from tests.container.conftest import require_podman
from tests.container.test_engines import RESULTS, SAME_RESULTS
from tests.e2e.images import old_archive

pytestmark = pytest.mark.timeout(600)

USER = 65534
# Podman maps a range of numbers for the user, which the system has to allow: here in a namespace of this call's own.
AS_USER = """\
#!/bin/sh
exec unshare --mount sh -c '
	mount --bind "$0/subids" /etc/subuid && mount --bind "$0/subids" /etc/subgid || exit 125
	exec setpriv --reuid {user} --regid {user} --clear-groups env -i PATH="$PATH" HOME="$0/home" \\
		XDG_RUNTIME_DIR="$0/run" CONTAINERS_STORAGE_CONF="$0/storage.conf" CONTAINERS_CONF="$0/containers.conf" \\
		{podman} "$@"
' {room} "$@"
"""


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory that the user can reach and owns, with a ``podman`` in ``bin`` that is the user's."""
    needs("podman", "newuidmap", "runc", "unshare", "setpriv")
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory(prefix="b2d-rootless-") as name:
        room = Path(name)
        for part in ("bin", "home", "run"):
            (room / part).mkdir()
        (room / "subids").write_text(f"{pwd.getpwuid(USER).pw_name}:300000:65536\n")
        (room / "storage.conf").write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{room}/home/graph"\nrunroot = "{room}/run/storage"\n'
        )
        (room / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        )
        program = room / "bin" / "podman"
        program.write_text(AS_USER.format(user=USER, podman=shutil.which("podman"), room=shlex.quote(str(room))))
        program.chmod(0o755)
        for path in (room, *room.rglob("*")):
            os.chown(path, USER, USER)
        require_podman("env", f"PATH={room}/bin:{os.environ['PATH']}")
        yield room
        for path in room.rglob("pause.pid"):  # Podman keeps a process that holds the user's namespaces
            os.kill(int(path.read_text()), signal.SIGKILL)


def test_an_ordinary_user_gets_the_same_bytes(
    room: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{room}/bin:{os.environ['PATH']}")
    slot = room / "slot"
    job = Job(command=("/bin/sh", "-c", f"id -u >&2; {SAME_RESULTS}"), user="1000:7", network="none")
    prepared = prepare(job, Archive(old_archive(tmp_path / "image.tar")), slot / "shared")
    lay_out(slot, slot_files(job, prepared.image), bundle)
    for path in (slot, *slot.rglob("*")):
        os.chown(path, USER, USER)
    outcome = run_job(slot, Engine.PODMAN, results=tmp_path / "results", log=tmp_path / "log", timeout=300)
    assert outcome.exit_code == 0, outcome.message
    assert (tmp_path / "log" / "container" / "stderr.txt").read_text() == "1000\n"
    assert Digest.of_file(slot / "shared" / "results.tgz").hex == RESULTS
    assert {path.lstat().st_uid for path in slot.rglob("*")} == {USER}
