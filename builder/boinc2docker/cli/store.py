"""``store ls|verify|gc PATH``: a host's store or a project's staged files, their facts and repairs."""

from __future__ import annotations

import time
from pathlib import Path

from boinc2docker import console
from boinc2docker.cli.command import Command, Example, Given
from boinc2docker.cli.option import Option, group, values
from boinc2docker.cli.readers import existing
from boinc2docker.cli.staged_files import is_project, project_store_command
from boinc2docker.errors import UsageError
from boinc2docker.sizes import parse_bytes
from boinc2docker.store.host_store import BUDGET, collect, verify
from boinc2docker.store.store_survey import Survey, find_store, survey

ACTIONS = {
    "ls": "List the layers of a host's store, or what is staged in a project.",
    "verify": "Check every file, and set damaged ones aside.",
    "gc": "Remove what is not needed.",
}
OPTIONS = (
    Option("action", "What to do.", "argument", noun="ACTION", choices=ACTIONS, required=True, group="Arguments"),
    Option(
        "store_path",
        "Scratch directory of a host, such as build/scratch, or a BOINC project's directory.",
        "argument",
        read=existing,
        noun="DIR",
        required=True,
        group="Arguments",
    ),
    *group(
        "Collection",
        Option("budget", "gc of a host's store: keep at most this much, such as 10GB (default).", noun="SIZE"),
        Option(
            "grace",
            "gc of a project: keep unneeded files for this long after their last use, such as 0s (default 1d).",
            noun="TIME",
        ),
        Option("dry_run", "gc: say what would be removed, and remove nothing.", kind="flag"),
    ),
)


def store_command(
    action: str, place: Path, *, budget: str | None = None, grace: str | None = None, dry_run: bool = False
) -> int:
    """Does ``action`` to the store at or below ``place``, or to the staged files of the project ``place``.

    Returns the exit code: 1 if ``verify`` found a bad layer. Raises UsageError, InputError, HostError.
    """
    if action not in ACTIONS:
        raise UsageError("bad-action", f"store: expected {', '.join(ACTIONS)}, found {action[:40]!a}")
    if action != "gc" and (budget is not None or grace is not None or dry_run):
        raise UsageError("bad-option", "--budget, --grace and --dry-run are for `store gc`")
    if is_project(place):
        if budget is not None:
            raise UsageError("bad-option", "--budget is for a host's store; a project keeps what its jobs need")
        return project_store_command(action, place, grace=grace, dry_run=dry_run)
    if grace is not None:
        raise UsageError("bad-option", "--grace is for a project's staged files")
    root = find_store(place)
    if action == "ls":
        _list(survey(root, time.time()))
    elif action == "verify":
        return _verify(root)
    else:
        _collect(root, parse_bytes(budget, "--budget") if budget else BUDGET, dry_run=dry_run)
    return 0


def _list(found: Survey) -> None:
    layers = sorted(found.layers, key=lambda one: (-one.tick, one.item.name))
    machine = {
        "store": str(found.root),
        "bytes": found.bytes,
        "layers": [
            {
                "digest": f"sha256:{one.item.name}",
                "bytes": one.item.bytes,
                "age_seconds": round(one.age),
                "images": list(one.images),
                "in_use": one.in_use,
            }
            for one in layers
        ],
        "images": found.images,
        "machines": found.machines,
        "foreign": [item.name for item in found.foreign],
        "partial": [{"name": item.name, "bytes": item.bytes, "age_seconds": round(item.age)} for item in found.partial],
        "corrupt": [{"name": item.name, "bytes": item.bytes, "age_seconds": round(item.age)} for item in found.corrupt],
        "locks": [{"name": item.name, "age_seconds": round(item.age)} for item in found.locks],
    }
    lines = [
        f"sha256:{one.item.name[:12]}…  {_mb(one.item.bytes):>10}  {_age(one.age):>8}  "
        f"{'in use' if one.in_use else '      '}  {_names(one.images)}"
        for one in layers
    ]
    rest = [(len(found.partial), "partial"), (len(found.corrupt), "corrupt"), (len(found.locks), "locks")]
    rest.append((len(found.foreign), "that are no layers"))
    lines.append(
        f"{len(layers)} layers of {len(found.images)} images, {_mb(found.bytes)} in all, "
        f"{found.machines} machines running" + "".join(f", {count} {what}" for count, what in rest if count)
    )
    console.report(machine, "\n".join(lines))


def _verify(root: Path) -> int:
    done = verify(root)
    lines = [f"set aside: {ascii(name)[1:-1]}" for name in done.bad]
    lines.append(f"{done.layers} layers are right ({_mb(done.bytes)}), {len(done.bad)} were not")
    console.report(
        {"store": str(root), "layers": done.layers, "bytes": done.bytes, "bad": list(done.bad)}, "\n".join(lines)
    )
    return 1 if done.bad else 0


def _collect(root: Path, budget: int, *, dry_run: bool) -> None:
    gone = collect(root, budget, dry_run=dry_run)
    freed = sum(one.bytes for one in gone)
    verb = "would remove" if dry_run else "removed"
    lines = [f"{verb} {one.kind}/{ascii(one.name)[1:-1]}  {_mb(one.bytes)}  ({one.why})" for one in gone]
    lines.append(f"{verb} {len(gone)} things, {_mb(freed)}")
    removed = [{"kind": one.kind, "name": one.name, "bytes": one.bytes, "why": one.why} for one in gone]
    console.report({"store": str(root), "removed": removed, "freed_bytes": freed, "dry_run": dry_run}, "\n".join(lines))


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def store(given: Given) -> int:
    """Does the action; returns the exit code. Raises BuilderErrors."""
    typed = values(OPTIONS, given)
    how = {name: typed[name] for name in ("budget", "grace", "dry_run")}
    return store_command(typed["action"], typed["store_path"], **how)


COMMAND = Command(
    "store",
    store,
    OPTIONS,
    (
        Example("store ls build/scratch", "The layers that `run` keeps on this machine."),
        Example("store gc --budget 10GB build/scratch", "Remove the least recently used layers."),
        Example("store gc --dry-run ~/projects/sample", "What is staged in a project and needed by no job."),
    ),
    "`verify` ends with 1 if it found a damaged file.",
)
