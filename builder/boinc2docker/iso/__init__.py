"""What is done to an ISO: ``remaster``, ``inspect``, ``customize``, ``compare``. Other parts use only these names."""

from builder.iso.customize import Customisation, customize, parse_settings, show
from builder.iso.customize import as_json as customisation_json
from builder.iso.customize import render as render_customisation
from builder.iso.difference import Difference, compare
from builder.iso.difference import as_json as difference_json
from builder.iso.difference import render as render_difference
from builder.iso.identity import BaseIdentity, Identity, parse_identity
from builder.iso.initramfs import list_initramfs
from builder.iso.inspect import Report, inspect, read_identity
from builder.iso.inspect import as_json as report_json
from builder.iso.inspect import render as render_report
from builder.iso.remaster import Remastered, remaster

__all__ = [
    "BaseIdentity",
    "Customisation",
    "Difference",
    "Identity",
    "Remastered",
    "Report",
    "compare",
    "customisation_json",
    "customize",
    "difference_json",
    "inspect",
    "list_initramfs",
    "parse_identity",
    "parse_settings",
    "read_identity",
    "remaster",
    "render_customisation",
    "render_difference",
    "render_report",
    "report_json",
    "show",
]
