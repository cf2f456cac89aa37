"""Runs any Docker image on BOINC volunteers' computers.

Each part imports only what stands below it. From the top: ``cli``, ``release``, ``submission``, ``vm`` and ``app``,
``job``, then ``base``, ``image``, ``results`` and ``iso``, then ``fetch``, ``store`` and ``project``, then
``formats`` and ``locks``, and the modules beside this one.
"""

__version__ = "2.0.0"
