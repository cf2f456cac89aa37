"""``store ls|verify|gc PROJECT``: files that submitting has staged in a BOINC project.

``verify`` sets damaged files aside: what a submitter finds missing, it stages again.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from boinc2docker import console
from boinc2docker.project.garbage import GRACE, Repaired, Staged, Survey, collect, repair, survey, verify
from boinc2docker.project.project import Project
from boinc2docker.sizes import parse_seconds


def is_project(path: Path) -> bool:
    """Whether this is a BOINC project's directory, and no host's store."""
    return (path / "config.xml").is_file()


def project_store_command(action: str, path: Path, *, grace: str | None = None, dry_run: bool = False) -> int:
    """Does ``action`` (``ls``, ``verify`` or ``gc``) and reports it.

    Returns the exit code: 1 if ``verify`` found a bad file. Raises UsageError, InputError, HostError.
    """
    project = Project.open(path)
    if action == "gc":
        _collect(project, parse_seconds(grace, "--grace", zero=True) if grace else GRACE, dry_run=dry_run)
        return 0
    found = survey(project)
    if action == "verify":
        return _verify(project, found)
    _list(project, found)
    return 0


def _list(project: Project, found: Survey) -> None:
    kinds: dict[str, list[Staged]] = defaultdict(list)
    for one in found.files:
        kinds[one.kind].append(one)
    machine = []
    lines = []
    for kind, files in sorted(kinds.items()):
        live = [one for one in files if one.path.name in found.live]
        size, needed = sum(one.bytes for one in files), sum(one.bytes for one in live)
        machine.append({"kind": kind, "files": len(files), "bytes": size, "live": len(live), "live_bytes": needed})
        lines.append(f"{kind:<8} {len(files):>8}  {_mb(size):>12}   needed: {len(live):>8}  {_mb(needed):>12}")
    total = sum(one.bytes for one in found.files)
    lines.append(f"{len(found.files)} staged files, {_mb(total)}")
    console.report({"project": str(project.root), "bytes": total, "kinds": machine}, "\n".join(lines))


def _verify(project: Project, found: Survey) -> int:
    with console.progress("verifying staged files", len(found.files), unit="files") as advance:
        bad = []
        for one in found.files:
            bad += list(verify((one,)))
            advance(1)
    done = repair(project, found, bad) if bad else []
    lines = [f"wrong: {one.path}: {_told(one)}" for one in done]
    lines.append(f"{len(found.files) - len(bad)} files are right, {len(bad)} are not")
    machine = {"project": str(project.root), "files": len(found.files), "bad": [str(one.path) for one in bad]}
    machine["set_aside"] = [str(one.path) for one in done if one.set_aside]
    console.report(machine, "\n".join(lines))
    return 1 if bad else 0


def _told(one: Repaired) -> str:
    if not one.set_aside:
        return "its .md5 was made anew"
    return "set aside" + ("; jobs need it: submit a job of the same image and inputs to bring it back" * one.needed)


def _collect(project: Project, grace: float, *, dry_run: bool) -> None:
    gone = collect(project, grace=grace, dry_run=dry_run)
    freed = sum(one.bytes for one in gone)
    kinds = {kind: sum(1 for one in gone if one.kind == kind) for kind in sorted({one.kind for one in gone})}
    verb = "would remove" if dry_run else "removed"
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    console.report(
        {"project": str(project.root), "removed": kinds, "files": len(gone), "freed_bytes": freed, "dry_run": dry_run},
        f"{verb} {len(gone)} staged files, {_mb(freed)}" + (f" ({told})" if told else ""),
    )


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
