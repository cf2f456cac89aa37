"""The checkout that the tests are in, whichever package they test."""

from __future__ import annotations

from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]
PYTHON_PATH = f"{PROJECT_ROOT / 'builder'}:{PROJECT_ROOT}"
"""What another Python needs in ``PYTHONPATH`` to import the package and the tests."""
