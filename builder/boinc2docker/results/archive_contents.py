"""What an archive holds, as facts to compare: names and digests, without unpacking."""

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
    """A file's digest and bytes, or where a link leads. ``source`` is the member that holds the bytes."""

    digest: Digest | None
    bytes: int
    target: str = ""
    source: str = field(default="", compare=False)


def contents(archive: Path, limits: Limits) -> dict[str, Content]:
    """Every file and link of ``archive`` by name; directories, times, modes and order do not count.

    Raises InputError for an archive that is refused, UnreadableError if it cannot be read now.
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


def read_members(archive: Path, limits: Limits, wanted: Mapping[str, int]) -> dict[str, bytes]:
    """The files named in ``wanted``, each of at most that many bytes; the whole archive is checked on the way."""
    found: dict[str, bytes] = {}
    with opened(archive) as source:
        for member in members(source, limits):
            if member.kind is Kind.FILE and member.name in wanted:
                if member.size > wanted[member.name]:
                    raise malformed(f"{member.name} has {member.size} bytes, expected at most {wanted[member.name]}")
                found[member.name] = b"".join(member.chunks())
    return found


def extract(archive: Path, limits: Limits, wanted: Mapping[str, Path]) -> None:
    """Writes the files named in ``wanted`` to the paths given there, and nothing else.

    Raises as ``contents``; HostError for a full disk.
    """
    with opened(archive) as source:
        for member in members(source, limits):
            if member.kind is Kind.FILE and member.name in wanted:
                try:
                    with wanted[member.name].open("xb") as output:
                        output.writelines(member.chunks())
                except OSError as error:
                    raise explain(error, f"unpack {archive.name}") from error


def tails(archive: Path, limits: Limits, wanted: Sequence[str], most: int) -> dict[str, bytes]:
    """The last ``most`` bytes of each file in ``wanted`` that is there; the whole archive is checked on the way.

    Raises as ``contents``.
    """
    found: dict[str, bytes] = {}
    with opened(archive) as source:
        for member in members(source, limits):
            if member.kind is Kind.FILE and member.name in wanted:
                last = b""
                for chunk in member.chunks():
                    last = (last + chunk)[-most:]
                found[member.name] = last
    return found
