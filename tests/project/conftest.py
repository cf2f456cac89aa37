"""Fixtures of a BOINC project with a database, as those of submitting have them."""

from __future__ import annotations

from tests.work.boinc.conftest import boinc_project, database

__all__ = ["boinc_project", "database"]
