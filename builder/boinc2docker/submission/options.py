"""The options of BOINC's ``create_work`` as typed values; the input template and its command line come from them.

Names, units and defaults: BOINC ``tools/create_work.cpp``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from boinc2docker.errors import UsageError

TITLE = 255 - len("   <sub_appname></sub_appname>")
"""Bytes of the name that volunteers see, where create_work cuts it."""
IN_TEMPLATE = (
    "rsc_fpops_est",
    "rsc_fpops_bound",
    "rsc_memory_bound",
    "rsc_disk_bound",
    "delay_bound",
    "min_quorum",
    "target_nresults",
    "max_error_results",
    "max_total_results",
    "max_success_results",
    "size_class",
)
"""What is written into the input template, which wins over create_work's options."""


@dataclass(frozen=True)
class WorkUnitOptions:
    """Options of ``create_work`` as typed values: bytes, seconds, operations. None is "not given"."""

    app_version_num: int | None = None
    batch: int | None = None
    broadcast: bool = False
    broadcast_user: int | None = None
    broadcast_team: int | None = None
    command_line: str | None = None
    config_dir: str | None = None
    credit: float | None = None
    d: int | None = None
    delay_bound: int | None = None
    hr_class: int | None = None
    keywords: str | None = None
    max_error_results: int | None = None
    max_total_results: int | None = None
    max_success_results: int | None = None
    min_quorum: int | None = None
    target_nresults: int | None = None
    priority: int | None = None
    result_template: str | None = None
    rsc_disk_bound: int | None = None
    rsc_memory_bound: int | None = None
    rsc_fpops_est: float | None = None
    rsc_fpops_bound: float | None = None
    size_class: int | None = None
    sub_appname: str | None = None
    target_host: int | None = None
    target_user: int | None = None
    target_team: int | None = None
    wu_id: int | None = None
    verbose: bool = False

    def __post_init__(self) -> None:
        addressed = [
            name
            for name in (
                "broadcast",
                "broadcast_user",
                "broadcast_team",
                "target_host",
                "target_user",
                "target_team",
            )
            if getattr(self, name)
        ]
        if len(addressed) > 1:
            shown = " and ".join(f"--{name.replace('_', '-')}" for name in addressed)
            raise UsageError("two-targets", f"a job can have one of these only: {shown}")
        quorum, copies = self.min_quorum or 1, self.target_nresults
        if copies is not None and copies < quorum:
            raise UsageError("bad-number", f"--target-nresults {copies} is less than --min-quorum {quorum}")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> WorkUnitOptions:
        """The options that ``given`` has values of; other keys are ignored."""
        return cls(**{field.name: given[field.name] for field in fields(cls) if given.get(field.name) is not None})

    def words(self) -> tuple[str, ...]:
        """The options of one ``create_work`` process, without ``--appname``, templates, names and files."""
        return tuple(self._words())

    def _words(self) -> Iterator[str]:
        for field in fields(self):
            found = getattr(self, field.name)
            if field.name in IN_TEMPLATE or found is None or found is False:
                continue
            yield f"--{field.name}"
            if found is not True:
                yield plain(found)


def plain(value: float | str) -> str:
    """A value as BOINC's programs read it: whole numbers without a point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() and value < 2**63 else str(value)
