"""Judging a release: every byte against the others, documents against the ISO, on request a rebuild."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from boinc2docker import console, iso, leftovers, places
from boinc2docker.errors import BuilderError, InputError
from boinc2docker.release import checkout, integrity, inventory, make, minisign, provenance, sizes
from boinc2docker.release.contents import SUMS, Names
from boinc2docker.release.documents import canonical
from boinc2docker.release.integrity import Problem, Verdict
from boinc2docker.release.inventory import Listed
from boinc2docker.release.make import Options

PUBLISHED_KEY = places.DATA / "minisign.pub"
"""The public key that signs this project's releases, once it has one."""


def verify(
    directory: Path, *, key: str | None, rebuild: bool, previous: Path | None = None, unsigned: bool = False
) -> int:
    """Judges a release, says what was found, and returns 1 if something is wrong. Raises BuilderErrors.

    The key that must have signed is ``key``, else this checkout's ``minisign.pub`` if there is one. Without either, and
    with ``unsigned`` (for what is not signed yet), a key that lies in the release counts, which anybody can put there.
    ``previous`` is what the release was given as the one before it, if it was; a rebuild's notes need it.
    """
    required, key_from = (minisign.read_key(key), "option") if key else (None, "release")
    if required is None and not unsigned and PUBLISHED_KEY.is_file():
        required, key_from = minisign.read_key(str(PUBLISHED_KEY)), "checkout"
    verdict = integrity.judge(directory, required)
    problems = list(verdict.problems)
    if not problems:
        problems += documents(directory, verdict.names)
    if rebuild and not problems:
        problems += compare_rebuilt(directory, Options(verdict.names.version, previous=previous))
    _report(directory, verdict, problems, key_from, rebuild)
    return 1 if problems else 0


def documents(directory: Path, names: Names) -> list[Problem]:
    """What in the documents does not follow from the ISO, or is not valid by their own tools."""
    image = iso.inspect(directory / names.iso)
    if image.identity is None or image.problems:
        return [Problem(names.iso, "; ".join(image.problems) or "is not an ISO of this project")]

    found = []
    if image.identity.version != names.version:
        found.append(Problem(names.iso, f"says that it is version {image.identity.version}"))
    for name, wrong in _judges(directory, image, image.identity, names).items():
        try:
            text = wrong((directory / name).read_text(encoding="utf-8"))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
            text = f"cannot be read: {error!r}"
        except BuilderError as error:
            text = f"cannot be read: {error.message}"
        if text is not None:
            found.append(Problem(name, text))
    return found


def _judges(
    directory: Path, image: iso.Report, identity: iso.Identity, names: Names
) -> dict[str, Callable[[str], str | None]]:
    """What judges a document, by its name: a function that tells what is wrong with a text, or fails if it is none."""
    from boinc2docker.release import cyclonedx_sbom, spdx_sbom  # their libraries are not there for ordinary commands

    def parts(statement: str) -> list[Listed]:
        return inventory.listing(image, identity, provenance.packages(statement))

    def origin(text: str) -> str | None:
        statement = provenance.parse(text)
        if (statement.version, statement.epoch) != (names.version, identity.epoch):
            return "speaks of another version or date"
        try:
            parts(text)
        except InputError as error:
            return error.message
        return None

    def listing(tool: ModuleType) -> Callable[[str], str | None]:
        def wrong(text: str) -> str | None:
            if invalid := tool.problems(text):
                return f"is not valid: {invalid[0]}"
            listed = tool.listed(text)
            try:
                expected = parts((directory / names.provenance).read_text(encoding="utf-8"))
            except (ValueError, OSError, InputError):
                return None  # the provenance is to blame, which its own judge says
            different = inventory.difference(listed, expected)
            return different and f"does not list exactly the parts of the ISO; {different}"

        return wrong

    def unless(holds: Callable[[str], bool], otherwise: str) -> Callable[[str], str | None]:
        return lambda text: None if holds(text) else otherwise

    right_sizes = canonical(sizes.document(sizes.of(image)))
    return {
        names.identity: unless(identity.text().__eq__, "is not the identity of the ISO"),
        names.sizes: unless(right_sizes.__eq__, "does not tell the sizes of the ISO"),
        names.provenance: origin,
        names.cyclonedx: listing(cyclonedx_sbom),
        names.spdx: listing(spdx_sbom),
    }


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
    with leftovers.scratch() as work:
        rebuilt = make.rebuilt_sums(statement.epoch, options, work)
        recorded = {line[66:]: line[:64] for line in (directory / SUMS).read_text(encoding="utf-8").splitlines()}
        different = [file for file in sorted(recorded) if rebuilt[file].hex != recorded[file]]
        explained = _explained(directory / names.iso, work / names.iso) if names.iso in different else ""
    return [
        Problem(file, "differs from what this checkout builds" + (explained if file == names.iso else ""))
        for file in different
    ]


def _explained(released: Path, rebuilt: Path) -> str:
    try:
        return ":\n" + iso.render_difference(iso.compare(released, rebuilt))
    except BuilderError as error:
        return f" ({error.message})"


_SIGNED = {
    "option": "signed by the minisign key {}, which --key gives",
    "checkout": f"signed by the minisign key {{}}, that of this checkout's {PUBLISHED_KEY.name}",
    "release": "signed by the minisign key {}, a key that came with the release, as a forger's would:\n"
    "  compare it with one that you have from elsewhere, or give that with --key",
}


def _report(directory: Path, verdict: Verdict, problems: list[Problem], key_from: str, rebuilt: bool) -> None:
    version, signer = verdict.names.version, verdict.signer
    machine: dict[str, Any] = {
        "release": version,
        "intact": not problems,
        "signed_by": signer,
        "key_from": key_from if signer else None,
        "rebuilt": rebuilt and not problems,
        "problems": [{"file": problem.file, "message": problem.text} for problem in problems],
    }
    if problems:
        lines = [f"{directory}: not as it was released", *(f"  {one.file}: {one.text}" for one in problems)]
    else:
        signed = _SIGNED[key_from].format(signer) if signer else "not signed: nothing tells who made it"
        lines = [f"{directory}: boinc2docker {version}, every file as it was released", f"  {signed}"]
        lines += ["  built again from this checkout: the same bytes"] if rebuilt else []
    console.report(machine, "\n".join(lines))
