"""ci/audit with a stand-in for pip-audit: every pin of every lock is asked about, whatever Python asks."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.equipment.checkout import PROJECT_ROOT

LOCKS = sorted((PROJECT_ROOT / "ci").glob("*.lock"))
PIN = re.compile(r"^([A-Za-z0-9._-]+==\S+)", re.MULTILINE)
PYTHON = """\
#!/bin/sh
# Stands in for Python, and for the pip-audit of the environment it makes.
for last; do :; done
case "$0 $1 $2" in
*'/pip-audit '*)
	cp "$last" "$ASKED/$(ls "$ASKED" | wc -l)"
	case " $* " in *' --strict '*) ;; *) exit 3 ;; esac # without it a package that nobody knows passes
	! grep -q "^$HOLE==" "$last"
	;;
*' -m venv') mkdir -p "$last/bin" && cp "$0" "$last/bin/python" && cp "$0" "$last/bin/pip-audit" ;;
esac
"""


def audit(tmp_path: Path, hole: str) -> tuple[int, list[str]]:
    """The exit code, and the files that were asked about."""
    asked, scratch, python = tmp_path / "asked", tmp_path / "scratch", tmp_path / "python"
    asked.mkdir()
    scratch.mkdir()
    python.write_text(PYTHON)
    python.chmod(0o755)
    own = {"PYTHON": str(python), "ASKED": str(asked), "TMPDIR": str(scratch), "HOLE": hole}
    done = subprocess.run([PROJECT_ROOT / "ci" / "audit"], env=os.environ | own, capture_output=True, check=False)
    assert not list(scratch.iterdir()), "nothing stays behind"
    return done.returncode, [path.read_text() for path in asked.iterdir()]


def test_audit_asks_about_every_pin_of_every_lock(tmp_path: Path) -> None:
    code, files = audit(tmp_path, hole="none")
    assert code == 0
    pinned = Counter(pin for path in LOCKS for pin in PIN.findall(path.read_text()))
    assert pinned["numpy==2.4.6"] < sum(count for pin, count in pinned.items() if pin.startswith("numpy==")), "two pins"
    assert Counter(pin for text in files for pin in PIN.findall(text)) == pinned
    digests = re.compile(r"--hash=sha256:\w+")
    assert sum(len(digests.findall(text)) for text in files) == sum(
        len(digests.findall(path.read_text())) for path in LOCKS
    )
    for text in files:
        found = [pin.partition("==")[0] for pin in PIN.findall(text)]
        assert len(found) == len(set(found)), "pip takes a name once"
        assert ";" not in text, "a pin with a marker is asked about on some Pythons only"


@pytest.mark.parametrize("hole", ["numpy", "pip-audit", "attrs"])
def test_a_hole_in_one_lock_is_a_failure_and_the_others_are_asked_about(tmp_path: Path, hole: str) -> None:
    code, files = audit(tmp_path, hole)
    assert code == 1
    assert set(PIN.findall("\n".join(files))) == {pin for path in LOCKS for pin in PIN.findall(path.read_text())}


def test_the_list_is_what_is_asked_about() -> None:
    listed = subprocess.run(
        [PROJECT_ROOT / "ci" / "audit", "--list"], capture_output=True, text=True, check=True
    ).stdout
    assert listed.split() == [f"ci/{path.name}" for path in LOCKS]
