"""What BOINC's programs print, read line by line."""

from __future__ import annotations

import pytest

from builder.app import server_tools
from builder.app.version import Version

SECTIONS = """\
App other:
   Version 1.02:
      App version: windows_x86_64__vbox64_mt
    App version added successfully; ID=1
App ours:
notes is not a version number; skipping
   Version 1.2:
      App version: x86_64-pc-linux-gnu__vbox64_mt
         process_file(): ours/1.2/x86_64-pc-linux-gnu__vbox64_mt/a
    App version added successfully; ID=7
      App version: windows_x86_64__vbox64_mt
         (already in database)
      App version: x86_64-apple-darwin__vbox64_mt
         stage start
         cp apps/x download/x
Error: files apps/x and download/x differ.
BOINC files are immutable.
"""


def test_each_platform_of_our_version_is_told_apart() -> None:
    found = server_tools.parse_update(SECTIONS, "ours", Version(102))
    states = {name.partition("__")[0]: (one.state, one.said) for name, one in found.items()}
    assert states == {
        "x86_64-pc-linux-gnu": ("added", "ID 7"),
        "windows_x86_64": ("present", "was in the database"),
        "x86_64-apple-darwin": (
            "missing",
            "Error: files apps/x and download/x differ.; BOINC files are immutable.",
        ),
    }
    assert not server_tools.parse_update(SECTIONS, "ours", Version(103))
    assert not server_tools.parse_update("", "ours", Version(102))


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("app ours already in DB", True),
        ("added app: (create_time, name, user_friendly_name) values (1, 'ours', 'Ours')", True),
        ("updated user friendly name of app ours", True),
        ("added app: (create_time, name) values (1, 'mysql', 'SQL, the error')\napp ours already in DB", True),
        ("app ours2 already in DB", False),
        ("platform ours already in DB", False),
        ("app ours already in DB\nPHP Fatal error:  Uncaught mysqli_sql_exception", False),
        ("app ours already in DB\nError: no connection", False),
        ("", False),
    ],
)
def test_xadd_is_believed_only_without_complaints(text: str, known: bool) -> None:
    assert server_tools.xadd_knows(text, "ours") == known
