"""Resolves a name in a registry to an image for linux/amd64: each step by digest, each byte verified.

A tag is asked for once (a HEAD, which registries do not count as a pull); all that follows is by digest, from the cache
where it is there: the manifest or the tree of indexes, the config, the layers.

Why no registry library: oras 0.2.43 parses manifests without keeping their bytes, so nothing can be verified against a
digest; it sets no time limits, ignores Retry-After and retries every refusal. python-dxf 12.1.1 verifies, but knows
neither resumption nor Retry-After nor registries without TLS that want tokens, and stumbles over OCI manifests without
a media type. What a registry client does beyond downloads is authentication (``registry_auth``) and manifests
(``manifest``); the downloads are this project's own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from boinc2docker.digest import Digest
from boinc2docker.errors import InputError, NetworkError
from boinc2docker.fetch import Cache, Downloader, Patience, Wanted
from boinc2docker.fetch.download import new_session
from boinc2docker.fetch.transfer import PermanentError, TransientError, answer, require_success
from boinc2docker.image.image import BlobSource, Image, Layer, same_number
from boinc2docker.image.image_config import MAX_JSON, parse_config
from boinc2docker.image.image_name import ImageName
from boinc2docker.image.manifest import ACCEPT, Descriptor, Index, Manifest, parse_manifest
from boinc2docker.image.registry_address import Endpoint, endpoints, is_loopback
from boinc2docker.image.registry_auth import Credentials, RegistryAuth, docker_credentials
from boinc2docker.image.registry_errors import naming, no_answer, no_platform

Value = TypeVar("Value")
_MAX_DEPTH = 4
_MAX_TRIED = 20
_ACCEPT = {"Accept": f"{ACCEPT}, */*"}


@dataclass(frozen=True)
class Access:
    """How to reach registries. ``mirrors`` are root URLs, asked first; ``plain_http`` concerns the registry itself."""

    mirrors: tuple[str, ...] = ()
    plain_http: bool = False
    cache: Cache = field(default_factory=Cache.of_user)
    patience: Patience = field(default_factory=Patience)
    credentials: Callable[[str], Credentials | None] = docker_credentials


class Registry:
    """The servers that may have one image. Its methods raise NetworkError, InputError and VerificationError.

    Each error names the image, the server and the cause.
    """

    def __init__(self, name: ImageName, access: Access) -> None:
        self._name, self._patience = name, access.patience
        self._endpoints = endpoints(name, access.mirrors, plain_http=access.plain_http)
        own = self._endpoints[-1]
        self._auth = RegistryAuth(
            {
                endpoint: access.credentials(name.domain if endpoint == own else endpoint.host)
                for endpoint in self._endpoints
            },
            (access.patience.connect, access.patience.read),
        )
        session = new_session()
        session.headers.update(_ACCEPT)
        session.auth = self._auth
        _past_proxies(session.proxies, self._endpoints)
        self._downloader = Downloader(access.cache, patience=access.patience, session=session)

    def resolve(self) -> Image:
        """The image that has the name now, pinned to its digest. Layers are listed, not fetched."""
        with naming(self._name):
            digest, manifest, others = self._pick(self._name.digest or self._digest_of_tag(), 0)
            if manifest is None:
                raise no_platform(others)
            data = self._fetch([self._wanted(manifest.config, "the config")])[0].read_bytes()
            config = parse_config(data, "the config")
            if not config.runs_here:
                raise no_platform([config.platform])
            same_number(len(manifest.layers), len(config.diff_ids), self._name.familiar, "manifest")
        return Image(
            name=self._name.familiar,
            config=data,
            layers=tuple(
                Layer(one.digest, one.size, diff_id, compression)
                for (one, compression), diff_id in zip(manifest.layers, config.diff_ids, strict=True)
            ),
            entrypoint=config.entrypoint,
            command=config.command,
            pinned=self._name.pinned(digest),
        )

    def fetch_layers(self, image: Image) -> dict[Digest, Path]:
        """Each layer's verified file in the cache, fetched in parallel and resumed after failures."""
        wanted: dict[Digest, Wanted] = {}
        for number, one in enumerate(image.layers, 1):
            what = f"layer {number} of {len(image.layers)}"
            wanted.setdefault(one.digest, self._wanted(Descriptor(one.digest, one.size, one.media_type), what))
        with naming(self._name):
            return dict(zip(wanted, self._fetch(list(wanted.values())), strict=True))

    def _fetch(self, wanted: list[Wanted]) -> list[Path]:
        return self._downloader.fetch_all(wanted, label=f"fetching {self._name.familiar}")

    def public_sources(self, image: Image) -> tuple[BlobSource, ...]:
        """Where hosts without credentials can fetch ``image``'s layers, best first.

        Found out by asking for its config as they would. Raises InputError if there is no such place.
        """
        found: list[BlobSource] = []
        reasons: list[str] = []
        for endpoint in self._endpoints:
            try:
                found.append(self._public_source(endpoint, image.config_digest))
            except (PermanentError, TransientError) as error:
                reasons.append(f"{endpoint.host}: {error}")
        if not found:
            raise InputError(
                "private-image",
                f"image {image.name}: hosts without credentials cannot fetch its layers ({'; '.join(reasons)})",
                hint="use --via boinc, which sends the layers with the job",
            )
        return tuple(found)

    def _public_source(self, endpoint: Endpoint, digest: Digest) -> BlobSource:
        anonymous = RegistryAuth({endpoint: None}, (self._patience.connect, self._patience.read))
        session = new_session()
        session.auth = anonymous
        _past_proxies(session.proxies, [endpoint])

        def probe() -> None:
            with answer(
                session, endpoint.blob_url(digest), {}, self._patience, method="HEAD", follow=False
            ) as response:
                # A redirect to storage is as good as the bytes.
                if not 300 <= response.status_code < 400:
                    require_success(response, endpoint.blobs_url)

        self._patiently(probe)
        return BlobSource(endpoint.blobs_url, anonymous.token_url(endpoint))

    def _pick(self, digest: Digest, depth: int) -> tuple[Digest, Manifest | None, list[str]]:
        """The first image in the index ``digest`` that may run here, and the platforms of the others."""
        urls = tuple(endpoint.manifest_url(str(digest)) for endpoint in self._endpoints)
        path = self._fetch([Wanted(f"manifest {digest.hex[:12]}…", urls, digest, limit=MAX_JSON)])[0]
        found = parse_manifest(path.read_bytes(), "")
        if isinstance(found, Manifest):
            return digest, found, []
        if depth >= _MAX_DEPTH:
            raise InputError("bad-manifest", "its indexes are nested too deeply")
        return self._pick_from(digest, found, depth)

    def _pick_from(self, digest: Digest, index: Index, depth: int) -> tuple[Digest, Manifest | None, list[str]]:
        others = list(index.others)
        for choice in index.choices[:_MAX_TRIED]:
            below, manifest, more = self._pick(choice.target.digest, depth + 1)
            if manifest is not None:
                return below, manifest, []
            others += more
        return digest, None, others

    def _digest_of_tag(self) -> Digest:
        failures: list[tuple[str, Exception]] = []
        for endpoint in self._endpoints:
            try:
                return self._patiently(partial(self._ask, endpoint.manifest_url(self._name.wanted)))
            except (PermanentError, TransientError, NetworkError) as error:
                failures.append((endpoint.host, error))
        raise no_answer(failures)

    def _ask(self, url: str) -> Digest:
        """The digest of a tag. Where HEAD does not give it, the manifest is fetched."""
        with answer(self._downloader.session, url, {}, self._patience, method="HEAD") as response:
            said = response.headers.get("Docker-Content-Digest", "")
            if response.status_code not in (400, 405, 501):
                require_success(response, url)
                if re.fullmatch(r"sha256:[0-9a-f]{64}", said):
                    return Digest.parse(said)
        manifest = Wanted(f"the manifest of {self._name.familiar}", (url,), None, limit=MAX_JSON)
        return Digest.of(self._fetch([manifest])[0].read_bytes())

    def _patiently(self, work: Callable[[], Value]) -> Value:
        """The value of ``work``, retried as often as patience allows."""
        for attempt in range(1, self._patience.attempts + 1):
            try:
                return work()
            except TransientError as error:
                if attempt == self._patience.attempts:
                    raise
                time.sleep(self._patience.wait(attempt, error.wait))
        raise AssertionError("patience has no attempts")

    def _wanted(self, blob: Descriptor, what: str) -> Wanted:
        urls = tuple(endpoint.blob_url(blob.digest) for endpoint in self._endpoints)
        return Wanted(f"{what} ({blob.digest.hex[:12]}…)", urls, blob.digest, size=blob.size)


def _past_proxies(proxies: MutableMapping[str, str], servers: Iterable[Endpoint]) -> None:
    """Uses no proxy for loopback addresses, whatever the environment says, as Docker does."""
    for server in servers:
        parts = urlsplit(server.root)
        if is_loopback(parts.hostname or ""):
            proxies[f"{parts.scheme}://{parts.hostname}"] = ""
