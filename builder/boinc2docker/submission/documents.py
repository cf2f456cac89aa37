"""The XML documents of a work unit: input template and ``vbox_job.xml``; checks output templates. Pure.

Rules: BOINC ``tools/process_input_template.cpp``, ``tools/process_result_template.cpp`` and
``samples/vboxwrapper/vboxjob.cpp``.
"""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from boinc2docker.errors import InputError, UsageError
from boinc2docker.job.remote_input import RemoteInput
from boinc2docker.project import xml_document
from boinc2docker.project.staging import ToStage
from boinc2docker.project.xml_document import child
from boinc2docker.submission.options import plain

MAX_XML = 65535 - 1024
"""Bytes of a work unit's XML: the database column holds 65 535, and the scheduler inserts tags of its own."""
MAX_OPEN_NAME = 226
_UNSAFE = re.compile(r"['\"\\<>]|&#|&\w+;")
"""BOINC puts XML unescaped between quotes into SQL. Its client writes names unescaped into a file and reads them back:
``a&b`` survives, ``a&lt;b`` does not."""


@dataclass(frozen=True)
class Entry:
    """A file of a work unit, and its name in the slot.

    A ``constant`` file is named in the template, others are named for each job. ``copy``: copied into the slot, where
    the machine sees it. ``sticky``: the seconds that hosts keep the file after its last job.
    """

    open_name: str
    file: ToStage | RemoteInput
    constant: bool = True
    copy: bool = True
    sticky: int | None = None

    @property
    def physical_name(self) -> str:
        """The file's name in the download directory and on hosts."""
        return self.file.name if isinstance(self.file, ToStage) else f"jf_{self.file.md5}"

    @property
    def words(self) -> tuple[str, ...]:
        """The words that name it to ``create_work``; none for a constant."""
        if self.constant:
            return ()
        if isinstance(self.file, ToStage):
            return (self.file.name,)
        return ("--remote_file", self.file.xml_url, str(self.file.size), self.file.md5)


def input_template(entries: Sequence[Entry], limits: Mapping[str, float], extra: Iterable[ET.Element] = ()) -> bytes:
    """The input template for files in this order. Raises InputError for names that BOINC would garble."""
    root = ET.Element("input_template")
    for entry in entries:
        info = child(root, "file_info")
        if entry.constant:
            child(info, "physical_name", entry.physical_name)
        _flags(info, entry)
    unit = child(root, "workunit")
    for entry in entries:
        check_open_name(entry.open_name)
        reference = child(unit, "file_ref")
        child(reference, "open_name", _as_xml(entry.open_name))
        if entry.copy:
            child(reference, "copy_file")
    for name, value in limits.items():
        child(unit, name, plain(value))
    unit.extend(extra)
    return xml_document.render(root)


def _flags(info: ET.Element, entry: Entry) -> None:
    if entry.sticky is not None:
        child(info, "sticky")
        child(info, "sticky_lifetime", entry.sticky)
    child(info, "no_delete")


def workunit_bytes(entries: Iterable[Entry], download_url: str, extra: Iterable[ET.Element] = ()) -> int:
    """The bytes of the XML that create_work makes of a template with these entries, or a few more."""
    total = len("<workunit>\n<command_line>\n\n</command_line>\n</workunit>")
    for entry in entries:
        name = entry.physical_name
        url = f"{download_url}/3ff/{name}" if isinstance(entry.file, ToStage) else entry.file.xml_url
        total += len(
            f"<file_info>\n    <name>{name}</name>\n    <url>{url}</url>\n    <md5_cksum>{'0' * 32}</md5_cksum>\n"
            f"    <nbytes>{entry.file.size}</nbytes>\n</file_info>\n<no_delete/>\n"
            f"<file_ref>\n    <file_name>{name}</file_name>\n"
            f"    <open_name>{_as_xml(entry.open_name)}</open_name>\n</file_ref>\n".encode()
        )
        total += len("    <copy_file/>\n") if entry.copy else 0
        total += (
            len(f"<sticky/>\n<sticky_lifetime>{entry.sticky}</sticky_lifetime>\n") if entry.sticky is not None else 0
        )
    return total + sum(len(ET.tostring(element)) + 1 for element in extra)


def _as_xml(name: str) -> str:
    """An open name for a work unit's XML. create_work unescapes it on reading, but does not escape it on writing."""
    return html.escape(name, quote=False)


def check_open_name(name: str) -> None:
    """Raises InputError for a name in the slot that BOINC would garble."""
    if found := _UNSAFE.search(name):
        raise InputError(
            "bad-input-name",
            f"--input: the name {name.removeprefix('shared/')!r} has {found[0]!r}, which BOINC would garble",
            hint="choose another name: FILE:NAME",
        )
    if len(html.escape(_as_xml(name)).encode()) > MAX_OPEN_NAME:
        raise InputError("bad-input-name", f"--input: the name {name[:80]!r}… is too long for BOINC")


