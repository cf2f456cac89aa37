"""``python -m boinc2docker``: the same as the command ``boinc2docker``."""

from boinc2docker.cli.program import main

if __name__ == "__main__":
    main()
