"""Runs any Docker image on BOINC volunteers' computers.

Each part imports only what stands below it. From the top: ``cli``, ``release``, ``submission``, ``vm`` and ``app``,
``job``, then ``base``, ``image``, ``results`` and ``iso``, then ``fetch``, ``store`` and ``project``, then
``formats`` and ``locks``, and the modules beside this one.
"""

from pathlib import Path

__version__ = "2.0.0"

PROJECT_ROOT = Path(__file__).resolve().parents[2]
"""The checkout this package lies in; ``guest/`` and ``app_template/`` are found from here."""

PYTHON_PATH = f"{PROJECT_ROOT / 'builder'}:{PROJECT_ROOT}"
"""What another Python needs in ``PYTHONPATH`` to import this package, and the checkout's own."""
