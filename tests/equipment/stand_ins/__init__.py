"""Stand-ins for the programs of a BOINC server that submitting calls; a test project's ``bin/`` calls them by name.

They keep BOINC's documented rules and its oddities, on a real MariaDB, and share no code with what they test. The
programs themselves are ``create_work``, ``stage_file``, ``dir_hier_path`` and ``cancel_jobs``.
"""
