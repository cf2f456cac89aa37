"""Numbers and layouts of the service VBoxSharedFolders.

Sources: Linux 6.12, fs/vboxsf/shfl_hostintf.h and vboxsf_wrappers.c; VirtualBox 7.2, include/VBox/shflsvc.h and
iprt/err.h for the status codes.
"""

from __future__ import annotations

import errno
import os
import struct
from enum import IntEnum, IntFlag

from boinc2docker.vm.vmmdev.hgcm import INVALID_PARAMETER


class Function(IntEnum):
    """Functions of the service."""

    CREATE = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LOCK = 7
    LIST = 8
    INFORMATION = 9
    REMOVE = 11
    UNMAP = 13
    RENAME = 14
    FLUSH = 15
    SET_UTF8 = 16
    MAP = 17
    READLINK = 18
    SYMLINK = 19
    SET_SYMLINKS = 20


NO_MEMORY, INVALID_HANDLE, NOT_IMPLEMENTED, NOT_SYMLINK, ACCESS_DENIED = -8, -4, -12, -19, -38
FILE_NOT_FOUND, PATH_NOT_FOUND, INVALID_NAME, ALREADY_EXISTS = -102, -103, -104, -105
WRITE_PROTECT, SHARING_VIOLATION, DIR_NOT_EMPTY, NOT_A_DIRECTORY, IS_A_DIRECTORY = -113, -114, -125, -126, -127
DISK_FULL, NO_MORE_FILES, GENERAL_FAILURE = -152, -201, -1
_STATUS = {
    errno.EPERM: ACCESS_DENIED,
    errno.EACCES: ACCESS_DENIED,
    errno.ENOENT: FILE_NOT_FOUND,
    errno.ENOTDIR: PATH_NOT_FOUND,
    errno.EEXIST: ALREADY_EXISTS,
    errno.ENOTEMPTY: DIR_NOT_EMPTY,
    errno.EISDIR: IS_A_DIRECTORY,
    errno.EROFS: WRITE_PROTECT,
    errno.ENOSPC: DISK_FULL,
    errno.EDQUOT: DISK_FULL,
    errno.EFBIG: -128,
    errno.EIO: -250,
    errno.EMFILE: -106,
    errno.ENFILE: -106,
    errno.ENAMETOOLONG: -120,
    errno.ELOOP: -156,
    errno.EXDEV: -119,
    errno.EBUSY: -138,
    errno.EINVAL: INVALID_PARAMETER,
    errno.ENOMEM: NO_MEMORY,
    errno.EBADF: INVALID_HANDLE,
    errno.ETXTBSY: SHARING_VIOLATION,
}


class Create(IntFlag):
    """Flags of CREATE. What to do with what exists and with what does not, and how to open it."""

    LOOKUP = 0x1
    DIRECTORY = 0x4
    FAIL_IF_EXISTS = 0x10
    REPLACE_IF_EXISTS = 0x20
    OVERWRITE_IF_EXISTS = 0x30
    EXISTS_MASK = 0xF0
    FAIL_IF_NEW = 0x100
    READ = 0x1000
    WRITE = 0x2000
    APPEND = 0x40000


class Result(IntEnum):
    """What CREATE says of the name it was given."""

    NONE = 0
    PATH_NOT_FOUND = 1
    FILE_NOT_FOUND = 2
    EXISTS = 3
    CREATED = 4
    REPLACED = 5


RESULT_OF = {
    FILE_NOT_FOUND: Result.FILE_NOT_FOUND,
    PATH_NOT_FOUND: Result.PATH_NOT_FOUND,
    ALREADY_EXISTS: Result.EXISTS,
}
"""The statuses that CREATE tells by a result."""
NO_HANDLE = (1 << 64) - 1
INFO_SET, INFO_SIZE, INFO_FILE, INFO_VOLUME = 0x1, 0x4, 0x8, 0x10
REMOVE_FILE, REMOVE_LINK = 0x1, 0x4
RENAME_FILE, RENAME_DIRECTORY, RENAME_REPLACE = 0x1, 0x2, 0x4
LIST_ONE = 0x1

_INFO = struct.Struct("<qqqqqqII36s")
_UNIX = struct.Struct("<IIIIQIII")
CREATE_PARAMETERS = struct.Struct("<QII")
"""Handle, result, flags; an object's information follows."""


class CallError(Exception):
    """A call ends with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def status_of(error: OSError) -> int:
    """The VirtualBox status of a host's error."""
    return _STATUS.get(error.errno or 0, GENERAL_FAILURE)


def string(raw: bytes) -> bytes:
    """What a SHFLSTRING (bytes of room, bytes in use, bytes) holds. Raises CallError."""
    if len(raw) < 4:
        raise CallError(INVALID_PARAMETER)
    size, length = struct.unpack_from("<HH", raw)
    if length > size or 4 + length > len(raw):
        raise CallError(INVALID_PARAMETER)
    return raw[4 : 4 + length]


def path_parts(raw: bytes) -> list[bytes]:
    """A path of the guest, part by part. Raises CallError for one that leads upwards or that no host could have."""
    parts = [part for part in string(raw).split(b"/") if part not in (b"", b".")]
    if b".." in parts or any(b"\0" in part for part in parts):
        raise CallError(INVALID_NAME)
    return parts


def object_info(facts: os.stat_result, mode: int) -> bytes:
    """SHFLFSOBJINFO: size, times, mode, and Unix attributes."""
    owner = facts.st_uid, facts.st_gid, facts.st_nlink, facts.st_dev & 0xFFFFFFFF
    unix = _UNIX.pack(*owner, facts.st_ino & (1 << 64) - 1, 0, 0, 0)
    times = facts.st_atime_ns, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ctime_ns
    return _INFO.pack(facts.st_size, facts.st_blocks * 512, *times, mode, 2, unix)


def entry(name: bytes, info: bytes) -> bytes:
    """SHFLDIRINFO: information, an empty short name, the name."""
    return info + bytes(30) + struct.pack("<HH", len(name) + 1, len(name)) + name + b"\0"


def volume(total: int, free: int, unit: int) -> bytes:
    """SHFLVOLINFO, sizes in bytes: long names, with case, Unicode, no compression. Its properties take 12 bytes."""
    return struct.pack("<qqIIIIBBBBBBxx", total, free, unit, 512, 0, 255, 0, 1, 0, 1, 0, 0)
