"""Stand-ins for BOINC's server programs, copied into a test project's ``bin/`` under their names.

They keep BOINC's documented rules and its oddities: every fatal stop is a message and exit status 0; each file that
lies in a version's directory is published, listed or not; published names are immutable; commands are built without
quoting; that signing or copying has failed is not noticed, and such a version is "added successfully" all the same;
text goes unescaped between single quotes into SQL; any entry of ``apps/`` that is no app stops everything. The database
is ``db.json`` in the project.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, NoReturn

DB = Path("db.json")


def die(text: str) -> NoReturn:
    print(text)
    sys.exit(0)


def load() -> dict[str, Any]:
    return json.loads(DB.read_text()) if DB.exists() else {"platforms": {}, "apps": {}, "versions": []}


def save(db: dict[str, Any]) -> None:
    DB.write_text(json.dumps(db))


def sql(*texts: str) -> None:
    if any("'" in text for text in texts):
        die("PHP Fatal error:  Uncaught mysqli_sql_exception: You have an error in your SQL syntax")


def xadd() -> None:
    try:
        root = ET.parse("project.xml").getroot()
    except (ET.ParseError, OSError):
        die("PHP Warning:  simplexml_load_file(): project.xml: parser error")
    db = load()
    for kind, table in (("platform", "platforms"), ("app", "apps")):
        for one in root.findall(kind):
            name, title = one.findtext("name", ""), one.findtext("user_friendly_name", "")
            sql(name, title)
            if name not in db[table]:
                db[table][name] = title
                print(f"added {kind}: (create_time, name, user_friendly_name) values (1, '{name}', '{title}')")
            elif db[table][name] != title:
                db[table][name] = title
                print(f"updated user friendly name of {kind} {name}")
            else:
                print(f"{kind} {name} already in DB")
            save(db)


def flag(element: ET.Element, name: str) -> bool:
    return any(not (one.text or "").strip() or int(one.text or 0) > 0 for one in element.findall(name))


def number(name: str) -> int:
    words = name.split(".")
    if not words[0].isdigit() or (len(words) > 1 and not words[1].isdigit()):
        return -1
    return int(words[1]) + 100 * int(words[0]) if len(words) > 1 else int(words[0])


def visible(directory: Path) -> list[Path]:
    return [one for one in sorted(directory.iterdir()) if not one.name.startswith(".")]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def shell(command: str, out: int | None = None) -> str:
    """A shell splits what is not quoted. Whether the command has failed is not looked at."""
    sys.stdout.flush()
    return subprocess.run(["/bin/sh", "-c", command], stdout=out, text=True, check=False).stdout or ""


def update_versions() -> None:
    if unknown := [word for word in sys.argv[1:] if word not in ("--noconfirm", "--verbose")]:
        die(f"unknown arg {unknown[0]}")
    verbose, confirm = "--verbose" in sys.argv, "--noconfirm" not in sys.argv
    config = ET.parse("config.xml").getroot()
    download, keys = Path(config.findtext("config/download_dir", "")), Path(config.findtext("config/key_dir", ""))
    db = load()
    for app in visible(Path("apps")):
        if app.name not in db["apps"]:
            die(f"app not found: {app.name}")
        if verbose:
            print(f"App {app.name}:")
        for version in visible(app):
            if number(version.name) < 0:
                print(f"{version.name} is not a version number; skipping")
                continue
            if verbose:
                print(f"   Version {version.name}:")
            for directory in visible(version):
                if verbose:
                    print(f"      App version: {directory.name}")
                add_version(db, directory, download, keys, verbose, confirm)
    Path("reread_db").touch()


def add_version(db: dict[str, Any], directory: Path, download: Path, keys: Path, verbose: bool, confirm: bool) -> None:
    app, version = directory.parts[-3:-1]
    platform, plan_class = [*directory.name.split("__"), ""][:2]
    if platform not in db["platforms"]:
        print(f"         no such platform: {platform}")
        return
    key = [app, number(version), platform, plan_class]
    if any(one["key"] == key for one in db["versions"]):
        if verbose:
            print("         (already in database)")
        return
    root = version_file(directory)
    listed = {one.findtext("physical_name", "").strip(): one for one in root.findall("file")}
    files = [
        publish(path, listed.get(path.name), download, keys)
        for path in visible(directory)
        if path.name != "version.xml" and not path.name.endswith(".sig") and not path.is_dir()
    ]
    missing = [name for name in listed if not (directory / name).is_file()]
    for name in missing:
        print(f"   File {name} is listed in version.xml but not present")
    mains = sum(one["main"] for one in files)
    if not missing and mains != 1 and len(files) != 1:
        print(f"         {'No' if not mains else 'More than one'} file was marked as the main program - skipping.")
    elif not missing and not confirm:
        sql(json.dumps(files))
        flags = [one.tag for one in root if one.tag != "file" and flag(root, one.tag)]
        db["versions"].append({"key": key, "files": files, "flags": flags})
        save(db)
        print(f"    App version added successfully; ID={len(db['versions'])}")


def version_file(directory: Path) -> ET.Element:
    if not (directory / "version.xml").is_file():
        return ET.Element("version")
    try:
        return ET.parse(directory / "version.xml").getroot()
    except ET.ParseError:
        die(f"         Can't load XML file {directory}.  Check that it exists and is valid.")


def publish(path: Path, element: ET.Element | None, download: Path, keys: Path) -> dict[str, Any]:
    signature = path.with_name(path.name + ".sig")
    if signature.is_file():
        signed = signature.read_text()
    elif (keys / "code_sign_private").is_file():
        signed = shell(f"bin/sign_executable {path} {keys}/code_sign_private", subprocess.PIPE)
    else:
        die(f"   Error: no .sig file for {path.name}, and no code signing private key")
    target = download / path.name
    if target.is_file():
        if md5(target) != md5(path):
            die(f"Error: files {path} and {target} differ.\nBOINC files are immutable.")
    else:
        shell(f"cp {path} {target}")
    return {
        "name": path.name,
        "logical": element.findtext("logical_name", "") if element is not None else "",
        "main": element is not None and flag(element, "main_program"),
        "copy": element is not None and flag(element, "copy_file"),
        "executable": bool(path.stat().st_mode & 0o100),
        "signature": signed,
        "nbytes": path.stat().st_size,
        "published": target.is_file(),
    }


if __name__ == "__main__":
    {"xadd": xadd, "update_versions": update_versions}[Path(sys.argv[0]).name]()
