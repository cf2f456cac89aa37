"""What a submission has left in a project: the work unit's row, and the files that were staged."""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from tests.equipment.boinc_project import BoincProject


def unit(project: BoincProject, name: str) -> dict[str, Any]:
    [row] = project.rows("select * from workunit where name = %s", name)
    return row


def document(row: dict[str, Any]) -> ET.Element:
    return ET.fromstring(
        f"<x>{row['xml_doc']}</x>" if isinstance(row["xml_doc"], str) else f"<x>{row['xml_doc'].decode()}</x>"
    )


def slot(root: ET.Element) -> dict[str, str]:
    """Open names and the files behind them."""
    return {one.findtext("open_name", ""): one.findtext("file_name", "") for one in root.iterfind("workunit/file_ref")}


def staged(project: BoincProject) -> dict[str, Path]:
    found = {path.name: path for path in (project.root / "download").rglob("b2d_*") if path.suffix != ".md5"}
    for name, path in found.items():
        assert (
            path.with_name(f"{name}.md5").read_text()
            == f"{hashlib.md5(path.read_bytes()).hexdigest()} {path.stat().st_size}\n"
        )
        assert path.parent.name == f"{int(hashlib.md5(name.encode()).hexdigest()[1:8], 16) % 1024:x}"
    return found
