"""Files from servers into a cache named by their digests: what the parts that download share."""

from builder.fetch.cache import Cache
from builder.fetch.download import Downloader, GoneError, Wanted
from builder.fetch.transfer import Patience

__all__ = ["Cache", "Downloader", "GoneError", "Patience", "Wanted"]
