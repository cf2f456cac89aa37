"""Results: validator, assimilator, index. The names here are for a project's rules file."""

from boinc2docker.results.model import InvalidError, Result, RetryError, Store

__all__ = ["InvalidError", "Result", "RetryError", "Store"]
