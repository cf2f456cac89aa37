"""Turns a catalogue name, a path or a URL into a verified base ISO."""

from boinc2docker.base.lock import Change
from boinc2docker.base.obtain import Base, Fetched, Sources, fetch, obtain, update_and_report, update_lock
from boinc2docker.fetch.cache import Cache

__all__ = ["Base", "Cache", "Change", "Fetched", "Sources", "fetch", "obtain", "update_and_report", "update_lock"]
