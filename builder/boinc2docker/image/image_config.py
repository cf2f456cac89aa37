"""Reads an image's config (OCI image-spec, config.md) out of untrusted JSON. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from boinc2docker.digest import Digest
from boinc2docker.errors import InputError

MAX_JSON = 8 << 20
"""Bytes of the largest JSON document that is read; twice Docker's limit for a manifest."""


@dataclass(frozen=True)
class Config:
    """The parts of a config that a job needs."""

    os: str
    architecture: str
    variant: str
    diff_ids: tuple[Digest, ...]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]

    @property
    def platform(self) -> str:
        """Such as ``linux/arm64/v8``."""
        return "/".join(part for part in (self.os or "?", self.architecture or "?", self.variant) if part)

    @property
    def runs_here(self) -> bool:
        """True for linux/amd64, the platform of all volunteers' machines; x86-64-v2 and the like count as amd64."""
        return self.os == "linux" and self.architecture == "amd64"


def load_json(data: bytes, what: str) -> Any:
    """Parses ``data`` as JSON. Raises InputError that calls it ``what``."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError("bad-archive", f"{what} is not JSON: {type(error).__name__}") from error


def parse_config(data: bytes, what: str) -> Config:
    """Reads a config. Raises InputError that names ``what`` if a field is missing or of another type."""
    top = an_object(load_json(data, what), what)
    rootfs = an_object(top.get("rootfs"), f"rootfs of {what}")
    inner = an_object(top.get("config") or {}, f"config of {what}")
    return Config(
        os=a_text(top.get("os"), f"os of {what}"),
        architecture=a_text(top.get("architecture"), f"architecture of {what}"),
        variant=a_text(top.get("variant"), f"variant of {what}"),
        diff_ids=tuple(a_digest(text, f"a diff_id of {what}") for text in texts(rootfs.get("diff_ids"), what)),
        entrypoint=texts(inner.get("Entrypoint"), f"Entrypoint of {what}"),
        command=texts(inner.get("Cmd"), f"Cmd of {what}"),
    )


def an_object(value: Any, what: str) -> dict[str, Any]:
    """``value`` if it is a JSON object, else InputError."""
    if not isinstance(value, dict):
        raise InputError("bad-archive", f"{what}: expected a JSON object, found {_kind(value)}")
    return value


def a_list(value: Any, what: str) -> list[Any]:
    """``value`` if it is a JSON array, else InputError."""
    if not isinstance(value, list):
        raise InputError("bad-archive", f"{what}: expected a JSON array, found {_kind(value)}")
    return value


def a_text(value: Any, what: str) -> str:
    """``value`` if it is a string, ``""`` for null, else InputError."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError("bad-archive", f"{what}: expected a string, found {_kind(value)}")
    return value


def texts(value: Any, what: str) -> tuple[str, ...]:
    """An array of strings, ``()`` for null, else InputError. Very old Dockers wrote a bare string for one."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    return tuple(a_text(item, what) for item in a_list(value, what))


def a_digest(value: Any, what: str) -> Digest:
    """A ``sha256:<hex>`` string, else InputError."""
    text = a_text(value, what)
    if not text.startswith("sha256:"):
        raise InputError("bad-archive", f"{what}: expected a digest sha256:…, found {text[:80]!r}")
    return Digest(text.removeprefix("sha256:"))


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
