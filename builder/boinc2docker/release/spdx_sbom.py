"""The parts of a release as an SPDX 2.3 document, made and checked by spdx-tools.

https://spdx.github.io/spdx-spec/v2.3/
"""

from __future__ import annotations

import functools
import io
import json
import re
from collections.abc import Sequence

from boinc2docker.digest import Digest
from boinc2docker.release.documents import LICENCE, NAME, canonical, identifier, missing, moment
from boinc2docker.release.inventory import Inventory, Listed, Part

try:
    from license_expression import Licensing, get_spdx_licensing
    from spdx_tools.spdx.model import (
        Actor,
        ActorType,
        Checksum,
        ChecksumAlgorithm,
        CreationInfo,
        Document,
        ExternalPackageRef,
        ExternalPackageRefCategory,
        ExtractedLicensingInfo,
        Package,
        PackagePurpose,
        Relationship,
        RelationshipType,
        SpdxNoAssertion,
    )
    from spdx_tools.spdx.parser.error import SPDXParsingError
    from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
    from spdx_tools.spdx.writer.json.json_writer import write_document_to_stream
except ModuleNotFoundError as error:
    raise missing(error) from error

_PRODUCT = "SPDXRef-iso"
_AGENT = "SPDXRef-agent"


def render(inventory: Inventory) -> str:
    """The document as canonical JSON."""
    parts = [_package(part) for part in inventory.parts]
    contained = [_agent(inventory), *parts]
    document = Document(
        creation_info=CreationInfo(
            spdx_version="SPDX-2.3",
            spdx_id="SPDXRef-DOCUMENT",
            name=inventory.iso_name,
            document_namespace=f"urn:uuid:{identifier('spdx', inventory.iso.hex)}",
            creators=[Actor(ActorType.TOOL, f"{NAME}-{inventory.version}")],
            created=moment(inventory.epoch).replace(tzinfo=None),
        ),
        packages=[_product(inventory), *contained],
        relationships=[
            Relationship("SPDXRef-DOCUMENT", RelationshipType.DESCRIBES, _PRODUCT),
            *(Relationship(_PRODUCT, RelationshipType.CONTAINS, one.spdx_id) for one in contained),
        ],
        extracted_licensing_info=_extracted(inventory.parts),
    )
    stream = io.StringIO()
    write_document_to_stream(document, stream, validate=False)
    return canonical(json.loads(stream.getvalue()))


def _product(inventory: Inventory) -> Package:
    return Package(
        spdx_id=_PRODUCT,
        name=NAME,
        version=inventory.version,
        file_name=inventory.iso_name,
        download_location=SpdxNoAssertion(),
        files_analyzed=False,
        checksums=_checksums(inventory.iso),
        source_info=f"base {inventory.base} ({inventory.base_iso})",
        primary_package_purpose=PackagePurpose.OPERATING_SYSTEM,
    )


def _agent(inventory: Inventory) -> Package:
    return Package(
        spdx_id=_AGENT,
        name=f"{NAME}-agent",
        version=inventory.version,
        file_name="/boot/boinc.img",
        download_location=SpdxNoAssertion(),
        files_analyzed=False,
        checksums=_checksums(inventory.agent),
        license_declared=_licensing().parse(LICENCE),
        primary_package_purpose=PackagePurpose.APPLICATION,
    )


def _package(part: Part) -> Package:
    package = part.package
    return Package(
        spdx_id="SPDXRef-deb-" + re.sub(r"[^A-Za-z0-9.]", "-", package.name),
        name=package.name,
        version=package.version,
        file_name=package.pool,
        supplier=Actor(ActorType.ORGANIZATION, "Debian"),
        download_location=SpdxNoAssertion(),
        files_analyzed=False,
        checksums=_checksums(package.digest),
        source_info=f"built from the Debian source package {package.source} {package.source_version}",
        license_declared=_licensing().parse(part.licence.expression),
        license_comment=f"from its debian/copyright (sha256 {part.notice.hex}), which covers the whole source package",
        external_references=[ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", part.purl)],
    )


@functools.cache
def _licensing() -> Licensing:
    """SPDX' grammar and names; making it takes a fraction of a second."""
    return get_spdx_licensing()


def _checksums(digest: Digest) -> list[Checksum]:
    return [Checksum(ChecksumAlgorithm.SHA256, digest.hex)]


def _extracted(parts: Sequence[Part]) -> list[ExtractedLicensingInfo]:
    """One entry a ``LicenseRef``: where its text stands."""
    where: dict[str, tuple[str, str]] = {}
    for part in parts:
        for reference, name in part.licence.references:
            where.setdefault(reference, (name, part.package.name))
    return [
        ExtractedLicensingInfo(
            license_id=reference,
            license_name=name,
            extracted_text=f"See {name} in /usr/share/doc/{package}/copyright of the image and of the package.",
        )
        for reference, (name, package) in sorted(where.items())
    ]


def problems(text: str) -> list[str]:
    """What the library's parser and validator find wrong with a document."""
    try:
        document = JsonLikeDictParser().parse(json.loads(text))
    except SPDXParsingError as error:
        return list(error.get_messages())
    return [message.validation_message for message in validate_full_spdx_document(document)]


def listed(text: str) -> list[Listed]:
    """All that a document names, the ISO among it. Raises ValueError, KeyError or TypeError for what is no document."""
    document = json.loads(text)
    return [
        Listed.of(
            one["name"],
            one["versionInfo"],
            " ".join(each["referenceLocator"] for each in one.get("externalRefs", ())),
            [(each["algorithm"], each["checksumValue"]) for each in one["checksums"]],
        )
        for one in (*document["packages"], *document.get("files", ()))
    ]
