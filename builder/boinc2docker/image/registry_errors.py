"""What a registry's refusals mean to a user."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from boinc2docker.errors import BuilderError, InputError, NetworkError
from boinc2docker.fetch import GoneError
from boinc2docker.fetch.transfer import PermanentError, TransientError
from boinc2docker.image.image_name import ImageName

_NETWORK_HINT = "check the network; behind a proxy set HTTPS_PROXY; for a registry without TLS use --plain-http"
_LOGIN_HINT = (
    "check the name (Docker Hub answers so for images that do not exist); for a private one `docker login` first"
)


@contextlib.contextmanager
def naming(name: ImageName) -> Iterator[None]:
    """Puts the image's name before every error from inside."""
    try:
        yield
    except GoneError as error:
        raise InputError("no-such-image", f"image {name.familiar}: {error.message}", hint=error.hint) from error
    except BuilderError as error:
        code = "bad-manifest" if error.code == "bad-archive" else error.code
        raise type(error)(code, f"image {name.familiar}: {error.message}", hint=error.hint) from error


def no_platform(found: Sequence[str]) -> InputError:
    """The error for an image that has nothing for the only machine there is."""
    shown = ", ".join(ascii(one)[1:-1] for one in dict.fromkeys(found))[:200] or "nothing"
    return InputError(
        "wrong-architecture",
        f"expected one for linux/amd64, found {shown}",
        hint="volunteers' machines are linux/amd64: choose another image or tag",
    )


def no_answer(failures: Sequence[tuple[str, Exception]]) -> BuilderError:
    """One error out of what all servers said about a name."""
    said = "; ".join(f"{host}: {error}" for host, error in failures)
    errors = [error for _, error in failures]
    if all(isinstance(error, PermanentError) and error.gone for error in errors):
        return InputError("no-such-image", f"there is none of this name and tag ({said})", hint="check the name")
    if any(isinstance(error, PermanentError) and error.denied for error in errors):
        return NetworkError("registry-denied", f"the registry does not let us in ({said})", hint=_LOGIN_HINT)
    if any(isinstance(error, TransientError) and "429" in str(error) for error in errors):
        return NetworkError(
            "registry-limit",
            f"the registry wants fewer requests ({said})",
            hint="wait, `docker login` for a higher limit, or use --mirror",
        )
    return NetworkError("registry-failed", f"no answer that helps ({said})", hint=_NETWORK_HINT)
