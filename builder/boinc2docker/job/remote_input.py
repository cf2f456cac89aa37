"""Input files that hosts fetch from the user's server: BOINC's "remote files"."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urldefrag, urlsplit

from boinc2docker.digest import CHUNK, Digest
from boinc2docker.errors import InputError, VerificationError
from boinc2docker.job.inputs import check_name

if TYPE_CHECKING:
    from boinc2docker.fetch import Cache

_MAX_URL = 1000
"""Bytes; create_work has room for 1023."""
_URL = re.compile(r"https?://[!-~]+")
_UNSAFE = re.compile(r"[\"'<>`\\\\^{}|]")
"""Characters that create_work's input or its SQL would garble, or that URLs do not have."""
_FORM = "URL, or URL#name=NAME&md5=HEX&size=BYTES"


@dataclass(frozen=True)
class RemoteInput:
    """A file at ``url`` that appears as ``name`` below the job's directory.

    ``md5`` and ``size`` are what BOINC's clients check it by; ``md5`` empty: not known yet. ``sha256`` is required when
    the file is looked at here.
    """

    url: str
    name: str
    md5: str = ""
    size: int = 0
    sha256: str = ""

    @property
    def xml_url(self) -> str:
        """The URL escaped for XML; BOINC's server writes it into XML unescaped."""
        return self.url.replace("&", "&amp;")

    @property
    def known(self) -> bool:
        """Whether it can be submitted without a download."""
        return bool(self.md5)


def parse(text: str) -> RemoteInput:
    """Reads ``URL[#name=NAME&md5=HEX&size=BYTES&sha256=HEX]``; without a name it is the URL's last part.

    Raises InputError.
    """
    url, fragment = urldefrag(text)
    length = len(url) + url.count("&") * len("amp;")
    if not _URL.fullmatch(url) or _UNSAFE.search(url) or length > _MAX_URL or not urlsplit(url).hostname:
        raise InputError(
            "bad-url",
            f"--input-url: expected {_FORM}, found {text[:120]!a}",
            hint=f"write blanks, quotes and the like as %XX; at most {_MAX_URL} bytes, where & counts as 5",
        )
    facts = dict(parse_qsl(fragment, keep_blank_values=True))
    name = facts.pop("name", None) or unquote(urlsplit(url).path).rpartition("/")[2]
    check_name(name, "--input-url")
    md5, size, sha256 = facts.pop("md5", "").lower(), facts.pop("size", ""), facts.pop("sha256", "").lower()
    if facts or bool(md5) != bool(size):
        raise InputError("bad-url", f"--input-url: expected {_FORM} (md5 and size together), found #{fragment[:120]}")
    for value, form in ((md5, "[0-9a-f]{32}"), (size, "[1-9][0-9]{0,14}"), (sha256, "[0-9a-f]{64}")):
        if value and not re.fullmatch(form, value):
            raise InputError("bad-url", f"--input-url: {value[:80]!a} is not a digest or size (form: {form})")
    return RemoteInput(url, name, md5, int(size or 0), sha256)


def obtain(remote: RemoteInput, cache: Cache | None = None) -> tuple[RemoteInput, Path]:
    """Downloads it once into the cache; returns it with digest and size, and the file.

    Raises NetworkError, and VerificationError if it is not what it should be.
    """
    from boinc2docker.fetch import Cache, Downloader, Wanted  # only here: describing a job needs no network

    downloader = Downloader(cache or Cache.of_user())
    digest = Digest(remote.sha256) if remote.sha256 else None
    path = downloader.fetch(Wanted(remote.url, (remote.url,), digest, size=remote.size or None))
    with path.open("rb") as stream:
        state = hashlib.md5(usedforsecurity=False)
        while piece := stream.read(CHUNK):
            state.update(piece)
    found = replace(remote, md5=state.hexdigest(), size=path.stat().st_size)
    if remote.known and found != remote:
        raise VerificationError(
            "wrong-digest",
            f"--input-url {remote.url}: expected MD5 {remote.md5} and {remote.size} bytes, "
            f"found {found.md5} and {found.size}",
        )
    return found, path
