"""What MkDocs does not know: the reference of commands comes from their table. mkdocs.yml names this file as a hook.

ci/docs puts the package into PYTHONPATH.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_PLACE = re.compile(r"^<!-- generated: ([a-z-]+) -->$", re.MULTILINE)


def command_line() -> str:
    """The commands and their options, as Markdown."""
    from boinc2docker.cli.reference import markdown

    # GitHub needs a backslash before a bar in a table's code, MkDocs shows it.
    return re.sub(r"`[^`\n]+`", lambda code: code[0].replace("\\|", "|"), markdown())


GENERATED: Mapping[str, Callable[[], str]] = {"command-line": command_line}
"""What ``<!-- generated: NAME -->`` in a page stands for."""


def on_page_markdown(markdown: str, /, **_: Any) -> str:
    """MkDocs' event for each page: its text, with what is generated in its place. Raises KeyError for unknown names."""
    return _PLACE.sub(lambda match: GENERATED[match[1]](), markdown)
