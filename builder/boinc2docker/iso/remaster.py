"""Remasters a base ISO: adds initramfs files, extends boot configurations, and keeps everything else."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pycdlib import PyCdlib
from pycdlib.pycdlibexception import PyCdlibException

from boinc2docker import atomic
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError, VerificationError
from boinc2docker.formats.iso9660 import errors_named, frozen_clock
from boinc2docker.formats.newc import Entry
from boinc2docker.iso import boot_config, volume
from boinc2docker.iso.base_listing import base_listing
from boinc2docker.iso.boot_config import Change
from boinc2docker.iso.identity import (
    ADDED_PATHS,
    IDENTITY_PATH,
    OVERLAY_PATH,
    SITE_PATH,
    SUMS_PATH,
    UNSUMMED_PATHS,
    BaseIdentity,
    Identity,
    sums_text,
)
from boinc2docker.iso.image import Image, open_image, read_image
from boinc2docker.iso.initramfs import check_overlay
from boinc2docker.iso.overlay import DEFAULT_OVERLAY, content_digest, overlay_image, read_overlay
from boinc2docker.iso.site_area import AREA_BYTES
from boinc2docker.iso.verify import Intended, is_rewritten, verify
from boinc2docker.iso.volume import SECTOR, descriptors

BOOT_CHANGE = Change(initrds=(OVERLAY_PATH, SITE_PATH), remove=("waitusb=*LABEL=*",))
"""boot2docker waits up to ten seconds for a labelled USB disk, which no volunteer has; ``noembed`` must stay."""

_ISO_NAMES = {
    OVERLAY_PATH: "BOINC.IMG",
    SITE_PATH: "SITE.IMG",
    IDENTITY_PATH: "B2DINFO.JSN",
    SUMS_PATH: "B2DSUMS.TXT",
}
"""ISO 9660 names of the added files, in the form that even interchange level 1 allows."""
_COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class Remastered:
    """A finished ISO."""

    path: Path
    digest: Digest
    bytes: int


@dataclass(frozen=True)
class Plan:
    """What to write: the identity, and the bytes of every edited and added file."""

    identity: Identity
    edited: Mapping[str, bytes]
    added: Mapping[str, bytes]


def remaster(
    base_iso: Path, output: Path, *, base: BaseIdentity, version: str, epoch: int, overlay: Path = DEFAULT_OVERLAY
) -> Remastered:
    """Writes ``output``: ``base_iso`` with the agent in it. The same inputs give the same bytes.

    Kernel, initrd and all other files of the base stay as they are; only boot configurations are edited. ``epoch`` is
    every new time stamp. Raises InputError for a base that is damaged, boots in a way that would be lost, or is no
    boot2docker-like ISO; VerificationError if the result is not what was meant. ``output`` then stays as it was.
    """
    if output.exists() and output.samefile(base_iso):
        raise InputError(
            "same-file", f"{output} is the base itself, which is never changed", hint="name another output"
        )
    entries = read_overlay(overlay)
    with open_image(base_iso) as stream:
        image = read_image(stream, base_iso)
        require_base(image, base_iso)
        made = plan(stream, image, entries, base=base, version=version, epoch=epoch)
        digest = _write(base_iso, image, output, made)
    return Remastered(output, digest, output.stat().st_size)


def require_base(image: Image, shown: Path) -> None:
    """Raises InputError, with the reason and a way out, unless ``image`` can be remastered."""
    problem = _problem(image)
    if problem:
        code, message, hint = problem
        raise InputError(code, f"{shown}: {message}", hint=hint)


def _problem(image: Image) -> tuple[str, str, str | None] | None:
    like = "expected a boot2docker-like ISO, which boots through isolinux"
    hint = "choose another base: see guest/bases.toml"
    if image.ours:
        return "already-ours", "it is already remastered", "remaster its base, which inspect names"
    if image.volume.udf or not image.volume.rock_ridge:
        return "unsupported-iso", "expected a volume with Rock Ridge names and without UDF", hint
    if not image.layout.rewritable:
        return "unsupported-boot-layout", f"cannot be rewritten: {'; '.join(image.layout.would_lose)}", hint
    if not image.has_isolinux:
        found = "nothing" if image.loader is None else image.loader.path
        return "no-isolinux", f"{like}; from CD it boots {found}", hint
    if not any("isolinux" in path.lower() or "syslinux" in path.lower() for path in image.configs):
        return "no-boot-config", f"{like}; it has no isolinux.cfg", hint
    if not image.labels:
        return "no-initrd", f"{like}; no label of {', '.join(image.configs)} has an initrd", hint
    return _files_problem(image, hint)


def _files_problem(image: Image, hint: str) -> tuple[str, str, str | None] | None:
    for label in image.labels:
        for path in (*([label.kernel] if label.kernel else []), *label.initrds):
            if image.volume.find(path) is None:
                return "missing-boot-file", f"its boot configuration names {path}, which is missing", hint
    taken = [path for path in ADDED_PATHS if image.volume.find(path) is not None]
    if taken:
        return "name-taken", f"it has {', '.join(taken)} already", hint
    return None


def plan(stream: BinaryIO, image: Image, entries: list[Entry], *, base: BaseIdentity, version: str, epoch: int) -> Plan:
    """Plans a remaster of ``image``. Raises InputError for an overlay that does not fit."""
    edited = {
        path: text
        for path, config in image.configs.items()
        if (text := boot_config.edit(config.text, config.dialect, BOOT_CHANGE)) != config.text
    }
    identity = Identity(
        version=version,
        base=base,
        epoch=epoch,
        overlay=content_digest(entries),
        edited={path: Digest.of(image.configs[path].text) for path in edited},
    )
    added = {
        IDENTITY_PATH: identity.text().encode(),
        OVERLAY_PATH: _overlay(stream, image, entries, identity),
        SITE_PATH: bytes(AREA_BYTES),
    }
    nothing = Digest("0" * 64)
    summed = ({*image.volume.files, *added} | {SUMS_PATH}) - {*UNSUMMED_PATHS}
    return Plan(identity, edited, {**added, SUMS_PATH: sums_text(dict.fromkeys(summed, nothing))})


def _overlay(stream: BinaryIO, image: Image, entries: list[Entry], identity: Identity) -> bytes:
    """``boinc.img``, fit for the initrds of every label."""
    lists = list(dict.fromkeys(label.initrds for label in image.labels))
    listings = [base_listing(stream, image, initrds) for initrds in lists]
    data = overlay_image(entries, identity.text(), listings[0], epoch=identity.epoch)
    for listing in listings[1:]:
        check_overlay(data, listing)
    return data


def _write(base_iso: Path, image: Image, output: Path, made: Plan) -> Digest:
    """Writes, checks, renames. Hashing runs in parallel: a remaster should cost little more than a copy."""
    whole: list[Digest] = []

    with ThreadPoolExecutor(1) as beside:
        digests = beside.submit(_base_digests, base_iso, image, made)
        with atomic.replacing(output, check=lambda temporary: whole.append(check(temporary))) as temporary:
            write_image(base_iso, temporary, made)
            intended = _record(temporary, output, made, digests.result())

            def check(temporary: Path) -> Digest:
                digest = beside.submit(Digest.of_file, temporary)
                with open_image(base_iso) as base_stream, temporary.open("rb") as stream:
                    verify(base_stream, image, stream, read_image(stream, output), intended)
                return digest.result()

    return whole[0]


def _base_digests(base_iso: Path, image: Image, made: Plan) -> dict[str, Digest]:
    """Digests of the unchanged files."""
    kept = [
        file for file in image.volume.files.values() if file.path not in made.edited and not is_rewritten(image, file)
    ]
    with open_image(base_iso) as stream:
        return {file.path: volume.digest(stream, file) for file in sorted(kept, key=lambda file: file.extents)}


def _record(temporary: Path, shown: Path, made: Plan, base_digests: Mapping[str, Digest]) -> Intended:
    """Completes the written ISO with its volume id and the list of digests."""
    with temporary.open("r+b") as stream:
        stamp_volume_id(stream, made.identity.volume_id)
        stream.flush()
        result = read_image(stream, shown)
        digests = {
            **base_digests,
            **{path: Digest.of(text) for path, text in {**made.edited, **made.added}.items()},
            **{
                file.path: volume.digest(stream, file)
                for file in result.volume.files.values()
                if is_rewritten(result, file)
            },
        }
        text = sums_text({path: digest for path, digest in digests.items() if path not in UNSUMMED_PATHS})
        ((offset, length),) = result.volume.files[SUMS_PATH].extents
        require_length(length, text)
        stream.seek(offset)
        stream.write(text)
    return Intended(made.identity.volume_id, made.edited, {**made.added, SUMS_PATH: text}, digests)


def require_length(expected: int, text: bytes) -> None:
    """Raises VerificationError unless the list of digests has exactly the reserved size."""
    if len(text) != expected:
        raise VerificationError("bad-result", f"the list of digests has {len(text)} bytes; {expected} were reserved")


def write_image(base_iso: Path, target: Path, made: Plan) -> None:
    """Writes the planned ISO to ``target`` with pycdlib. Raises InputError if it cannot read or rewrite the base."""
    iso = PyCdlib()
    with frozen_clock(made.identity.epoch), errors_named(base_iso, "rewrite"):
        iso.open(str(base_iso))
        try:
            for path, text in sorted(made.edited.items()):
                iso.update_file_contents_fp(io.BytesIO(text), len(text), rr_path=path)
            for path, data in sorted(made.added.items()):
                _add(iso, path, data)
            iso.write(str(target), blocksize=_COPY_BYTES)
        finally:
            iso.close()


def _add(iso: PyCdlib, path: str, data: bytes) -> None:
    folder, name = str(PurePosixPath(path).parent), PurePosixPath(path).name
    iso_folder = _folder(iso, folder)
    joliet = iso.has_joliet() and _has(iso, joliet_path=folder)
    iso.add_fp(
        io.BytesIO(data),
        len(data),
        f"{iso_folder}/{_ISO_NAMES[path]};1",
        rr_name=name,
        joliet_path=path if joliet else None,
        file_mode=0o100444,
    )


def _folder(iso: PyCdlib, folder: str) -> str:
    """The ISO 9660 path of a directory given by its Rock Ridge path, created if missing."""
    if folder == "/":
        return ""
    if not _has(iso, rr_path=folder):
        name = folder.strip("/")
        joliet = folder if iso.has_joliet() else None
        iso.add_directory(f"/{name.upper()}", rr_name=name, joliet_path=joliet, file_mode=0o040555)
    return str(iso.full_path_from_dirrecord(iso.get_record(rr_path=folder)))


def _has(iso: PyCdlib, **where: str) -> bool:
    try:
        iso.get_record(**where)
    except PyCdlibException:
        return False
    return True


def stamp_volume_id(stream: BinaryIO, name: str) -> None:
    """Writes the volume id into every volume descriptor: ASCII, and UCS-2 in Joliet's (ECMA-119 8.4.6, Joliet 5.1)."""
    head = volume.read_head(stream)
    for index, (kind, _) in enumerate(descriptors(head)):
        if kind in (1, 2):
            text = name.encode("ascii").ljust(32) if kind == 1 else name[:16].ljust(16).encode("utf-16-be")
            stream.seek((16 + index) * SECTOR + 40)
            stream.write(struct.pack("32s", text))
