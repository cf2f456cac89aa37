"""Downloads into a cache named by digests, for every part that fetches something."""

from boinc2docker.fetch.cache import Cache
from boinc2docker.fetch.download import Downloader, GoneError, Wanted
from boinc2docker.fetch.transfer import Patience

__all__ = ["Cache", "Downloader", "GoneError", "Patience", "Wanted"]
