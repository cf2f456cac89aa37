"""boinc2docker's builder: everything behind the commands of ``tasks.py``.

The parts (``base``, ``iso``, ``app``, ``work``, ``vm``, ``results``) import downwards only: from the
modules beside this one and ``fetch`` (downloads), and among themselves only ``vm`` from ``work`` and
``app`` from ``iso``.
"""

from pathlib import Path

__version__ = "2.0.0"

PROJECT_ROOT = Path(__file__).resolve().parent.parent
"""The checkout this package lies in; ``guest/`` and ``app_template/`` are found from here."""
