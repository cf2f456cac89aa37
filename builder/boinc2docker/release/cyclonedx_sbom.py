"""The parts of a release as a CycloneDX 1.6 document, made and checked by cyclonedx-python-lib.

https://cyclonedx.org/docs/1.6/json/
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from boinc2docker.digest import Digest
from boinc2docker.release.documents import LICENCE, NAME, canonical, identifier, missing, moment
from boinc2docker.release.inventory import Inventory, Listed, Part

try:
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.contact import OrganizationalEntity
    from cyclonedx.model.license import LicenseExpression
    from cyclonedx.output.json import JsonV1Dot6
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    from packageurl import PackageURL
except ModuleNotFoundError as error:
    raise missing(error) from error


def render(inventory: Inventory) -> str:
    """The document as canonical JSON."""
    product = Component(
        name=NAME,
        type=ComponentType.OPERATING_SYSTEM,
        version=inventory.version,
        bom_ref=inventory.iso_name,
        hashes=_hashes(inventory.iso),
        description=f"boot image {inventory.iso_name}, base {inventory.base} ({inventory.base_iso})",
    )
    agent = Component(
        name=f"{NAME}-agent",
        type=ComponentType.APPLICATION,
        version=inventory.version,
        bom_ref="agent",
        hashes=_hashes(inventory.agent),
        licenses=[LicenseExpression(LICENCE)],
        purl=PackageURL("generic", None, f"{NAME}-agent", inventory.version),
        description="the overlay /boot/boinc.img: what runs a job in the guest",
    )
    components = [agent, *(_component(part) for part in inventory.parts)]
    bom = Bom(
        serial_number=identifier("cyclonedx", inventory.iso.hex),
        metadata=BomMetaData(component=product, timestamp=moment(inventory.epoch)),
        components=components,
    )
    bom.register_dependency(product, components)
    return canonical(json.loads(JsonV1Dot6(bom).output_as_string()))


def _component(part: Part) -> Component:
    package = part.package
    facts = {
        "source": f"{package.source} {package.source_version}",
        "archive": package.archive,
        "pool": package.pool,
        "copyright_sha256": part.notice.hex,
        **dict(part.licence.references),
    }
    return Component(
        name=package.name,
        type=ComponentType.LIBRARY,
        version=package.version,
        bom_ref=part.purl,
        supplier=OrganizationalEntity(name="Debian"),
        hashes=_hashes(package.digest),
        licenses=[LicenseExpression(part.licence.expression)],
        purl=PackageURL.from_string(part.purl),
        properties=[Property(name=f"{NAME}:{name}", value=value) for name, value in facts.items()],
    )


def _hashes(digest: Digest) -> Sequence[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=digest.hex)]


def problems(text: str) -> list[str]:
    """The problems that the library's strict validator finds in a document."""
    found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text, all_errors=True)
    return [str(one).splitlines()[0] for one in found or ()]


def listed(text: str) -> list[Listed]:
    """Everything that a document lists, the ISO included. Raises ValueError, KeyError or TypeError."""
    document = json.loads(text)
    return [
        Listed.of(
            one["name"],
            one["version"],
            one.get("purl", ""),
            [(each["alg"], each["content"]) for each in one["hashes"]],
        )
        for one in _with_nested([document["metadata"]["component"], *document["components"]])
    ]


def _with_nested(components: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for one in components:
        yield one
        yield from _with_nested(one.get("components", ()))
