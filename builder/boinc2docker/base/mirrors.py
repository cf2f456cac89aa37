"""Chooses Debian mirrors: the user's, else those of this machine's apt, else public ones.

No mirror is hard-coded; ``guest/bases.toml`` lists the public ones. A mirror is the URL of an archive's root, the
directory above ``dists`` and ``pool``.

Mirrors drop a package within days of its replacement. A snapshot service keeps an archive's past states at
``<root>/<archive>/<YYYYMMDDThhmmssZ>/``; for a time without a state of its own it serves the last one before
(https://snapshot.debian.org, "Usage").
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from debian.deb822 import Deb822

from boinc2docker.errors import InputError

ARCHIVE = "debian"
SECURITY = "debian-security"
VARIABLES = {ARCHIVE: "BOINC2DOCKER_DEBIAN_MIRROR", SECURITY: "BOINC2DOCKER_SECURITY_MIRROR"}
_LATER = (86_400, 7 * 86_400)
"""Seconds after an index's date at which to look for its packages: the service visits an archive some hours after the
index was made, and the archive keeps replaced packages for about a day. The week allows for the service's pauses."""
_SCHEMES = ("http", "https", "file")
_RELEASES = "bullseye|bookworm|trixie|forky|duke|oldoldstable|oldstable|stable|testing"
_SUITE = re.compile(rf"({_RELEASES}|sid|unstable)(-updates|-backports)?")
_SECURITY_SUITE = re.compile(rf"({_RELEASES})(-security|/updates)")


@dataclass(frozen=True)
class Source:
    """One line or stanza of apt's sources: an archive's URL and a suite in it."""

    url: str
    suite: str


@dataclass(frozen=True)
class Mirrors:
    """The mirrors of each archive, best first."""

    archives: Mapping[str, tuple[str, ...]]
    snapshots: Mapping[str, str] = field(default_factory=dict)
    """The snapshot service's root for each archive that it may be asked for."""

    def urls(self, archive: str, path: str) -> tuple[str, ...]:
        """The URLs of ``path``, relative to the archive's root, on every mirror. Raises InputError if there is none."""
        roots = self.archives.get(archive, ())
        if not roots:
            variable = VARIABLES.get(archive, "BOINC2DOCKER_DEBIAN_MIRROR")
            raise InputError("no-mirror", f"no mirror is known for the archive {archive!r}", hint=f"set {variable}")
        return tuple(f"{root}/{_quoted(path)}" for root in roots)

    def past(self, archive: str, path: str, date: int) -> tuple[str, ...]:
        """The snapshot service's URLs of ``path`` in an index of ``date`` (seconds); empty if it is not to be asked."""
        root = self.snapshots.get(archive)
        times = [time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(date + later)) for later in _LATER]
        return tuple(f"{root}/{when}/{_quoted(path)}" for when in times) if root else ()


def choose(
    public: Mapping[str, Sequence[str]],
    *,
    snapshot: str | None = None,
    chosen: Mapping[str, str | None] | None = None,
    environment: Mapping[str, str] = os.environ,
    apt: Path = Path("/etc/apt"),
) -> Mirrors:
    """The mirrors to ask, in order: ``chosen`` (options) or the environment's, else apt's and then ``public``.

    A chosen mirror is the only one asked, without ``snapshot``: the user may not be able to reach others. Raises
    InputError for a URL that is not http, https or file.
    """
    host = of_host(apt)
    archives, snapshots = {}, {}
    for archive, variable in VARIABLES.items():
        own = (chosen or {}).get(archive) or environment.get(variable)
        if own:
            archives[archive] = tuple(_checked(word, variable) for word in own.split())
        else:
            listed = [*host.get(archive, ()), *(url.rstrip("/") for url in public.get(archive, ()))]
            archives[archive] = tuple(dict.fromkeys(listed))
            if snapshot:
                snapshots[archive] = f"{snapshot.rstrip('/')}/{archive}"
    return Mirrors(archives, snapshots)


def of_host(apt: Path) -> dict[str, list[str]]:
    """The mirrors named in an ``/etc/apt`` directory; empty if it is missing or not Debian's."""
    sources = [source for path in _files(apt) for source in parse(_text(path), path.suffix)]
    return classify([each for source in sources for each in _expanded(source)])


def classify(sources: Sequence[Source]) -> dict[str, list[str]]:
    """Sorts sources into Debian's archives by the suites they serve, without those that are not Debian's.

    Third parties may use Debian's suite names, so the URL must end in ``/debian`` (or ``/debian-security``) too.
    """
    found: dict[str, list[str]] = {ARCHIVE: [], SECURITY: []}
    for source in sources:
        url = source.url.rstrip("/")
        last = urlsplit(url).path.rpartition("/")[2]
        if urlsplit(url).scheme not in _SCHEMES:
            continue
        if _SECURITY_SUITE.fullmatch(source.suite) and last in (SECURITY, "security", ARCHIVE):
            archive = SECURITY
        elif _SUITE.fullmatch(source.suite) and last == ARCHIVE:
            archive = ARCHIVE
        else:
            continue
        if url not in found[archive]:
            found[archive].append(url)
    return found


def parse(text: str, suffix: str) -> list[Source]:
    """The binary-package sources in a ``.list`` or ``.sources`` file (sources.list(5)); broken entries are skipped."""
    return list(_stanzas(text) if suffix == ".sources" else _lines(text))


def listed(text: str) -> list[str]:
    """The URLs in a mirror list (apt-transport-mirror(1)): one a line, options after white space."""
    return [line.split()[0] for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _expanded(source: Source) -> list[Source]:
    """Expands a ``mirror+file:`` source, as Debian's cloud images have, to the sources that the file lists."""
    if not source.url.startswith("mirror+file:"):
        return [source]
    names = listed(_text(Path(urlsplit(source.url.removeprefix("mirror+")).path)))
    return [Source(url, source.suite) for url in names]


def _lines(text: str) -> Iterator[Source]:
    """One-line style: ``deb [ option=value … ] uri suite component…``."""
    for line in text.splitlines():
        words = re.sub(r"\[[^\]]*\]", " ", line.partition("#")[0]).split()
        if len(words) >= 3 and words[0] == "deb":
            yield Source(words[1], words[2])


def _stanzas(text: str) -> Iterator[Source]:
    """deb822 style: ``Types``, ``URIs`` and ``Suites`` may each hold several words."""
    for fields in Deb822.iter_paragraphs(text, use_apt_pkg=False):
        if "deb" not in fields.get("Types", "").split() or fields.get("Enabled", "yes").strip().lower() in _OFF:
            continue
        for url in fields.get("URIs", "").split():
            for suite in fields.get("Suites", "").split():
                yield Source(url, suite)


_OFF = ("no", "false", "without", "off", "disable", "0")


def _files(apt: Path) -> list[Path]:
    folder = apt / "sources.list.d"
    parts = sorted(path for path in folder.glob("*") if path.suffix in (".list", ".sources")) if folder.is_dir() else []
    return [apt / "sources.list", *parts]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _quoted(path: str) -> str:
    return quote(path, safe="/+~:")


def _checked(url: str, variable: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or (parts.scheme != "file" and not parts.netloc):
        raise InputError(
            "bad-mirror",
            f"expected the URL of a Debian mirror (http, https or file), found {url!r}",
            hint=f"for example {variable}=https://mirror.example.org/debian",
        )
    return url.rstrip("/")
