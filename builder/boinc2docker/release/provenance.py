"""The provenance of a release: an in-toto statement with an SLSA v1 predicate.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md, https://slsa.dev/spec/v1.0/provenance
Nothing in it depends on when or where the release was made, so every rebuild writes the same bytes. Who made it, only
a signature proves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from boinc2docker.base.lock import LockedPackage
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError
from boinc2docker.release.documents import canonical

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD = "urn:boinc2docker:build:release:1"
BUILDER = "urn:boinc2docker:builder:invoke-release:1"


@dataclass(frozen=True)
class Source:
    """The commit of a release. ``files`` are the digests of the files that pin everything else."""

    commit: str
    tree: str
    files: Mapping[str, Digest]


@dataclass(frozen=True)
class Statement:
    """A provenance: the digests of the release's files, and their sources."""

    version: str
    epoch: int
    source: Source
    previous: str | None
    subjects: Mapping[str, Digest]


def render(statement: Statement, packages: Iterable[LockedPackage], base: Digest) -> str:
    """The statement as canonical JSON. ``packages`` are all that ``base`` was built from, with the tools."""
    source = statement.source
    inputs: list[dict[str, Any]] = [
        {"name": "boinc2docker", "digest": {"gitCommit": source.commit, "gitTree": source.tree}},
        *({"name": name, "digest": _sha256(digest)} for name, digest in sorted(source.files.items())),
        *(
            {"name": f"{package.name} {package.version}", "uri": _uri(package), "digest": _sha256(package.digest)}
            for package in sorted(packages)
        ),
    ]
    definition = {
        "buildType": BUILD,
        "externalParameters": {"version": statement.version, "previous": statement.previous},
        "internalParameters": {"SOURCE_DATE_EPOCH": statement.epoch},
        "resolvedDependencies": inputs,
    }
    details = {
        "builder": {"id": BUILDER},
        "byproducts": [{"name": "base ISO", "digest": _sha256(base)}],
    }
    return canonical(
        {
            "_type": STATEMENT,
            "subject": [{"name": name, "digest": _sha256(one)} for name, one in sorted(statement.subjects.items())],
            "predicateType": PREDICATE,
            "predicate": {"buildDefinition": definition, "runDetails": details},
        }
    )


def parse(text: str) -> Statement:
    """Reads a statement. Raises InputError for what ``render`` did not write."""
    try:
        value = json.loads(text)
        definition = value["predicate"]["buildDefinition"]
        if (value["_type"], value["predicateType"], definition["buildType"]) != (STATEMENT, PREDICATE, BUILD):
            raise InputError("bad-provenance", "expected an SLSA v1 provenance of a boinc2docker release")
        first, *others = definition["resolvedDependencies"]
        files = {one["name"]: Digest(one["digest"]["sha256"]) for one in others if "uri" not in one}
        return Statement(
            version=str(definition["externalParameters"]["version"]),
            epoch=int(definition["internalParameters"]["SOURCE_DATE_EPOCH"]),
            source=Source(str(first["digest"]["gitCommit"]), str(first["digest"]["gitTree"]), files),
            previous=definition["externalParameters"]["previous"],
            subjects={one["name"]: Digest(one["digest"]["sha256"]) for one in value["subject"]},
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError("bad-provenance", f"cannot be read: {error!r}") from error


def packages(text: str) -> dict[str, Digest]:
    """The digests of its Debian packages, by name and version. Raises InputError, also for duplicates."""
    try:
        inputs = json.loads(text)["predicate"]["buildDefinition"]["resolvedDependencies"]
        listed = [(str(one["name"]), Digest(one["digest"]["sha256"])) for one in inputs if "uri" in one]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError("bad-provenance", f"cannot be read: {error!r}") from error
    if len(found := dict(listed)) != len(listed):
        raise InputError("bad-provenance", "it names a package twice")
    return found


def _uri(package: LockedPackage) -> str:
    """A URI without a host: every mirror of the archive has the file."""
    return f"debian:{package.archive}/{package.pool}"


def _sha256(digest: Digest) -> dict[str, str]:
    return {"sha256": digest.hex}
