"""``invoke verify-release``: every byte held against the others, documents against the ISO, on request a rebuild."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from builder import console, iso
from builder.errors import BuilderError, InputError
from ci.release import checkout, integrity, inventory, make, minisign, provenance, sizes
from ci.release.contents import SUMS, Names
from ci.release.documents import canonical
from ci.release.integrity import Problem
from ci.release.make import Options


def verify(directory: Path, *, key: str | None, rebuild: bool, previous: Path | None = None) -> int:
    """Judges a release, says what was found, and returns 1 if something is wrong. Raises BuilderErrors.

    ``previous`` is what the release was given as the one before it, if it was; a rebuild's notes need it.
    """
    verdict = integrity.judge(directory, minisign.read_key(key) if key else None)
    problems = list(verdict.problems)
    if not problems:
        problems += documents(directory, verdict.names)
    if rebuild and not problems:
        problems += compare_rebuilt(directory, Options(verdict.names.version, previous=previous))
    _report(directory, verdict.names, problems, verdict.signer, rebuild)
    return 1 if problems else 0


def documents(directory: Path, names: Names) -> list[Problem]:
    """What in the documents does not follow from the ISO, or is not valid by their own tools."""
    from ci.release import cyclonedx_sbom, spdx_sbom  # their libraries are not there for ordinary commands

    image = iso.inspect(directory / names.iso)
    if image.identity is None or image.problems:
        return [Problem(names.iso, "; ".join(image.problems) or "is not an ISO of this project")]

    def text(name: str) -> str:
        return (directory / name).read_text(encoding="utf-8")

    found = []
    if image.identity.version != names.version:
        found.append(Problem(names.iso, f"says that it is version {image.identity.version}"))
    if text(names.identity) != image.identity.text():
        found.append(Problem(names.identity, "is not the identity of the ISO"))
    if text(names.sizes) != canonical(sizes.document(sizes.of(image))):
        found.append(Problem(names.sizes, "does not tell the sizes of the ISO"))
    statement = provenance.parse(text(names.provenance))
    if (statement.version, statement.epoch) != (names.version, image.identity.epoch):
        found.append(Problem(names.provenance, "speaks of another version or date"))
    packages = inventory.named(image.identity)
    for name, tool in ((names.cyclonedx, cyclonedx_sbom), (names.spdx, spdx_sbom)):
        wrong = tool.problems(text(name))
        if wrong:
            found.append(Problem(name, f"is not valid: {wrong[0]}"))
        elif tool.packages(text(name)) != packages:
            found.append(Problem(name, "does not list exactly the packages of the ISO"))
    return found


def compare_rebuilt(directory: Path, options: Options) -> list[Problem]:
    """What differs when the release is made again. Raises InputError if this is not a checkout of its commit."""
    names = Names(options.version)
    statement = provenance.parse((directory / names.provenance).read_text(encoding="utf-8"))
    here = checkout.source()
    if here.commit != statement.source.commit:
        raise InputError(
            "other-commit",
            f"the release is of commit {statement.source.commit}, checked out is {here.commit}",
            hint=f"git checkout {statement.source.commit}",
        )
    with tempfile.TemporaryDirectory(prefix="boinc2docker-release-") as name:
        rebuilt = make.rebuilt_sums(statement.epoch, options, Path(name))
        recorded = {line[66:]: line[:64] for line in (directory / SUMS).read_text(encoding="utf-8").splitlines()}
        different = [file for file in sorted(recorded) if rebuilt[file].hex != recorded[file]]
        explained = _explained(directory / names.iso, Path(name) / names.iso) if names.iso in different else ""
    return [
        Problem(file, "differs from what this checkout builds" + (explained if file == names.iso else ""))
        for file in different
    ]


def _explained(released: Path, rebuilt: Path) -> str:
    try:
        return ":\n" + iso.render_difference(iso.compare(released, rebuilt))
    except BuilderError as error:
        return f" ({error.message})"


def _report(directory: Path, names: Names, problems: list[Problem], signer: str | None, rebuilt: bool) -> None:
    machine: dict[str, Any] = {
        "release": names.version,
        "intact": not problems,
        "signed_by": signer,
        "rebuilt": rebuilt and not problems,
        "problems": [{"file": problem.file, "message": problem.text} for problem in problems],
    }
    if problems:
        lines = [f"{directory}: not as it was released", *(f"  {one.file}: {one.text}" for one in problems)]
    else:
        signed = f"signed by the minisign key {signer}" if signer else "not signed: nothing tells who made it"
        lines = [f"{directory}: boinc2docker {names.version}, every file as it was released", f"  {signed}"]
        lines += ["  built again from this checkout: the same bytes"] if rebuilt else []
    console.report(machine, "\n".join(lines))
