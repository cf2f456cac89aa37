"""The HGCM service VBoxSharedFolders on directories of this host.

Sources: VirtualBox 7.2, src/VBox/HostServices/SharedFolders/VBoxSharedFoldersSvc.cpp, vbsf.cpp and vbsfpath.cpp, for
what a host does with a call. Numbers and layouts: ``folder_format``. One difference: links that lie in a folder are
never followed by the host. Linux asks to see them as links, and follows them in the guest.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from boinc2docker.vm.vmmdev import folder_format as fmt
from boinc2docker.vm.vmmdev.folder_format import CallError, Create, Function, Result
from boinc2docker.vm.vmmdev.handles import Handle, HandleTable, StaleCalls
from boinc2docker.vm.vmmdev.hgcm import INVALID_PARAMETER, OK, Parameter
from boinc2docker.vm.vmmdev.host_disk import HostDisk
from boinc2docker.vm.vmmdev.host_rules import HostRules, is_directory
from boinc2docker.vm.vmmdev.host_tree import HostTree, Place, names_in

Parameters = list[Parameter]


@dataclass
class Host:
    """What all clients of one machine share. ``symlinks``: guests may make links. ``delay``: seconds a call takes."""

    folders: Mapping[str, str]
    rules: HostRules = field(default_factory=HostRules)
    disk: HostDisk = field(default_factory=HostDisk)
    stale: StaleCalls = field(default_factory=StaleCalls)
    symlinks: bool = False
    delay: float = 0.0


class SharedFolders:
    """One client of the service: one guest's kernel. Folders have numbers, in the order of ``host.folders``."""

    def __init__(self, host: Host) -> None:
        self._host, self._rules, self._disk = host, host.rules, host.disk
        self._names = [os.fsencode(name) for name in host.folders]
        self._trees = [HostTree(path, host.rules) for path in host.folders.values()]
        self._handles = HandleTable(host.stale)
        self._functions: dict[int, Callable[[Parameters], int]] = {
            Function.CREATE: self._create,
            Function.CLOSE: self._close,
            Function.READ: self._read,
            Function.WRITE: self._write,
            Function.LOCK: _nothing,
            Function.LIST: self._list,
            Function.INFORMATION: self._information,
            Function.REMOVE: self._remove,
            Function.UNMAP: _nothing,
            Function.RENAME: self._rename,
            Function.FLUSH: self._flush,
            Function.SET_UTF8: _nothing,
            Function.MAP: self._map,
            Function.READLINK: self._readlink,
            Function.SYMLINK: self._symlink,
            Function.SET_SYMLINKS: _nothing,
        }

    def __call__(self, function: int, parameters: Parameters) -> int:
        """Carries out one call and returns its status."""
        if self._host.delay:
            time.sleep(self._host.delay)
        call = self._functions.get(function)
        if call is None:
            return fmt.NOT_IMPLEMENTED
        try:
            return call(parameters)
        except CallError as failure:
            return failure.status
        except OSError as error:
            return fmt.status_of(error)
        except (IndexError, struct.error, OverflowError):
            return INVALID_PARAMETER  # too few parameters, too short a buffer, a number no file has

    def restore(self) -> None:
        """What the guest finds after its saved state was restored: mappings stay, handles do not."""
        self._handles.restore()

    # Names

    def _map(self, parameters: Parameters) -> int:
        name = fmt.string(parameters[0].data)
        if name not in self._names:
            return fmt.FILE_NOT_FOUND
        parameters[1].value = self._names.index(name)
        return OK

    def _tree(self, parameters: Parameters) -> HostTree:
        root = parameters[0].value
        if root >= len(self._trees):
            raise CallError(INVALID_PARAMETER)
        return self._trees[root]

    @contextlib.contextmanager
    def _place(self, parameters: Parameters, index: int = 1) -> Iterator[Place]:
        with self._tree(parameters).place(fmt.path_parts(parameters[index].data)) as place:
            yield place

    def _handle(self, parameters: Parameters, call: str, *, directory: bool | None = None) -> Handle:
        handle = self._handles.find(parameters[1].value, parameters[0].value, call)
        if directory is not None and handle.is_directory != directory:
            raise CallError(fmt.INVALID_HANDLE)
        return handle

    def _info(self, facts: os.stat_result) -> bytes:
        return fmt.object_info(facts, self._rules.mode(facts))

    # Opening and closing

    def _create(self, parameters: Parameters) -> int:
        """vbsfCreate: most of what can go wrong is told by the result, with the status OK."""
        data = parameters[2].data
        flags = Create(fmt.CREATE_PARAMETERS.unpack_from(data)[2])
        size, mode = struct.unpack_from("<q40xI", data, fmt.CREATE_PARAMETERS.size)
        status, result, number, info = OK, Result.NONE, fmt.NO_HANDLE, b""
        try:
            with self._place(parameters) as place:
                if flags & Create.LOOKUP:
                    info, result = self._info(place.facts()), Result.EXISTS
                else:
                    with contextlib.suppress(OSError):
                        flags |= Create.DIRECTORY if is_directory(place.facts()) else Create(0)
                    descriptor, result = self._open(place, flags, mode, size)
                    info = self._info(os.fstat(descriptor))
                    number = self._handles.add(_new_handle(parameters, descriptor, flags))
        except OSError as error:
            status = fmt.status_of(error)
            result = fmt.RESULT_OF.get(status, Result.NONE)
            if result is not Result.NONE and not flags & Create.DIRECTORY:
                status = OK  # vbsfOpenDir alone gives its error back
        parameters[2].out = fmt.CREATE_PARAMETERS.pack(number, result, flags) + info
        return status

    def _open(self, place: Place, flags: Create, mode: int, size: int) -> tuple[int, Result]:
        if flags & Create.DIRECTORY:
            return self._open_directory(place, flags)
        descriptor, result = self._open_file(place, flags, mode)
        try:
            if flags & Create.EXISTS_MASK in (Create.REPLACE_IF_EXISTS, Create.OVERWRITE_IF_EXISTS):
                result = Result.REPLACED if result is Result.EXISTS else result
                self._resize(descriptor, size)
            self._rules.opened(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor, result

    def _open_directory(self, place: Place, flags: Create) -> tuple[int, Result]:
        result = Result.EXISTS
        if not flags & Create.FAIL_IF_NEW:
            try:
                self._disk.require_room()
                os.mkdir(place.name, 0o777, dir_fd=place.directory)  # whatever mode the guest asked for
                result = Result.CREATED
            except FileExistsError:
                if flags & Create.EXISTS_MASK:
                    raise
        return place.open(os.O_RDONLY | os.O_DIRECTORY), result

    def _open_file(self, place: Place, flags: Create, mode: int) -> tuple[int, Result]:
        reads, writes = bool(flags & Create.READ), bool(flags & Create.WRITE)
        how = (os.O_RDWR if reads else os.O_WRONLY) if writes else os.O_RDONLY
        how |= os.O_APPEND if flags & Create.APPEND else 0
        exclusive = flags & Create.EXISTS_MASK == Create.FAIL_IF_EXISTS
        if not flags & Create.FAIL_IF_NEW:
            try:
                return place.open(how | os.O_CREAT | os.O_EXCL, mode & 0o777), Result.CREATED
            except FileExistsError:
                if exclusive:
                    raise
        elif exclusive:
            raise CallError(INVALID_PARAMETER)
        facts = place.facts()
        if not stat.S_ISREG(facts.st_mode):
            raise CallError(fmt.ACCESS_DENIED)  # a link, or a pipe or device somebody put there
        if writes:
            self._rules.require_writable(facts)
        return place.open(how), Result.EXISTS

    def _resize(self, descriptor: int, size: int) -> None:
        before = os.fstat(descriptor).st_size
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
            self._disk.changed(before, size)

    def _close(self, parameters: Parameters) -> int:
        handle = self._handle(parameters, "close")
        if not handle.is_directory:
            self._rules.closing(handle.descriptor, writable=handle.writable)
        self._handles.remove(parameters[1].value)
        os.close(handle.descriptor)
        return OK

    # What a handle is for

    def _read(self, parameters: Parameters) -> int:
        handle = self._handle(parameters, "read", directory=False)
        count = min(parameters[3].value, parameters[4].size)
        data = os.pread(handle.descriptor, count, parameters[2].value) if count else b""
        parameters[3].value, parameters[4].out = len(data), data
        return OK

    def _write(self, parameters: Parameters) -> int:
        data, offset = parameters[4].data[: parameters[3].value], parameters[2].value
        parameters[3].value = 0
        handle = self._handle(parameters, "write", directory=False)
        if data:
            size = os.fstat(handle.descriptor).st_size
            allowed = self._disk.allowed(size, offset, len(data))
            parameters[3].value = os.pwrite(handle.descriptor, data[:allowed], offset)
            self._disk.changed(size, os.fstat(handle.descriptor).st_size)
        return OK

    def _flush(self, parameters: Parameters) -> int:
        os.fsync(self._handle(parameters, "flush", directory=False).descriptor)
        return OK

    def _list(self, parameters: Parameters) -> int:
        """Success with the last entries; NO_MORE_FILES only with none. The host gives ``.`` and ``..`` as well."""
        handle = self._handle(parameters, "list", directory=True)
        room, made = min(parameters[3].value, parameters[5].size), []
        if handle.entries is None:
            handle.entries = iter([".", "..", *names_in(handle.descriptor)])
        parameters[3].value = parameters[6].value = parameters[7].value = 0
        while entry := handle.kept or self._next_entry(handle):
            handle.kept = entry
            if len(entry) > room:
                parameters[6].value = 1  # there are more
                break
            handle.kept = b""
            made.append(entry)
            room -= len(entry)
            if parameters[2].value & fmt.LIST_ONE:
                break
        parameters[3].value, parameters[7].value = sum(map(len, made)), len(made)
        parameters[5].out = b"".join(made)
        return OK if made or handle.kept else fmt.NO_MORE_FILES

    def _next_entry(self, handle: Handle) -> bytes:
        """The next entry that is still there; empty after the last one."""
        for name in handle.entries or ():
            own = "." if name == ".." else name  # what lies outside is none of the guest's business
            with contextlib.suppress(OSError):
                facts = os.stat(own, dir_fd=handle.descriptor, follow_symlinks=False)
                return fmt.entry(os.fsencode(name), self._info(facts))
        return b""

    def _information(self, parameters: Parameters) -> int:
        flags = parameters[2].value
        if flags == fmt.INFO_VOLUME:
            parameters[4].out = self._volume(parameters)
        else:
            handle = self._handle(parameters, "information")
            if flags & fmt.INFO_SET and flags & fmt.INFO_FILE:
                self._set_attributes(handle, parameters[4].data)
            elif flags & fmt.INFO_SET and flags & fmt.INFO_SIZE:
                size = struct.unpack_from("<q", parameters[4].data)[0]
                before = os.fstat(handle.descriptor).st_size
                os.ftruncate(handle.descriptor, size)
                self._disk.changed(before, size)
            elif not flags & fmt.INFO_FILE:
                return INVALID_PARAMETER
            parameters[4].out = self._info(os.fstat(handle.descriptor))
        parameters[3].value = len(parameters[4].out)
        return OK

    def _volume(self, parameters: Parameters) -> bytes:
        facts = self._tree(parameters).size()
        free, room = facts.f_bavail * facts.f_frsize, self._disk.room()
        total = facts.f_blocks * facts.f_frsize
        return fmt.volume(total, free if room is None else min(free, room), facts.f_frsize)

    def _set_attributes(self, handle: Handle, data: bytes) -> None:
        """vbsfSetFileInfo: times that are not 0, then the mode; failures are silent."""
        accessed, modified = struct.unpack_from("<16xqq", data)
        mode = struct.unpack_from("<48xI", data)[0] if len(data) >= 52 else 0
        with contextlib.suppress(OSError, OverflowError):
            if accessed or modified:
                facts = os.fstat(handle.descriptor)
                os.utime(handle.descriptor, ns=(accessed or facts.st_atime_ns, modified or facts.st_mtime_ns))
        with contextlib.suppress(OSError):
            if mode:
                self._rules.set_mode(handle.descriptor, mode, directory=handle.is_directory)

    # Names that change

    def _remove(self, parameters: Parameters) -> int:
        flags = parameters[2].value
        with self._place(parameters) as place:
            if flags & fmt.REMOVE_LINK:
                if not stat.S_ISLNK(place.facts().st_mode):
                    return fmt.NOT_SYMLINK
                os.unlink(place.name, dir_fd=place.directory)
            elif flags & fmt.REMOVE_FILE:
                self._remove_file(place)
            else:
                try:
                    os.rmdir(place.name, dir_fd=place.directory)
                except NotADirectoryError:
                    return fmt.NOT_A_DIRECTORY
        return OK

    def _remove_file(self, place: Place) -> None:
        facts = place.facts()
        self._rules.require_removable(place)
        os.unlink(place.name, dir_fd=place.directory)
        if facts.st_nlink == 1:
            self._disk.changed(facts.st_size, 0)

    def _rename(self, parameters: Parameters) -> int:
        """rtPathPosixRename: never over a directory, over a file only with the flag; a directory comes with flags 0."""
        flags = parameters[3].value
        with self._place(parameters) as source, self._place(parameters, 2) as target:
            facts = source.facts()
            if not flags & fmt.RENAME_FILE and not is_directory(facts):
                return fmt.NOT_A_DIRECTORY
            if flags & fmt.RENAME_FILE and not flags & fmt.RENAME_DIRECTORY and is_directory(facts):
                return fmt.IS_A_DIRECTORY
            replaced = 0
            with contextlib.suppress(FileNotFoundError):
                there = target.facts()
                if not os.path.samestat(there, facts):
                    if is_directory(there) or not flags & fmt.RENAME_REPLACE:
                        return fmt.ALREADY_EXISTS
                    replaced = there.st_size if there.st_nlink == 1 else 0
            self._rules.require_movable(source, target)
            os.rename(source.name, target.name, src_dir_fd=source.directory, dst_dir_fd=target.directory)
            self._disk.changed(replaced, 0)
        return OK

    def _readlink(self, parameters: Parameters) -> int:
        with self._place(parameters) as place:
            target = os.readlink(place.name, dir_fd=place.directory)
        parameters[2].out = target[: max(0, parameters[2].size - 1)] + b"\0"
        return OK

    def _symlink(self, parameters: Parameters) -> int:
        if not self._host.symlinks:
            return fmt.WRITE_PROTECT
        with self._place(parameters) as place:
            os.symlink(fmt.string(parameters[2].data), place.name, dir_fd=place.directory)
            parameters[3].out = self._info(place.facts())
        return OK


def _nothing(_parameters: Parameters) -> int:
    return OK


def _new_handle(parameters: Parameters, descriptor: int, flags: Create) -> Handle:
    path = os.fsdecode(fmt.string(parameters[1].data))
    return Handle(
        parameters[0].value,
        descriptor,
        path,
        is_directory=bool(flags & Create.DIRECTORY),
        writable=bool(flags & Create.WRITE) and not flags & Create.DIRECTORY,
    )
