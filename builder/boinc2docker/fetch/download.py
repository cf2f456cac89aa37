"""Downloads files from mirrors into the cache: mirrors in order, retries with back-off, several files at a time.

No server is trusted: a file enters the cache under its digest or not at all. A mirror that does not answer is tried
last for the next files.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests
import requests.adapters

from boinc2docker import __version__, atomic, console
from boinc2docker.console import Advance
from boinc2docker.digest import Digest
from boinc2docker.errors import InputError, NetworkError, VerificationError
from boinc2docker.fetch.cache import Cache
from boinc2docker.fetch.transfer import (
    Expectation,
    Partial,
    Patience,
    PermanentError,
    StoppedError,
    TransientError,
    shown,
    transfer,
)

PARALLEL = 6
_HOPE = 1 << 20
"""Bytes after which an interrupted attempt counts as progress, not as a failure."""
_NETWORK_HINT = "check the network; behind a proxy set HTTPS_PROXY and HTTP_PROXY"


def new_session() -> requests.Session:
    """A session for several threads; the environment sets proxies and CA bundles."""
    session = requests.Session()
    session.headers["User-Agent"] = f"boinc2docker/{__version__}"
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=2 * PARALLEL)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


class GoneError(NetworkError):
    """Every mirror answered that it has no such file."""


@dataclass(frozen=True)
class Wanted:
    """A file to fetch. ``urls`` are mirrors of the same bytes, best first."""

    name: str
    """Shown to the user."""
    urls: tuple[str, ...]
    digest: Digest | None
    """None only for the first download of a URL whose digest is not known."""
    size: int | None = None
    limit: int = 4 << 30

    @property
    def key(self) -> str:
        """The name of the cache entry while it is unverified."""
        return self.digest.hex if self.digest else "url-" + Digest.of("\n".join(self.urls).encode()).hex

    @property
    def expectation(self) -> Expectation:
        return Expectation(size=self.size, limit=self.limit, verified=self.digest is not None)


class _Batch:
    """Shared by the threads of one ``fetch_all``: the progress bar and the signal to stop."""

    def __init__(self, bar: Advance) -> None:
        self.stop = threading.Event()
        self._bar = bar
        self._counting = threading.Lock()

    def advance(self, amount: int) -> None:
        with self._counting:
            self._bar(amount)

    def require_going(self) -> None:
        """Raises StoppedError once the batch was cancelled."""
        if self.stop.is_set():
            raise StoppedError


@dataclass
class Downloader:
    """Fetches into a cache. ``offline`` opens no sockets; ``session`` is used as it is, with its ``auth``."""

    cache: Cache = field(default_factory=Cache.of_user)
    offline: bool = False
    patience: Patience = field(default_factory=Patience)
    session: requests.Session = field(default_factory=new_session)

    def __post_init__(self) -> None:
        self._dead: set[str] = set()

    def fetch(self, wanted: Wanted) -> Path:
        """The verified file in the cache, downloaded if necessary.

        Raises GoneError, NetworkError, VerificationError, HostError (disk full).
        """
        return self.fetch_all([wanted])[0]

    def fetch_all(self, wanted: Sequence[Wanted], *, label: str | None = None) -> list[Path]:
        """All files, in the given order. The first failure cancels the rest. Raises as ``fetch``.

        Raises GoneError only after the other files have arrived, so that the caller can replace the missing one.
        """
        total = sum(item.size for item in wanted if item.size) or None
        title = label or (wanted[0].name if len(wanted) == 1 else f"{len(wanted)} files")
        paths = self._cached(wanted)
        missing = [item for item in wanted if item.key not in paths]
        if not missing:
            return [paths[item.key] for item in wanted]
        remote = self._require_online(missing)
        with console.progress(title, total) as bar:
            batch = _Batch(bar)
            batch.advance(sum(item.size or 0 for item in wanted if item.key in paths))
            futures = self._start({item.key: item for item in missing}, batch)
            _gather(list(futures.values()), batch)
        if remote:
            self.cache.prune()
        paths |= {key: future.result() for key, future in futures.items()}
        return [paths[item.key] for item in wanted]

    def _start(self, items: dict[str, Wanted], batch: _Batch) -> dict[str, Future[Path]]:
        """Starts threads that work through ``items``.

        Unlike an executor's, they are daemons: Ctrl-C does not wait for a server that does not answer. They leave
        behind only unverified bytes, and a lock that ends with the process.
        """
        futures: dict[str, Future[Path]] = {key: Future() for key in items}
        todo = deque((item, futures[key]) for key, item in items.items())

        def work() -> None:
            while True:
                try:
                    item, future = todo.popleft()
                except IndexError:
                    return
                try:
                    future.set_result(self._obtain(item, batch))
                except BaseException as error:  # noqa: BLE001 - raised where the future is awaited
                    future.set_exception(error)

        for number in range(min(PARALLEL, len(items))):
            threading.Thread(target=work, name=f"download-{number}", daemon=True).start()
        return futures

    def _cached(self, wanted: Sequence[Wanted]) -> dict[str, Path]:
        """The files that are cached, hashed in parallel."""
        known = [(item.key, item.digest, item.size) for item in wanted if item.digest]
        with ThreadPoolExecutor(2) as pool:
            paths = pool.map(lambda entry: self.cache.look_up(entry[1], entry[2]), known)
            return {entry[0]: path for entry, path in zip(known, paths, strict=True) if path}

    def _require_online(self, missing: Sequence[Wanted]) -> bool:
        """Whether the network is needed. Raises NetworkError if it is, but offline."""
        remote = [item for item in missing if any(urlsplit(url).scheme != "file" for url in item.urls)]
        if self.offline and remote:
            names = ", ".join(item.name for item in remote[:5]) + (" …" if len(remote) > 5 else "")
            raise NetworkError(
                "offline",
                f"--offline, and the cache lacks {len(remote)} file(s): {names}",
                hint=f"run it once without --offline (the cache is {self.cache.root})",
            )
        return bool(remote)

    def _obtain(self, wanted: Wanted, batch: _Batch) -> Path:
        """Fetches one file under its entry's lock; another process may have fetched it meanwhile."""
        batch.require_going()
        with self.cache.locked(wanted.key):
            batch.require_going()
            if wanted.digest and (path := self.cache.look_up(wanted.digest, wanted.size)):
                batch.advance(wanted.size or 0)
                return path
            partial = Partial(self.cache.partial(wanted.key))
            try:
                batch.advance(partial.size())
                return self._from_mirrors(wanted, partial, batch)
            except OSError as error:
                raise atomic.explain(error, f"write {wanted.name} to the cache {self.cache.root}") from error

    def _from_mirrors(self, wanted: Wanted, partial: Partial, batch: _Batch) -> Path:
        """Tries mirrors until one sends the right bytes."""
        failures: list[tuple[str, Exception]] = []
        for url in self._order(wanted.urls):
            try:
                return self._from_mirror(url, wanted, partial, batch)
            except (PermanentError, TransientError, VerificationError) as error:
                failures.append((url, error))
                if isinstance(error, TransientError) and error.unreachable:
                    self._dead.add(_origin(url))
        raise _verdict(wanted, failures)

    def _order(self, urls: Sequence[str]) -> list[str]:
        """Puts mirrors that did not answer last."""
        return sorted(urls, key=lambda url: _origin(url) in self._dead)

    def _from_mirror(self, url: str, wanted: Wanted, partial: Partial, batch: _Batch) -> Path:
        attempt = 1
        fresh = partial.size() == 0
        while True:
            before = partial.size()
            try:
                transfer(self.session, url, partial, wanted.expectation, self.patience, batch.advance, batch.stop)
                return self._admit(wanted, partial)
            except TransientError as error:
                attempt = 1 if partial.size() >= before + _HOPE else attempt + 1
                if attempt > self.patience.attempts or (error.unreachable and _origin(url) in self._dead):
                    raise
                fresh = fresh and partial.size() == 0
                if batch.stop.wait(self.patience.wait(attempt - 1, error.wait)):
                    raise StoppedError from error
            except VerificationError:
                batch.advance(-(wanted.size or 0))
                if fresh:
                    raise
                # The bad bytes may be those of an earlier attempt: start over once.
                fresh = True

    def _admit(self, wanted: Wanted, partial: Partial) -> Path:
        """Moves the file into the cache under its digest; leaves nothing behind if the digest is wrong."""
        digest = wanted.digest or Digest.of_file(partial.data)
        try:
            return self.cache.admit(partial.data, digest, wanted.name)
        finally:
            partial.drop()


