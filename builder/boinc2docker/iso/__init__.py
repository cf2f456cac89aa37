"""Operations on ISOs: ``remaster``, ``inspect``, ``customize``, ``compare``. Other parts use only these names."""

from boinc2docker.iso.customize import Customisation, customize, parse_settings, show
from boinc2docker.iso.customize import as_json as customisation_json
from boinc2docker.iso.customize import render as render_customisation
from boinc2docker.iso.difference import Difference, compare
from boinc2docker.iso.difference import as_json as difference_json
from boinc2docker.iso.difference import render as render_difference
from boinc2docker.iso.identity import BaseIdentity, Identity, parse_identity
from boinc2docker.iso.initramfs import list_initramfs
from boinc2docker.iso.inspect import Report, inspect, read_identity, reads_zstd
from boinc2docker.iso.inspect import as_json as report_json
from boinc2docker.iso.inspect import render as render_report
from boinc2docker.iso.remaster import Remastered, remaster

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
    "reads_zstd",
    "remaster",
    "render_customisation",
    "render_difference",
    "render_report",
    "report_json",
    "show",
]
