"""Plans: what is looked at once, and where hosts are sent for layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from builder.work import Job, Shape, remote_input
from builder.work.boinc.app_files import without_project
from builder.work.boinc.plan import planning
from builder.work.reference import parse
from builder.work.remote_input import RemoteInput
from tests.work.archives import Sample, old_docker, tar

APP = "boinc2docker"


def test_a_remote_input_is_downloaded_once_however_many_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[RemoteInput] = []

    def obtain(one: RemoteInput) -> tuple[RemoteInput, Path]:
        asked.append(one)
        return replace(one, md5="0" * 32, size=3), tmp_path

    monkeypatch.setattr(remote_input, "obtain", obtain)
    image = tmp_path / "image.tar"
    image.write_bytes(tar(old_docker(Sample())))
    far = remote_input.parse("http://data.example/x")
    job = Job(command=("x",), remote_inputs=(far,))
    with planning(None, without_project(APP), parse(str(image)), job, Shape()) as planner:
        for number in range(3):
            planner.unit(job, f"job_{number}")
            planner.forget()
    assert asked == [far]
