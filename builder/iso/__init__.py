"""What is done to a base ISO: ``remaster``, ``inspect`` and ``customize``. Other parts use only these names."""

from builder.iso.customize import Customisation, customize, parse_settings, show
from builder.iso.customize import as_json as customisation_json
from builder.iso.customize import render as render_customisation
from builder.iso.identity import BaseIdentity, Identity
from builder.iso.initramfs import list_initramfs
from builder.iso.inspect import Report, inspect, read_identity
from builder.iso.inspect import as_json as report_json
from builder.iso.inspect import render as render_report
from builder.iso.remaster import Remastered, remaster

__all__ = [
    "BaseIdentity",
    "Customisation",
    "Identity",
    "Remastered",
    "Report",
    "customisation_json",
    "customize",
    "inspect",
    "list_initramfs",
    "parse_settings",
    "read_identity",
    "remaster",
    "render_customisation",
    "render_report",
    "report_json",
    "show",
]
