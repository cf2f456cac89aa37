"""What BOINC's programs print, read line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from boinc2docker.app import server_tools
from boinc2docker.app.version import Version
from boinc2docker.errors import HostError
from boinc2docker.project.project import DatabaseSettings, Project

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
    torn = SECTIONS.replace(
        "    App version added successfully; ID=7", "cp: no room\n    App version added successfully; ID=7"
    )
    found = server_tools.parse_update(torn, "ours", Version(102))
    assert found["x86_64-pc-linux-gnu__vbox64_mt"].said == "ID 7; it said: cp: no room"
    assert not server_tools.parse_update(SECTIONS, "ours", Version(103))
    assert not server_tools.parse_update("", "ours", Version(102))


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("app ours already in DB", True),
        ("added app: (create_time, name, user_friendly_name) values (1, 'ours', 'Ours')", True),
        ("updated user friendly name of app ours", True),
        ("added app: (create_time, name) values (1, 'mysql', 'SQL, the error')\napp ours already in DB", True),
        ("added app: (create_time, name) values (1, 'x', '\n  mysql bench\n')\napp ours already in DB", True),
        ("app mysql_bench already in DB\napp ours already in DB", True),
        ("app ours already in DB\n\nbin/xadd ended with status 255", False),
        ("Database Error<br>\nadded app: (create_time, name) values (1, 'ours', 'Ours')", False),
        ("app ours2 already in DB", False),
        ("platform ours already in DB", False),
        ("app ours already in DB\nPHP Fatal error:  Uncaught mysqli_sql_exception", False),
        ("app ours already in DB\nError: no connection", False),
        ("", False),
    ],
)
def test_xadd_is_believed_only_without_complaints(text: str, known: bool) -> None:
    assert server_tools.xadd_knows(text, "ours") == known


NO_DATABASE = """\
BoincDb::get_aux(): Couldn't connect to DB 0
PHP Fatal error:  Uncaught Error: Call to undefined function error_page() in html/inc/boinc_db.inc:126
Stack trace:
#0 html/inc/boinc_db.inc(617): BoincDb::get()
#1 bin/xadd(31): BoincPlatform::lookup()
#2 {main}
  thrown in html/inc/boinc_db.inc on line 126
"""


@pytest.mark.parametrize("said", [NO_DATABASE, NO_DATABASE.partition("\n")[2]])
def test_a_database_that_cannot_be_reached_is_one_line(said: str, tmp_path: Path) -> None:
    """PHP's log may be a file: then its first line is not there."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/xadd").write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{said}END\nexit 255\n")
    (tmp_path / "bin/xadd").chmod(0o755)
    with pytest.raises(HostError) as caught:
        server_tools.run_xadd(Project(tmp_path, tmp_path, 0, "", DatabaseSettings("", "", "")), "ours")
    assert caught.value.message == "xadd cannot reach the database of config.xml"
    assert "db_host" in str(caught.value.hint)
