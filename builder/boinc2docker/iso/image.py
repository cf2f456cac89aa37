"""An ISO's volume, boot layout, boot configurations, and the files they load."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from boinc2docker.errors import InputError
from boinc2docker.iso import boot_config, volume
from boinc2docker.iso.boot_config import BootLabel, Dialect
from boinc2docker.iso.boot_layout import BootLayout, catalogue_sector, classify
from boinc2docker.iso.identity import IDENTITY_PATH
from boinc2docker.iso.volume import SECTOR, IsoFile, Volume

CONFIG_LIMIT = 1 << 20
IDENTITY_LIMIT = 16 << 20


@dataclass(frozen=True)
class BootConfig:
    """A boot configuration: its path, its text, and its labels that load an initrd."""

    path: str
    dialect: Dialect
    text: bytes
    labels: tuple[BootLabel, ...]


@dataclass(frozen=True)
class Image:
    """An ISO's content. ``loader`` is the file that the BIOS starts from CD."""

    size: int
    head: bytes
    volume: Volume
    layout: BootLayout
    catalogue: int | None
    loader: IsoFile | None
    configs: Mapping[str, BootConfig]

    @property
    def labels(self) -> list[BootLabel]:
        """The labels with an initrd, of all configurations."""
        return [label for config in self.configs.values() for label in config.labels]

    @property
    def ours(self) -> bool:
        return IDENTITY_PATH in self.volume.files

    @property
    def has_isolinux(self) -> bool:
        return self.loader is not None and posixpath.basename(self.loader.path).lower() == "isolinux.bin"


def open_image(path: Path) -> BinaryIO:
    """Opens an ISO for reading. Raises InputError if it is missing or not a file."""
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError("no-such-file", f"cannot read {path}: {error.strerror}") from error


def read_image(stream: BinaryIO, shown: Path) -> Image:
    """Reads ``stream``. Raises InputError, naming ``shown``, if it is not a complete ISO 9660 image."""
    try:
        head = volume.read_head(stream)
        found = volume.read_volume(stream)
        sector = catalogue_sector(head)
        layout = classify(head, _sector(stream, sector))
        entry = next((entry for entry in layout.entries if entry.platform == 0), None)
        return Image(
            size=volume.size_of(stream),
            head=head,
            volume=found,
            layout=layout,
            catalogue=sector,
            loader=None if entry is None else _file_at(found, entry.sector * SECTOR),
            configs={config.path: config for config in _configs(stream, found)},
        )
    except InputError as error:
        raise InputError(error.code, f"{shown}: {error.message}", hint=error.hint) from error


def _sector(stream: BinaryIO, sector: int | None) -> bytes:
    if sector is None:
        return b""
    stream.seek(sector * SECTOR)
    return stream.read(SECTOR)


def _file_at(found: Volume, offset: int) -> IsoFile | None:
    return next((file for file in found.files.values() if file.extents and file.extents[0][0] == offset), None)


def _configs(stream: BinaryIO, found: Volume) -> Iterator[BootConfig]:
    """The configurations: those with known names, their neighbours, and included ones."""
    named = {path: dialect for path in found.files if (dialect := boot_config.dialect_of(path)) is not None}
    folders = {posixpath.dirname(path) for path, dialect in named.items() if dialect is Dialect.SYSLINUX}
    beside = [path for path in found.files if path.lower().endswith(".cfg") and posixpath.dirname(path) in folders]
    waiting = [*named, *(path for path in beside if path not in named)]
    seen = set(waiting)
    while waiting:
        path = waiting.pop(0)
        dialect = named.get(path, Dialect.SYSLINUX)
        text = volume.read_file(stream, found.files[path], limit=CONFIG_LIMIT)
        yield BootConfig(path, dialect, text, tuple(boot_config.labels(text, path, dialect)))
        if dialect is Dialect.SYSLINUX:
            for name in boot_config.included(text, path):
                file = found.find(name)
                if file is not None and file.path not in seen:
                    seen.add(file.path)
                    waiting.append(file.path)
