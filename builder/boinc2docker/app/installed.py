"""Which entries of a project's XML files are package-app's own.

An entry is ours if it is still, blanks aside, what package-app wrote last: every installation notes that in
``templates/APP_installed.json``. One edit of an operator's, be it a comment, makes it theirs for good, or until they
undo it. Installations older than the note are recognised by their text: an entry is ours then if it is what the
templates of that time made with the settings that app.toml came with, or what would be written now, and no other app
uses it. Whatever else it says, it stays.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

from boinc2docker.app.merge import Entry
from boinc2docker.errors import InputError
from boinc2docker.project import xml_text

_BEFORE = {
    "daemon assimilator": "<daemon><cmd>script_assimilator --app {app} --script {app}_assimilator</cmd></daemon>",
    "daemon validator": (
        "<daemon><cmd>script_validator --app {app} --init_script {app}_validator_init"
        " --compare_script {app}_validator_compare</cmd></daemon>"
    ),
    "plan_class": (
        "<plan_class><name>{key}</name><virtualbox/><is64bit/><vm_accel_required/>"
        "<min_vbox_version>60100</min_vbox_version><min_ncpus>1</min_ncpus><max_threads>4</max_threads>"
        "<nthreads_cmdline/></plan_class>"
    ),
    "app": "<app><name>{key}</name><user_friendly_name>Docker containers in a virtual machine"
    "</user_friendly_name></app>",
}
"""What release 2.0.0 wrote, by kind and, for daemons, role."""


def file_name(app: str) -> str:
    """The note's place, below the project's root."""
    return f"templates/{app}_installed.json"


@dataclass(frozen=True)
class Installed:
    """What package-app wrote for ``app``, by entry, in canonical form; None if it left no note.

    ``shared`` are entries that other apps use too.
    """

    app: str
    entries: Mapping[str, str] | None = None
    shared: Collection[str] = ()

    @classmethod
    def read(cls, app: str, data: bytes | None, shared: Collection[str] = ()) -> Installed:
        """From the note's bytes. Raises InputError."""
        if data is None:
            return cls(app, None, shared)
        entries = _entries(data)
        if entries is None:
            raise InputError(
                "bad-project-file",
                f"{file_name(app)} is not the note that package-app left there",
                hint="restore it from a backup, or remove it: only entries with the usual settings count as ours then",
            )
        return cls(app, entries, shared)

    def owns(self, entry: Entry, there: str) -> bool:
        """Whether the entry that a file has, in canonical form, is package-app's own (``merge.Own``)."""
        if self.entries is not None:
            return self.entries.get(str(entry)) == there
        return str(entry) not in self.shared and there in (entry.canonical, self._before(entry))

    def with_entries(self, owned: Collection[Entry]) -> bytes | None:
        """The note once ``owned`` are as they are to be; None if there is nothing to note."""
        entries = {**(self.entries or {}), **{str(one): one.canonical for one in owned}}
        if self.entries is None and not entries:
            return None
        told = "Entries of the project's XML files that package-app wrote; it changes no others. Keep this file."
        return (json.dumps({"about": told, "entries": entries}, indent=2, sort_keys=True) + "\n").encode()

    def _before(self, entry: Entry) -> str | None:
        kind = str(entry).rpartition(" ")[0] if entry.kind == "daemon" else entry.kind
        text = _BEFORE.get(kind)
        return xml_text.canonical(text.format(app=escape(self.app), key=escape(entry.key)).encode()) if text else None


def _entries(data: bytes) -> dict[str, str] | None:
    try:
        document = json.loads(data)
    except ValueError:
        return None
    entries = document.get("entries") if isinstance(document, dict) else None
    return entries if isinstance(entries, dict) and all(isinstance(one, str) for one in entries.values()) else None
