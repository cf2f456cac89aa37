"""The container agent's bundle: a tar archive that docker_wrapper's Dockerfile adds to any image.

It brings a shell and a few programs out of locked Debian packages, with their libraries and their loader, so that
nothing of the image is needed: an image may have no shell, another libc, or none. It all lies in /opt/boinc2docker.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from boinc2docker.base.debian import elf, package
from boinc2docker.base.debian.reading import Debs
from boinc2docker.base.debian.tree import Kind, Node, Spool, Tree, file, link
from boinc2docker.errors import InputError

HOME = "opt/boinc2docker"
"""Where the bundle lies in a container; the machine's agent is at the same place in its machine."""
SECTION = "container"
"""The lock's section whose packages leave something in the bundle."""
SHARED = "bytes capture identity job json limit log paths progress record results run status tar uptime"
"""The machine agent's files that the container's agent uses, by name."""
_PROGRAMS = {"coreutils": "env", "gzip": "gzip", "sed": "sed", "tar": "tar", "util-linux": "setpriv"}
"""One program of each package."""
_WRAPPED = ("gzip", "sed", "tar")
"""Programs that are called by their paths, as scripts that start the loader; the agent gives the others to it."""
_WRAPPER = f"""\
#!/{HOME}/bin/sh
exec /{HOME}/lib/ld.so --inhibit-cache --library-path /{HOME}/lib /{HOME}/libexec/%s "$@"
"""
_LOADERS = {"amd64": "ld-linux-x86-64.so.2", "arm64": "ld-linux-aarch64.so.1"}
_TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}


@dataclass(frozen=True)
class Scripts:
    """The agent's own files: ``guest/container``, and the machine agent's ``lib`` directory."""

    container: Path
    shared: Path


def build(debs: Debs, scripts: Scripts, identity: bytes, architecture: str, spool: Spool) -> Tree:
    """What is in the bundle for ``architecture`` (Debian's name). ``identity`` is the agent's identity.json.

    Raises InputError where a program needs a library that is not in the locked packages.
    """
    tree = Tree()
    for path, content in own_files(scripts):
        tree.add(f"{HOME}/{path}", file(content, 0o755 if path == "agent" else 0o644))
    tree.add(f"{HOME}/identity.json", file(identity))
    available = dict(_wanted(debs, architecture, spool))
    busybox = available.pop("usr/bin/busybox", None)
    if busybox is None:
        raise InputError("bad-package", "busybox-static has no usr/bin/busybox")
    tree.add(f"{HOME}/bin/busybox", busybox)
    tree.add(f"{HOME}/bin/sh", link("busybox"))
    programs = {path.rsplit("/", 1)[1]: node for path, node in available.items() if path.startswith("usr/bin/")}
    for name in sorted(_PROGRAMS.values()):
        if name not in programs:
            raise InputError("bad-package", f"the locked packages have no program {name}")
        where = "libexec" if name in _WRAPPED else "usr/bin"
        tree.add(f"{HOME}/{where}/{name}", programs[name])
        if name in _WRAPPED:
            tree.add(f"{HOME}/usr/bin/{name}", file((_WRAPPER % name).encode(), 0o755))
    libraries = {path.rsplit("/", 1)[1]: node for path, node in available.items() if not path.startswith("usr/bin/")}
    for name, node in _needed(list(programs.values()), libraries, spool).items():
        tree.add(f"{HOME}/lib/{'ld.so' if name == _LOADERS[architecture] else name}", node)
    return tree


def own_files(scripts: Scripts) -> Iterator[tuple[str, bytes]]:
    yield "agent", (scripts.container / "agent").read_bytes()
    for path in sorted((scripts.container / "lib").glob("*.sh")):
        yield f"lib/{path.name}", path.read_bytes()
    for name in SHARED.split():
        yield f"lib/{name}.sh", (scripts.shared / f"{name}.sh").read_bytes()


def _wanted(debs: Debs, architecture: str, spool: Spool) -> Iterator[tuple[str, Node]]:
    """The programs and all libraries of the bundle's packages, links followed."""
    found: dict[str, Node] = {}
    library = f"usr/lib/{_TRIPLETS[architecture]}/"

    def chosen(path: str) -> bool:
        return path in programs or (path.startswith(library) and "/" not in path[len(library) :])

    for locked in sorted(debs):
        if SECTION not in locked.sections:
            continue
        programs = {f"usr/bin/{_PROGRAMS.get(locked.name, '')}", "usr/bin/busybox"}
        found |= dict(package.nodes(debs[locked], locked.name, chosen, spool))
    for path, node in found.items():
        target = node
        for _ in range(8):
            if target.kind is not Kind.LINK:
                break
            target = found.get(path.rsplit("/", 1)[0] + "/" + target.target, target)
        if target.kind is Kind.FILE:
            yield path, target


def _needed(programs: list[Node], libraries: Mapping[str, Node], spool: Spool) -> dict[str, Node]:
    """All libraries that the programs are linked with, by name, the loader among them."""
    found: dict[str, Node] = {}
    left = list(programs)
    while left:
        for name in elf.needed_libraries(spool.read(left.pop().content)):
            if name in found:
                continue
            if name not in libraries:
                raise InputError("bad-package", f"the container's bundle needs the library {name}, which is not locked")
            found[name] = libraries[name]
            left.append(libraries[name])
    return found


def archive(tree: Tree, spool: Spool, *, epoch: int) -> bytes:
    """The tree as a tar archive (ustar), the same bytes on every machine: sorted, owned by root, dated ``epoch``."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as packed:
        for path, node in tree.items():
            member = tarfile.TarInfo(path)
            member.mode, member.mtime = node.mode, epoch
            if node.kind is Kind.DIRECTORY:
                member.type = tarfile.DIRTYPE
            elif node.kind is Kind.LINK:
                member.type, member.linkname = tarfile.SYMTYPE, node.target
            else:
                member.size = node.size
            packed.addfile(member, io.BytesIO(spool.read(node.content)) if node.kind is Kind.FILE else None)
    return out.getvalue()