def _gather(futures: list[Future[Path]], batch: _Batch) -> None:
    """Waits for all. Any failure but GoneError, and Ctrl-C, cancels the batch and is raised at once."""
    gone: list[GoneError] = []
    pending = set(futures)
    try:
        while pending:
            done, pending = wait(pending, return_when=FIRST_EXCEPTION)
            gone += [error for future in done if (error := _outcome(future))]
    except BaseException:
        batch.stop.set()
        raise
    if gone:
        raise gone[0]


def _outcome(future: Future[Path]) -> GoneError | None:
    """The GoneError of a finished download; raises its other errors."""
    try:
        future.result()
    except GoneError as error:
        return error
    except StoppedError:
        return None
    return None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _verdict(
    wanted: Wanted, failures: Sequence[tuple[str, Exception]]
) -> NetworkError | VerificationError | InputError:
    """Makes one error of all mirrors' answers."""
    if not failures:
        return InputError("no-mirror", f"no mirror is known for {wanted.name}", hint="name one with --mirror URL")
    said = "; ".join(f"{shown(url)}: {error}" for url, error in failures)
    errors = [error for _, error in failures]
    if all(isinstance(error, PermanentError) and error.gone for error in errors):
        return GoneError("gone", f"{wanted.name} is on no mirror: {said}")
    if any(isinstance(error, VerificationError) for error in errors):
        return VerificationError(
            "wrong-digest",
            f"{wanted.name}: no server sent the right bytes: {said}",
            hint="nothing was kept; the likely cause is a broken proxy or mirror, but an attack looks the same",
        )
    return NetworkError("download-failed", f"cannot download {wanted.name}: {said}", hint=_NETWORK_HINT)
