"""What is done to a base ISO: ``remaster``, ``inspect`` and ``customize``. Other parts use only these names."""

from builder.iso.identity import BaseIdentity, Identity
from builder.iso.remaster import Remastered, remaster

__all__ = ["BaseIdentity", "Identity", "Remastered", "remaster"]
