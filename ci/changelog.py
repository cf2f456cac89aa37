"""Collects the fragments of docs/changelog into CHANGELOG.md: ``python -m ci.changelog [VERSION]``.

A fragment is a file ``NAME.KIND.md`` with a sentence or two. It becomes an item under its kind's heading in the section
"Unreleased". With VERSION that section becomes the version's.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from boinc2docker import atomic
from tests.equipment.checkout import PROJECT_ROOT

FOLDER = PROJECT_ROOT / "docs" / "changelog"
CHANGELOG = PROJECT_ROOT / "CHANGELOG.md"
KINDS: Mapping[str, str] = {
    "breaking": "Breaking changes",
    "security": "Security",
    "added": "Added",
    "changed": "Changed",
    "fixed": "Fixed",
}
"""The kinds of fragments and their headings, in the changelog's order."""
UNRELEASED = "## Unreleased\n"

_FRAGMENT = re.compile(r"[a-z0-9-]+\.(?P<kind>[a-z]+)\.md")
_WIDTH = 120


def fragments(folder: Path) -> dict[Path, str]:
    """The fragments and their kinds, by name. Raises ValueError for a file that is none."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name == "README.md":
            continue
        match = _FRAGMENT.fullmatch(path.name)
        if match is None or match["kind"] not in KINDS:
            raise ValueError(f"{path.name}: expected NAME.KIND.md, KIND one of {', '.join(KINDS)}")
        if not path.read_text(encoding="utf-8").strip():
            raise ValueError(f"{path.name}: expected a sentence, found nothing")
        found[path] = match["kind"]
    return found


def collected(changelog: str, texts: Sequence[tuple[str, str]], version: str | None = None) -> str:
    """The changelog with ``texts``, pairs of kind and text, in its section "Unreleased". Pure."""
    if UNRELEASED not in changelog:
        changelog = changelog.replace("\n## ", f"\n{UNRELEASED}\n## ", 1)
    head, _, rest = changelog.partition(UNRELEASED)
    section, next_heading, older = rest.partition("\n## ")
    lists = _lists(section)
    for kind, text in texts:
        lists[kind] += _item(text)
    body = "".join(f"\n### {KINDS[kind]}\n\n{items}" for kind, items in lists.items() if items)
    title = f"## {version}\n" if version else UNRELEASED
    return f"{head}{title}{body}{next_heading}{older}"


def _item(text: str) -> str:
    words = " ".join(text.split())
    return textwrap.fill(words, _WIDTH, initial_indent="* ", subsequent_indent="  ", break_on_hyphens=False) + "\n"


def _lists(section: str) -> dict[str, str]:
    """The items of each kind in a section. Raises ValueError for text that stands under no kind's heading."""
    parts = re.split(r"^### (.*)\n+", section, flags=re.MULTILINE)
    found = dict.fromkeys(KINDS, "")
    kinds = {heading: kind for kind, heading in KINDS.items()}
    if parts[0].strip():
        raise ValueError("CHANGELOG.md: in Unreleased, expected every item under a heading of its kind")
    for heading, items in zip(parts[1::2], parts[2::2], strict=True):
        found[kinds[heading]] = items.strip() + "\n"
    return found


def main(words: Sequence[str]) -> None:
    """Rewrites CHANGELOG.md and removes the fragments."""
    found = fragments(FOLDER)
    texts = [(kind, path.read_text(encoding="utf-8")) for path, kind in found.items()]
    changelog = CHANGELOG.read_text(encoding="utf-8")
    atomic.write_text(CHANGELOG, collected(changelog, texts, words[0] if words else None))
    for path in found:
        path.unlink()


if __name__ == "__main__":
    main(sys.argv[1:])
