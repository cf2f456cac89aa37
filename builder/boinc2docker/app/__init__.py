"""A versioned BOINC app: packaged, signed, installed into a project. Other parts use only these names."""

from boinc2docker.app.package import Options, package_app
from boinc2docker.app.settings import FIELDS

__all__ = ["FIELDS", "Options", "package_app"]
