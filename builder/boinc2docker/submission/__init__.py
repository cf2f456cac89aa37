"""Submits jobs as BOINC work units, reports their status, cancels them."""
