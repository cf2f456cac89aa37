"""``boinc2docker_create_work.py [options] IMAGE COMMAND…``: the classic form, the same options, the same submission.

Options come before IMAGE; every word after it is the container's, as for ``docker run``. Run as a module.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from boinc2docker import __version__, console
from boinc2docker.cli.container_options import IMAGE, refuse
from boinc2docker.cli.program import run_guarded
from boinc2docker.cli.submit import SUBMIT, submit_command
from boinc2docker.option import DEBUG, JSON, Option, taking_values

PROGRAM = "boinc2docker_create_work.py"
_TABLE = tuple(one for one in SUBMIT if one not in IMAGE)
_EPILOG = f"{PROGRAM} --memory 2GB python:3-slim python -c 'print(\"Hello BOINC\")'"


def parser() -> argparse.ArgumentParser:
    """The command line, made from the table of ``invoke submit``."""
    made = argparse.ArgumentParser(
        prog=PROGRAM,
        usage="%(prog)s [options] IMAGE [COMMAND…]",
        description="Makes a job a BOINC work unit. Options come before IMAGE.",
        epilog=_EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=__version__)
    for one in (*_TABLE, JSON, DEBUG):
        made.add_argument(*_spellings(one), **_how(one))
    made.add_argument(
        "--remote_file",
        nargs=3,
        action="append",
        default=[],
        metavar=("URL", "BYTES", "MD5"),
        help="an input on any server, as create_work takes it; appears under the last part of its URL (repeatable)",
    )
    made.add_argument("image", metavar="IMAGE", help=IMAGE[0].help)
    made.add_argument("words", metavar="COMMAND", nargs=argparse.REMAINDER, help="the words for the container")
    return made


def _spellings(one: Option) -> list[str]:
    """``--like_this``, ``--like-this`` and the short form."""
    found = [f"--{one.name}", one.spelling, *([f"-{one.short}"] if one.short else [])]
    return list(dict.fromkeys(found))


def _how(one: Option) -> dict[str, Any]:
    shown = {"dest": one.name, "help": one.help.replace("%", "%%")}
    if one.kind == "flag":
        return {"action": "store_true", **shown}
    shown["metavar"] = one.noun or one.name.upper()
    return {"action": "append", "default": None, **shown} if one.kind == "list" else shown


def main(argv: Sequence[str]) -> int:
    """Does what the command line says; the exit code: 0 done, 1 failed, 2 wrong usage."""
    words = list(argv)
    console.configure(json="--json" in words)
    taking = taking_values(_TABLE) | {f"--{one.name}" for one in _TABLE if one.takes_value}
    own = _before_image(words, taking)
    if code := run_guarded(lambda: refuse(own, taking)):
        return code
    given = vars(parser().parse_args(words))
    console.configure(json=given["json"], quiet=given["quiet"], debug=given["debug"])
    given["input_url"] = [*(given["input_url"] or []), *map(_remote, given.pop("remote_file"))]
    return run_guarded(lambda: submit_command(given, given["words"]))


def _before_image(words: Sequence[str], taking: frozenset[str]) -> list[str]:
    """The words before IMAGE: what comes after it is not for us to judge."""
    value = False
    for position, word in enumerate(words):
        if not value and not word.startswith("-"):
            return list(words[:position])
        value = not value and word in taking
    return list(words)


def _remote(words: Sequence[str]) -> str:
    url, size, digest = words
    return f"{url}#md5={digest}&size={size}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
