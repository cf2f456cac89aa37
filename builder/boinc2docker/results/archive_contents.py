"""The contents of an archive, without unpacking it: names and digests to compare, single files, last bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from boinc2docker.atomic import explain
from boinc2docker.digest import Digest
from boinc2docker.formats.bounded_tar import malformed
from boinc2docker.results.archive import Kind, Limits, members, opened


@dataclass(frozen=True)
class Content:
    """A file's digest and size in bytes, or a link's target. ``source`` is the member that holds the bytes."""

    digest: Digest | None
    bytes: int
    target: str = ""
    source: str = field(default="", compare=False)


def contents(archive: Path, limits: Limits) -> dict[str, Content]:
    """Every file and link of ``archive`` by name. Directories, times, modes and order are ignored.

    Raises InputError for a rejected archive, UnreadableError if it cannot be read now.
    """
    found: dict[str, Content] = {}
    with opened(archive) as source:
        for member in members(source, limits):
            if member.kind is Kind.FILE:
                found[member.name] = Content(Digest.of_chunks(member.chunks()), member.size, source=member.name)
            elif member.kind is Kind.LINK:
                found[member.name] = Content(None, 0, member.target)
            elif member.kind is Kind.HARD_LINK:
                found[member.name] = found[member.target]
    return found


def read_members(archive: Path, limits: Limits, sizes: Mapping[str, int]) -> dict[str, bytes]:
    """The files named in ``sizes``, if present, each at most that many bytes. Checks the whole archive on the way."""
    contents: dict[str, bytes] = {}
    with opened(archive) as source:
        for member in members(source, limits):
            if member.kind is Kind.FILE and member.name in sizes:
                if member.size > sizes[member.name]:
                    raise malformed(f"{member.name} has {member.size} bytes, expected at most {sizes[member.name]}")
                contents[member.name] = b"".join(member.chunks())
    return contents


def extract(archive: Path, limits: Limits, targets: Mapping[str, Path]) -> None:
    """Writes the files named in ``targets`` to the paths given there, and nothing else.

    Raises as ``contents``; HostError for a full disk.
    """
    with opened(archive) as source:
        for member in members(source, limits):
            if member.kind is Kind.FILE and member.name in targets:
                try:
                    with targets[member.name].open("xb") as output:
                        output.writelines(member.chunks())
                except OSError as error:
                    raise explain(error, f"unpack {archive.name}") from error


def tails(archive: Path, limits: Limits, names: Sequence[str], most: int) -> dict[str, bytes]:
    """The last ``most`` bytes of each of the files, if present. Checks the whole archive on the way.

    Raises as ``contents``.
    """
    last_bytes: dict[str, bytes] = {}
    with opened(archive) as source:
        for member in members(source, limits):
            if member.kind is Kind.FILE and member.name in names:
                last = b""
                for chunk in member.chunks():
                    last = (last + chunk)[-most:]
                last_bytes[member.name] = last
    return last_bytes