def extra_elements(text: str) -> list[ET.Element]:
    """The elements of ``--additional-xml``, which go into the work unit unchanged. Raises UsageError."""
    wrapped = xml_document.parse(f"<x>{text}</x>".encode(), "--additional-xml")
    if (wrapped.text or "").strip() or re.search(r"['\\]", ET.tostring(wrapped, encoding="unicode")):
        raise UsageError("bad-xml", "--additional-xml: expected elements, without ' and \\")
    return list(wrapped)


# fmt: off
VBOX_OPTIONS = frozenset((
    "os_name", "memory_size_mb", "vram_size_mb", "vm_disk_controller_type", "vm_disk_controller_model",
    "job_duration", "minimum_checkpoint_interval", "minimum_heartbeat_interval", "fraction_done_filename",
    "heartbeat_filename", "completion_trigger_file", "temporary_exit_trigger_file", "multiattach_vdi_file",
    "enable_isocontextualization", "enable_cache_disk", "boot_iso", "enable_shared_directory",
    "enable_scratch_directory", "share_slot_dir", "share_project_dir", "copy_to_shared", "copy_cmdline_to_shared",
    "enable_network", "network_bridged_mode", "enable_nat_dns_host_resolver", "vm_network_driver", "pf_guest_port",
    "pf_host_port", "port_forward", "enable_remotedesktop", "enable_floppyio", "enable_cern_dataformat",
    "enable_screenshots_on_error", "enable_graphics_support", "enable_vm_savestate_usage",
    "disable_automatic_checkpoints", "trickle_trigger_file", "intermediate_upload_file",
))
# fmt: on
_REPEATABLE = ("copy_to_shared", "trickle_trigger_file", "intermediate_upload_file")


def parse_vbox_option(text: str, what: str = "--vbox-job-xml") -> tuple[str, str]:
    """Reads ``NAME``, ``NAME=VALUE`` or the classic tool's ``NAME: VALUE``. Raises UsageError."""
    name, value = [*re.split(r"\s*[:=]\s*", text.strip(), maxsplit=1), ""][:2]
    if name not in VBOX_OPTIONS or name == "port_forward":
        raise UsageError(
            "bad-vbox-option",
            f"{what}: expected an option of vboxwrapper, found {name[:80]!r}",
            hint=f"one of {', '.join(sorted(VBOX_OPTIONS - {'port_forward'}))}",
        )
    if value.lower() in ("true", "false", "yes", "no"):
        raise UsageError("bad-vbox-option", f"{what}: {name}: expected 1 or 0, found {value}")
    if not value.isprintable():
        raise UsageError("bad-vbox-option", f"{what}: {name}: expected printable text, found {value[:80]!a}")
    return name, value


def vbox_job(base: ET.Element, memory_mb: int, options: Iterable[tuple[str, str]] = ()) -> bytes:
    """``vbox_job.xml`` for one job: the app's, with this memory and options.

    The progress file stays the app's: the agent copies the job's own to it, in the share.
    """
    root = ET.fromstring(ET.tostring(base))  # noqa: S314 - copies a parsed tree
    _set(root, "memory_size_mb", str(memory_mb))
    for name, value in options:
        _set(root, name, value)
    return xml_document.render(root)


def _set(root: ET.Element, name: str, value: str) -> None:
    existing = None if name in _REPEATABLE else root.find(name)
    element = child(root, name) if existing is None else existing
    element.text = value or None


@dataclass(frozen=True)
class Outputs:
    """The most bytes that a job may return under an output template."""

    bytes: int


def parse_output_template(data: bytes, name: str) -> Outputs:
    """Reads an output template. Raises InputError if BOINC's scheduler would garble it or results would not come back.

    The scheduler inserts text after the exact bytes ``<file_info>`` LF and ``<result>`` LF, and strips the root element
    assuming that nothing precedes it.
    """
    root = xml_document.parse(data, name)
    problems = []
    if not data.startswith(b"<output_template>"):
        problems.append("it does not begin with <output_template>")
    if b"\r" in data:
        problems.append("it has Windows line ends")
    split = [tag for tag in (b"<result>", b"<file_info>") if data.count(tag) != data.count(tag + b"\n")]
    problems += [f"{tag.decode()} is not at the end of a line" for tag in split]
    if not any(name.text == "shared/results.tgz" for name in root.iterfind("result/file_ref/open_name")):
        problems.append("no output is shared/results.tgz")
    sizes = [xml_document.text(info, "max_nbytes") for info in root.iterfind("file_info")]
    if not sizes or not all(re.fullmatch(r"\d+(\.\d*)?(e\+?\d+)?", size) for size in sizes):
        problems.append("an output has no max_nbytes")
    if problems:
        raise InputError(
            "bad-template", f"{name}: {'; '.join(problems)}", hint="`package-app --project` installs a correct one"
        )
    return Outputs(int(sum(float(size) for size in sizes)))
