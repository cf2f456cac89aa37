"""Fixtures of downloading, see tests/equipment/downloading.py."""

from tests.equipment.downloading import cache, downloader, own_environment, quick

__all__ = ["cache", "downloader", "own_environment", "quick"]
