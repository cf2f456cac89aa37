"""Where a base ISO comes from: a name of the catalogue, a path or a URL in, a verified ISO out."""

from builder.base.lock import Change
from builder.base.obtain import Base, Fetched, Sources, fetch, obtain, update_and_report, update_lock
from builder.fetch.cache import Cache

__all__ = ["Base", "Cache", "Change", "Fetched", "Sources", "fetch", "obtain", "update_and_report", "update_lock"]
