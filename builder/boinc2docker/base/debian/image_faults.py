"""What would break the image, found before anything is compressed: a fault costs a second here, a boot later."""

from __future__ import annotations

from collections.abc import Iterator

from boinc2docker.base.debian import elf, maintainer
from boinc2docker.base.debian.tree import Kind, Spool, Tree
from boinc2docker.errors import InputError

LIBRARY_PATHS = ("usr/lib/x86_64-linux-gnu", "usr/lib")
"""Where the loader looks without a cache: no ldconfig has run here."""
_WORLD_WRITABLE = ("tmp", "var/tmp")


def require_none(tree: Tree, spool: Spool) -> None:
    """Raises InputError that lists all faults: missing libraries, links to nowhere, wrong modes."""
    faults = [*missing_libraries(tree, spool), *bad_modes(tree)]
    faults += [f"/{path} leads nowhere: {tree[path].target}" for path in maintainer.unfinished(tree)]
    if faults:
        raise InputError("broken-image", "the image would be broken: " + "; ".join(faults))


def missing_libraries(tree: Tree, spool: Spool) -> Iterator[str]:
    """Programs and libraries that need a library the loader would not find."""
    for path, node in tree.items():
        if node.kind is not Kind.FILE or path.endswith(".ko") or not elf.is_elf(spool.part(node.content, 0, 4)):
            continue
        for library in elf.needed_libraries(spool.read(node.content)):
            if not any(tree.resolve(f"{where}/{library}") for where in LIBRARY_PATHS):
                yield f"/{path} needs {library}"


def bad_modes(tree: Tree) -> Iterator[str]:
    """Set-user-id programs, and files that everybody may write."""
    for path, node in tree.items():
        if node.kind is Kind.LINK:
            continue
        if node.mode & 0o6000:
            yield f"/{path} is set-user-id or set-group-id"
        if node.mode & 0o002 and path not in _WORLD_WRITABLE:
            yield f"/{path} may be written by everybody"
