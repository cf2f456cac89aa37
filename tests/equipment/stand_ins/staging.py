"""``stage_file`` and ``dir_hier_path``."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from tests.equipment.stand_ins.server import Config, md5_of, read_config, stop


def dir_hier_path() -> None:
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        stop("Usage: dir_hier_path <filename>")
    print(read_config().path_of(sys.argv[1]))


def say(text: str) -> NoReturn:
    """PHP's ``error_exit``: the message goes to stdout."""
    print(text)
    sys.exit(1)


def stage_file() -> None:
    if not Path("html/inc").is_dir() or not Path("config.xml").is_file():
        say("This script must be run in the project directory.")
    *options, path = sys.argv[1:] or [""]
    if not path or set(options) - {"--gzip", "--copy", "--verbose"}:
        say("usage: stage_file [--gzip] [--copy] path")
    config = read_config()
    if not config.fanout:
        say("can't find <uldl_dir_fanout> in config.xml")
    found = [one for one in Path(path).iterdir() if one.is_file()] if Path(path).is_dir() else [Path(path)]
    for one in found:
        _stage(config, one, set(options))


def _stage(config: Config, path: Path, options: set[str]) -> None:
    if not path.exists():
        say(f"no such file: {path}")
    target = config.path_of(path.name)
    beside = target.with_name(target.name + ".md5")
    wanted = f"{md5_of(path)} {path.stat().st_size}\n"
    if not target.exists():
        beside.write_text(wanted)
        (shutil.copyfile if "--copy" in options else shutil.move)(path, target)
        beside.touch()
    elif not beside.exists():
        if md5_of(target) != md5_of(path):
            say(f"Can't stage input file {path}: {target} has the same name but different contents.")
        beside.write_text(wanted)
    elif beside.read_text().split() != wanted.split() or target.stat().st_size != path.stat().st_size:
        say(f"Can't stage input file {path}: {target} has the same name but different contents.")
    if "--gzip" in options and not target.with_name(target.name + ".gz").exists():
        packed = subprocess.run(["gzip", "-c", target], capture_output=True, check=True).stdout
        target.with_name(target.name + ".gz").write_bytes(packed)
