"""What comes back: validator, assimilator, index. The public face of this part, and of a project's rules file."""

from boinc2docker.results.model import InvalidError, Result, RetryError, Store

__all__ = ["InvalidError", "Result", "RetryError", "Store"]
