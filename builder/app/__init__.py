"""A versioned BOINC app: packaged, signed, installed into a project. Other parts use only these names."""

from builder.app.package import Options, package_app
from builder.app.settings import FIELDS
from builder.app.sign_command import sign, verify

__all__ = ["FIELDS", "Options", "package_app", "sign", "verify"]
