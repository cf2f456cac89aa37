"""Makes all documents of a release from its ISO and its commit. Pure: the same inputs give the same texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from boinc2docker.base.lock import Lock
from boinc2docker.digest import Digest
from boinc2docker.iso import Report
from boinc2docker.release import contents, inventory, notes, provenance, sizes
from boinc2docker.release.contents import NOTES, SUMS, Names
from boinc2docker.release.documents import canonical
from boinc2docker.release.inventory import Inventory
from boinc2docker.release.notes import Previous
from boinc2docker.release.provenance import Source, Statement


@dataclass(frozen=True)
class Material:
    """The sources of the documents, besides the ISO."""

    source: Source
    lock: Lock
    changelog: str
    previous: Previous | None


def documents(names: Names, image: Report, parts: Inventory, material: Material) -> dict[str, str]:
    """Texts by name: every reproducible file except the ISO, and ``SHA256SUMS``."""
    from boinc2docker.release import cyclonedx_sbom, spdx_sbom  # their libraries are not there for ordinary commands

    assert image.identity is not None  # noqa: S101 - the inventory was taken from it
    size = sizes.of(image)
    previous = material.previous
    packages = inventory.named(image.identity)
    texts = {
        names.identity: image.identity.text(),
        names.cyclonedx: cyclonedx_sbom.render(parts),
        names.spdx: spdx_sbom.render(parts),
        names.sizes: canonical(sizes.document(size)),
        NOTES: notes.render(names, material.changelog, packages, previous, size, commit=material.source.commit),
    }
    digests = {names.iso: image.digest, **digests_of(texts)}
    statement = Statement(
        version=names.version,
        epoch=image.identity.epoch,
        source=material.source,
        previous=previous.version if previous else None,
        subjects=digests,
    )
    texts[names.provenance] = provenance.render(statement, material.lock.packages, image.identity.base.digest)
    return {**texts, SUMS: contents.sums_text({**digests, **digests_of(texts)})}


def digests_of(texts: Mapping[str, str]) -> dict[str, Digest]:
    """The digest of each text in UTF-8."""
    return {name: Digest.of(text.encode()) for name, text in texts.items()}
