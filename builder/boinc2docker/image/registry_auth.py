"""Authentication at registries: anonymous tokens, tokens for credentials, basic authentication.

Sources: RFC 9110 section 11 (challenges); distribution's token specification (spec/auth/token.md, oauth.md).
Credentials are Docker's own: its config file and credential helpers, read by docker-py.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
import urllib.request
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import docker.auth
import requests
import urllib3.exceptions
from docker.errors import DockerException
from requests.auth import AuthBase

from boinc2docker import console
from boinc2docker.fetch.transfer import PermanentError, TransientError, retry_after, shown
from boinc2docker.image.registry_address import Endpoint, origin

_CLIENT = "boinc2docker"
_MAX_ANSWER = 1 << 20
_MOST_REDIRECTS = 3
_Origin = tuple[str, str, int]


@dataclass(frozen=True)
class Credentials:
    """Name and password, or an identity token, for one registry. Its repr hides them."""

    username: str = ""
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        return "Credentials(…)"


@dataclass(frozen=True)
class Challenge:
    """A way to authenticate that a server offers: ``bearer`` or ``basic``, with its parameters."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """Reads WWW-Authenticate, which may hold several challenges. Unknown ones are skipped."""
    found: list[Challenge] = []
    for item in urllib.request.parse_http_list(header):
        begin = re.match(r"([A-Za-z][\w-]*)(?:\s+(.*))?$", item, re.DOTALL)
        if begin and "=" not in begin[1] and (begin[2] is None or "=" in begin[2]):
            found.append(Challenge(begin[1].lower(), {}))
            item = begin[2] or ""
        name, equals, value = item.partition("=")
        if found and equals:
            text = value.strip()
            if text[:1] == text[-1:] == '"' and len(text) > 1:
                text = re.sub(r"\\(.)", r"\1", text[1:-1])
            found[-1].parameters[name.strip().lower()] = text
    return found


def token_url(challenge: Challenge, path: str) -> str:
    """The URL that gives an anonymous pull token for the repository ``path``; ``""`` if the challenge names none."""
    realm = challenge.parameters.get("realm", "")
    if not re.fullmatch(r"https?://[!-~]+", realm):
        return ""
    fields = {"scope": challenge.parameters.get("scope") or f"repository:{path}:pull"}
    if service := challenge.parameters.get("service"):
        fields = {"service": service, **fields}
    return realm + ("&" if urlsplit(realm).query else "?") + urlencode(fields, safe=":/,")


def docker_credentials(domain: str) -> Credentials | None:
    """What `docker login` stored for ``domain``. A config or helper that fails is a warning, not an error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # docker-py's about a missing helper; ours says more
            found: dict[str, Any] = docker.auth.load_config().resolve_authconfig(domain) or {}
    except (DockerException, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        console.warn(f"Docker's credentials for {domain} cannot be read ({str(error)[:200]}); going on without")
        return None
    texts = {str(key).lower(): value for key, value in found.items() if isinstance(value, str)}
    made = Credentials(texts.get("username", ""), texts.get("password", ""), texts.get("identitytoken", ""))
    return made if made.username or made.identity_token else None


class RegistryAuth(AuthBase):
    """Answers a registry's 401, once per request. One for all threads and all endpoints of an image.

    Credentials and tokens go to the origin they are for and to nobody else: registries redirect to storage elsewhere.
    Its requests raise PermanentError and TransientError for token servers that deny or fail.
    """

    def __init__(self, credentials: Mapping[Endpoint, Credentials | None], timeout: tuple[float, float]) -> None:
        self._endpoints = {origin(endpoint.root): endpoint for endpoint in credentials}
        self._credentials = {origin(endpoint.root): found for endpoint, found in credentials.items()}
        self._timeout = timeout
        self._headers: dict[_Origin, str] = {}
        self._token_urls: dict[_Origin, str] = {}
        self._lock = threading.Lock()

    def token_url(self, endpoint: Endpoint) -> str:
        """Where it got a token for ``endpoint``; ``""`` if none was needed yet."""
        return self._token_urls.get(origin(endpoint.root), "")

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if header := self._headers.get(origin(request.url or "")):
            request.headers["Authorization"] = header
        request.hooks["response"].append(self._answered)
        return request

    def _answered(self, response: requests.Response, **settings: Any) -> requests.Response:
        """The response, or after a 401 the response to the same request with credentials or a token."""
        request = response.request
        where = origin(request.url or "")
        if response.status_code != 401 or where not in self._endpoints:
            return response
        used = request.headers.get("Authorization")
        with self._lock:
            header = self._headers.get(where)
            if header is None or header == used:  # else another thread has just been here
                header = self._header(response, where, settings)
            if header is None:
                return response
            self._headers[where] = header
        response.close()  # unread: nobody knows how much would come
        again = request.copy()
        again.headers["Authorization"] = header
        adapter: requests.adapters.BaseAdapter = response.connection
        second = adapter.send(again, **settings)
        second.history.append(response)
        second.request = again
        return second

    def _header(self, response: requests.Response, where: _Origin, settings: Mapping[str, Any]) -> str | None:
        known = self._credentials[where]
        for challenge in parse_challenges(response.headers.get("WWW-Authenticate", "")):
            if challenge.scheme == "bearer":
                _require_private(challenge, where, known)
                self._token_urls[where] = url = token_url(challenge, self._endpoints[where].path)
                return f"Bearer {self._token(url, known, settings)}"
            if challenge.scheme == "basic" and known is not None and known.username:
                return _basic(known)
        return None

    def _token(self, url: str, credentials: Credentials | None, settings: Mapping[str, Any]) -> str:
        if not url:
            raise PermanentError("asks for a token but does not say where to get one")
        common = {name: settings[name] for name in ("verify", "cert", "proxies") if name in settings}
        common |= {"auth": _as_it_is, "stream": True}
        until = time.monotonic() + sum(self._timeout)
        try:
            with _ask(url, credentials, self._timeout, common) as answer:
                return _read_token(answer, url, until, with_credentials=credentials is not None)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise TransientError(f"the token server {shown(url).partition('?')[0]} does not answer") from error
        except ValueError as error:  # requests looks at Location even where it is not to follow
            raise PermanentError(
                f"the token server {shown(url).partition('?')[0]} redirects to an invalid URL"
            ) from error


def _ask(
    url: str, credentials: Credentials | None, timeout: tuple[float, float], common: Mapping[str, Any]
) -> requests.Response:
    """The token server's answer. Credentials never follow a redirect to another origin.

    requests drops only the Authorization header there; a 307 or 308 repeats a form, identity token included. So the
    form is not sent twice at all. Without credentials there is nothing to protect.
    """
    if credentials is None:
        return requests.get(url, timeout=timeout, **common)
    if credentials.identity_token:
        form = _oauth(url, credentials)
        answer = requests.post(url.partition("?")[0], data=form, allow_redirects=False, timeout=timeout, **common)
        if answer.is_redirect:
            raise _led_away(answer, "an identity token is sent only once")
        return answer
    headers, where = {"Authorization": _basic(credentials)}, url
    for _ in range(_MOST_REDIRECTS):
        answer = requests.get(where, headers=headers, allow_redirects=False, timeout=timeout, **common)
        if not answer.is_redirect:
            return answer
        where = urljoin(where, answer.headers["Location"])
        if origin(where) != origin(url):
            raise _led_away(answer, "credentials are not sent to another server")
        answer.close()
    raise _led_away(answer, f"more than {_MOST_REDIRECTS} redirects")


def _led_away(answer: requests.Response, why: str) -> PermanentError:
    answer.close()
    scheme, host, port = origin(urljoin(answer.url, answer.headers["Location"]))
    to = ascii(f"{scheme}://{host}:{port}")[1:100].rstrip("'")
    return PermanentError(
        f"the token server {shown(answer.url).partition('?')[0]} redirects to {to} (status {answer.status_code}): {why}"
    )


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """No authentication, and none from ~/.netrc either."""
    return request


def _basic(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password}".encode()
    return "Basic " + base64.b64encode(pair).decode()


def _oauth(url: str, credentials: Credentials) -> dict[str, str]:
    """The form that exchanges an identity token for an access token (distribution, spec/auth/oauth.md)."""
    fields = dict(parse_qsl(urlsplit(url).query))
    return fields | {
        "grant_type": "refresh_token",
        "client_id": _CLIENT,
        "refresh_token": credentials.identity_token,
    }


def _require_private(challenge: Challenge, where: _Origin, credentials: Credentials | None) -> None:
    """Raises PermanentError if credentials for a TLS server would be sent without TLS."""
    realm = urlsplit(challenge.parameters.get("realm", ""))
    if credentials is not None and where[0] == "https" and realm.scheme != "https":
        raise PermanentError(f"wants credentials sent unencrypted to {realm.netloc[:100]}")


def _body(answer: requests.Response, server: str, until: float) -> bytes:
    """The body of a small response, with limits on its size and time, since others wait for it."""
    data = b""
    while piece := answer.raw.read1(_MAX_ANSWER, decode_content=True):
        data += piece
        if len(data) > _MAX_ANSWER:
            raise PermanentError(f"the token server {server} sent more than {_MAX_ANSWER} bytes")
        if time.monotonic() > until:
            raise TransientError(f"the token server {server} did not finish its response in time")
    return data


def _read_token(answer: requests.Response, url: str, until: float, *, with_credentials: bool) -> str:
    server = shown(url).partition("?")[0]
    status = answer.status_code
    if status in (408, 425, 429) or status >= 500:
        wait = retry_after(answer.headers.get("Retry-After"), time.time())
        raise TransientError(f"status {status} from the token server {server}", wait=wait)
    if status != 200:
        what = "rejects the credentials of `docker login`" if with_credentials else "gives no anonymous token"
        raise PermanentError(f"the token server {server} {what} (status {status})", denied=True)
    try:
        fields = json.loads(_body(answer, server, until))
        token = fields.get("token") or fields.get("access_token")
    except (ValueError, AttributeError, RecursionError):
        token = None
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
        raise TransientError(f"the token server {server} sent no token")
    return token
