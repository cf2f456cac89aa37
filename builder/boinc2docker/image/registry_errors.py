"""Turns the answers of registries into errors for the user."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from boinc2docker.errors import BuilderError, InputError, NetworkError
from boinc2docker.fetch import GoneError
from boinc2docker.fetch.transfer import PermanentError, TransientError
from boinc2docker.image.image_name import ImageName

_NETWORK_HINT = "check the network; behind a proxy set HTTPS_PROXY; for a registry without TLS use --plain-http"
_LOGIN_HINT = (
    "check the name (Docker Hub answers the same for images that do not exist); for a private one `docker login` first"
)


@contextlib.contextmanager
def naming(name: ImageName) -> Iterator[None]:
    """Puts the image's name before the errors raised inside."""
    try:
        yield
    except GoneError as error:
        raise InputError("no-such-image", f"image {name.familiar}: {error.message}", hint=error.hint) from error
    except BuilderError as error:
        code = "bad-manifest" if error.code == "bad-archive" else error.code
        raise type(error)(code, f"image {name.familiar}: {error.message}", hint=error.hint) from error


def no_platform(found: Sequence[str]) -> InputError:
    """The error for an image without a build for linux/amd64."""
    shown = ", ".join(ascii(platform)[1:-1] for platform in dict.fromkeys(found))[:200] or "nothing"
    return InputError(
        "wrong-architecture",
        f"expected a build for linux/amd64, found {shown}",
        hint="volunteers' machines run linux/amd64: choose another image or tag",
    )


def no_answer(failures: Sequence[tuple[str, Exception]]) -> BuilderError:
    """Makes one error of all servers' answers about a name."""
    said = "; ".join(f"{host}: {error}" for host, error in failures)
    errors = [error for _, error in failures]
    if all(isinstance(error, PermanentError) and error.gone for error in errors):
        return InputError("no-such-image", f"no server has this name and tag ({said})", hint="check the name")
    if any(isinstance(error, PermanentError) and error.denied for error in errors):
        return NetworkError("registry-denied", f"the registry denies access ({said})", hint=_LOGIN_HINT)
    if any(isinstance(error, TransientError) and "429" in str(error) for error in errors):
        return NetworkError(
            "registry-limit",
            f"the registry limits requests ({said})",
            hint="wait, `docker login` for a higher limit, or use --mirror",
        )
    return NetworkError("registry-failed", f"the registry did not answer ({said})", hint=_NETWORK_HINT)
