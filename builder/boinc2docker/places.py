"""Where things are: what the package brings along, where output goes, and where caches are.

The package runs from a checkout, also after ``pip install -e``, or from where a wheel was installed. A wheel carries
``guest/`` and ``app_template/`` inside the package, below ``data/`` (``pyproject.toml``).
"""

from __future__ import annotations

import os
from pathlib import Path

from boinc2docker.errors import UsageError

SOURCE = Path(__file__).resolve().parents[1]
"""The directory that Python imports this package from: ``builder/`` of a checkout, or ``site-packages``."""

CHECKOUT = SOURCE.parent if SOURCE.name == "builder" and (SOURCE.parent / "guest").is_dir() else None
"""The root of the checkout; None if the package was installed from a wheel."""

DATA = CHECKOUT or SOURCE / "boinc2docker" / "data"
GUEST = DATA / "guest"
APP_TEMPLATE = DATA / "app_template"
CACHE_VARIABLE = "BOINC2DOCKER_CACHE"


def own_checkout() -> Path | None:
    """The checkout, if this user may write it."""
    return CHECKOUT if CHECKOUT is not None and os.access(CHECKOUT, os.W_OK) else None


def require_checkout(what: str) -> Path:
    """The checkout. Raises UsageError, with ``what`` as the command that needs it, if there is none."""
    if CHECKOUT is None:
        raise UsageError("no-checkout", f"{what} works in a checkout of boinc2docker only", hint="git clone it")
    return CHECKOUT


def output() -> Path:
    """Where output goes unless an option says otherwise.

    ``build/`` of a checkout that this user may write; otherwise the current directory.
    """
    own = own_checkout()
    return own / "build" if own else Path.cwd()


def scratch() -> Path:
    """The scratch directory of ``run``: ``build/scratch`` of a checkout that this user may write; otherwise a cache."""
    own = own_checkout()
    return own / "build" / "scratch" if own else cache() / "scratch"


def cache() -> Path:
    """``$BOINC2DOCKER_CACHE``, else the platform's cache directory of this user."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    import platformdirs  # only here: most commands start without it

    return platformdirs.user_cache_path("boinc2docker", appauthor=False)


def built(pattern: str) -> list[Path]:
    """The files that earlier commands wrote to the output directory, oldest first.

    A checkout that this user may not write still shares what its owner built.
    """
    homes = {output(), CHECKOUT / "build" if CHECKOUT else output()}
    return sorted((path for home in homes for path in home.glob(pattern)), key=lambda path: path.stat().st_mtime)
