"""A day of an assimilator in steps: ``python -m tests.crash.assimilation APP.TOML UPLOADS`` is what is recorded."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from boinc2docker.results import assimilate as module
from boinc2docker.results import index
from boinc2docker.results.arguments import Assimilate, WorkUnitError
from boinc2docker.results.settings import load
from tests.crash.recording import MARK
from tests.results.samples import log_tgz, tgz, upload, write_app

RULES = """
from pathlib import Path

def assimilate(result, store):
    if result.name == "wu_3" and not (Path(__file__).parent / "allowed").exists():
        raise ValueError("not yet")
    place = store.directory / "made" / "below"
    place.mkdir(parents=True)
    (place / "length").write_text(str(len(result.text("a.txt"))))
    store.record(length=len(result.text("a.txt")))
"""
STEPS = ("wu_1", "damaged", "lost", "wu_1 again", "wu_1 another", "wu_3", "wu_3 retried")


def prepare(app: Path, uploads: Path) -> Path:
    """Makes an app and what volunteers uploaded; returns the app's settings."""
    results = [tgz({"a.txt": f"result {number}".encode() * 500, "sub/b.txt": b"b"}) for number in range(4)]
    upload(uploads, "wu_1", results[1], log_tgz())
    upload(uploads, "wu_1", results[0], log_tgz(), replica=1)
    upload(uploads, "damaged", results[2][:-30], log_tgz())
    upload(uploads, "wu_3", results[3], log_tgz())
    return write_app(app, rules=RULES)


def step(app: Path, uploads: Path, name: str) -> None:
    """One call of the assimilator, or of `results retry`."""
    settings = load(app)
    if name == "lost":
        module.assimilate(settings, WorkUnitError("lost", mask=2))
    elif name.endswith(" retried"):
        (app.parent / "allowed").touch()
        with index.opened(settings.directory) as opened:
            row = opened.find("demo", name.removesuffix(" retried"))
        assert row is not None, "a row that was told is gone"
        module.retry(settings, row)
    else:
        work_unit, replica = name.partition(" ")[0], int(name.endswith("another"))
        files = sorted((uploads / "upload" / "3f").glob(f"{work_unit}_{replica}_*"))
        module.assimilate(settings, Assimilate(work_unit, tuple(files)))


def run(app: Path, uploads: Path, steps: Iterable[str] = STEPS) -> None:
    for name in steps:
        step(app, uploads, name)
        print(f"{MARK}{name}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
