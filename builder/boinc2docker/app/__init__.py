"""A versioned BOINC app: packaged, signed, installed into a project. Other parts use only these names."""

from boinc2docker.app.package import Options, package_app
from boinc2docker.app.settings import FIELDS, Field

__all__ = ["FIELDS", "Field", "Options", "package_app"]
