"""Jobs that go wrong in a real machine: one clear line, never a silent wait."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import call, needs
from tests.e2e.images import old_archive

pytestmark = [pytest.mark.machine, pytest.mark.exhaustive, pytest.mark.timeout(900)]


def test_a_container_that_needs_too_much_memory_is_said_to_be_killed_by_it(iso: Path, tmp_path: Path) -> None:
    needs("qemu-system-x86_64")
    archive = old_archive(tmp_path / "image.tar")
    words = ["--iso", iso, "--memory", "700MB", "--", "/bin/sh", "-c", "tail /dev/zero"]
    done = call("run", "--json", archive, *map(str, words))
    assert done.returncode == 137, done.stderr
    assert "memory" in json.loads(done.stdout)["message"]


def test_a_panic_of_the_guest_ends_in_one_line(iso: Path, tmp_path: Path) -> None:
    needs("qemu-system-x86_64")
    job = tmp_path / "job"
    job.mkdir()
    (job / "boinc_app").write_text("#!/bin/sh\necho c >/proc/sysrq-trigger\n")
    done = call("run", "--job", job, "--iso", iso)
    assert done.returncode == 125
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "panic" in errors[0]
    assert "Traceback" not in done.stderr
