"""``cancel_jobs``: unsent results are over, the work unit's error mask gets bit 16, finished or not."""

from __future__ import annotations

import sys
import time

from tests.equipment.stand_ins.server import connect, read_config, stop

UNSENT, OVER, DIDNT_NEED, CANCELLED = 2, 5, 5, 16


def number(text: str) -> int:
    """C's atoi."""
    digits = text[: next((at for at, sign in enumerate(text) if not sign.isdigit()), len(text))]
    return int(digits or 0)


def main() -> None:
    if len(sys.argv) != 3:
        stop("Usage: cancel_jobs min-ID max-ID\nor cancel_jobs --name wuname")
    with connect(read_config()) as database, database.cursor() as cursor:
        if sys.argv[1] == "--name":
            cursor.execute("select id from workunit where name = %s", (sys.argv[2],))
            row = cursor.fetchone()
            if row is None:
                stop(f"No workunit named '{sys.argv[2]}'")
            first = last = row[0]
        else:
            first, last = number(sys.argv[1]), number(sys.argv[2])
            if not first or not last:
                stop("Usage: cancel_jobs min-ID max-ID\nor cancel_jobs --name wuname")
        cursor.execute(
            "update result set server_state=%s, outcome=%s where server_state<=%s and workunitid between %s and %s",
            (OVER, DIDNT_NEED, UNSENT, first, last),
        )
        cursor.execute(
            "update workunit set error_mask=error_mask|%s, transition_time=%s where id between %s and %s",
            (CANCELLED, int(time.time()), first, last),
        )
