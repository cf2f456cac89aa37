"""An ISO's identity: ``/boinc2docker.json``, the volume id, and the list of digests ``/boinc2docker.sha256``.

The guest has the same text as ``/opt/boinc2docker/identity.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from boinc2docker.digest import Digest
from boinc2docker.errors import InputError
from boinc2docker.iso.site_area import RELEASED_DIGEST

IDENTITY_PATH = "/boinc2docker.json"
SUMS_PATH = "/boinc2docker.sha256"
OVERLAY_PATH = "/boot/boinc.img"
SITE_PATH = "/boot/site.img"
ADDED_PATHS = (IDENTITY_PATH, SUMS_PATH, OVERLAY_PATH, SITE_PATH)
"""The files that a remaster adds to its base."""
UNSUMMED_PATHS = (SUMS_PATH, SITE_PATH)
"""The files that are not in the list of digests: the list itself, and what a project may change."""

FORMAT = 1
_SUM_LINE = re.compile(r"(\\?)([0-9a-f]{64}) [ *](.+)")


@dataclass(frozen=True)
class BaseIdentity:
    """The base of an ISO; ``facts``, as far as known: kernel, docker, packages."""

    name: str
    digest: Digest
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Identity:
    """The identity of an ISO. ``edited`` are the base's changed files, with their digests in the base."""

    version: str
    base: BaseIdentity
    epoch: int
    overlay: Digest
    edited: Mapping[str, Digest]

    @property
    def volume_id(self) -> str:
        return volume_id(self.version)

    def text(self) -> str:
        """The canonical JSON: sorted keys, an indent of two, a final newline; equal identities are equal bytes."""
        value = {
            "format": FORMAT,
            "version": self.version,
            "volume_id": self.volume_id,
            "epoch": self.epoch,
            "base": {**self.base.facts, "name": self.base.name, "sha256": self.base.digest.hex},
            "overlay_sha256": self.overlay.hex,
            "site_sha256": RELEASED_DIGEST.hex,
            "edited": {path: digest.hex for path, digest in sorted(self.edited.items())},
            "added": sorted(ADDED_PATHS),
        }
        return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def parse_identity(text: bytes) -> Identity:
    """Reads ``/boinc2docker.json``. Raises InputError for another format."""
    try:
        value = json.loads(text)
        if value["format"] != FORMAT:
            raise InputError("unknown-format", f"expected identity format {FORMAT}, found {value['format']!r}")
        base = dict(value["base"])
        return Identity(
            version=str(value["version"]),
            base=BaseIdentity(name=str(base.pop("name")), digest=Digest.parse(base.pop("sha256")), facts=base),
            epoch=int(value["epoch"]),
            overlay=Digest.parse(value["overlay_sha256"]),
            edited={str(path): Digest.parse(found) for path, found in value["edited"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError("bad-identity", f"{IDENTITY_PATH} cannot be read: {error!r}") from error


def volume_id(version: str) -> str:
    """``B2D_<version>``, in the characters that ISO 9660 allows, at most 32."""
    return ("B2D_" + re.sub(r"[^A-Z0-9_]", "_", version.upper()))[:32]


def sums_text(digests: Mapping[str, Digest]) -> bytes:
    """The list of digests in the form ``sha256sum --check`` reads from the root of the mounted ISO.

    Its length depends on the paths alone. Names with a backslash or newline are escaped as GNU coreutils does.
    """
    lines = []
    for path in sorted(digests):
        name = path.removeprefix("/")
        escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        mark = "\\" if escaped != name else ""
        lines.append(f"{mark}{digests[path].hex}  {escaped}\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


def parse_sums(text: bytes) -> dict[str, Digest]:
    """Parses a list into path → digest. Raises InputError for a malformed line."""
    found = {}
    for number, line in enumerate(text.decode("utf-8", "surrogateescape").removesuffix("\n").split("\n"), start=1):
        match = _SUM_LINE.fullmatch(line)
        if match is None:
            raise InputError("bad-sums", f"{SUMS_PATH}, line {number}: expected a digest and a name")
        name = match[3]
        if match[1]:
            name = re.sub(r"\\([\\nr])", lambda escape: {"n": "\n", "r": "\r"}.get(escape[1], "\\"), name)
        found["/" + name] = Digest(match[2])
    return found
