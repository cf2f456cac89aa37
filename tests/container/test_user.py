"""Whose process a job's is: Docker's rules, and nothing of the image's files that a shell could take for a command."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.equipment.checkout import PROJECT_ROOT

USER = PROJECT_ROOT / "guest" / "container" / "lib" / "user.sh"
PASSWD = "root:x:0:0::/root:/bin/sh\nworker:x:1000:100::/home/w w:/bin/sh\n"
GROUP = "root:x:0:\nstaff:x:50:worker,other\nmore:x:60:worker\nbad:x:$(touch odd);id:worker\n"


def found(tmp_path: Path, user: str, passwd: str | None = PASSWD) -> str:
    (tmp_path / "group").write_text(GROUP)
    if passwd is not None:
        (tmp_path / "passwd").write_text(passwd)
    script = (
        f'. \'{USER}\'; user_find "$1" && echo "$USER_ID|$USER_GROUP|$USER_GROUPS|$USER_HOME" || echo "$USER_ERROR"'
    )
    done = subprocess.run(
        ["busybox", "sh", "-euc", script, "sh", user],
        cwd=tmp_path,
        env={"USER_ETC": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not (tmp_path / "odd").exists()
    return done.stdout.rstrip("\n")


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", "0|0|0|/root"),
        ("worker", "1000|100|100,50,60|/home/w w"),
        ("1000", "1000|100|100,50,60|/home/w w"),
        ("worker:staff", "1000|50|50|/home/w w"),
        ("worker:7", "1000|7|7|/home/w w"),
        ("23", "23|0|0|/"),
        ("nobody", "unable to find user nobody: no matching entries in passwd file"),
        ("worker:nowhere", "unable to find group nowhere: no matching entries in group file"),
        ("$(touch odd)", "unable to find user $(touch odd): no matching entries in passwd file"),
    ],
)
def test_docker_s_rules(tmp_path: Path, user: str, expected: str) -> None:
    assert found(tmp_path, user) == expected


def test_an_image_without_users(tmp_path: Path) -> None:
    assert found(tmp_path, "", None) == "0|0|0|/"
