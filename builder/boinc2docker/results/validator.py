"""Judges whether one result is valid and whether two are equivalent: a verdict, or an error if it cannot judge now."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from boinc2docker import leftovers
from boinc2docker.errors import InputError
from boinc2docker.plain_text import one_line
from boinc2docker.results import rules as project_rules
from boinc2docker.results.archive import Kind, members, opened
from boinc2docker.results.archive_contents import Content, contents, extract
from boinc2docker.results.job_record import JobRecord, read_log
from boinc2docker.results.model import Result
from boinc2docker.results.output_files import present_files
from boinc2docker.results.settings import Comparison, Method, Settings
from boinc2docker.results.unpack import unpack
from boinc2docker.results.work_unit_names import parse_output


@dataclass(frozen=True)
class Verdict:
    """The answer, and the reason for a rejection: one harmless line, whatever a stranger's files are called."""

    good: bool
    reason: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", one_line(self.reason))


GOOD = Verdict(True)


@dataclass(frozen=True)
class _Files:
    archive: Path
    log: Path | None
    name: str


def validate(settings: Settings, files: Sequence[Path]) -> Verdict:
    """Whether one result is valid: complete, within the limits, with exit code 0 (or one that the job asked to keep),
    readable if its numbers are compared, and accepted by the project's rule. Raises UnreadableError, RulesError,
    RetryError or HostError if it cannot judge now."""
    rules = project_rules.load(settings.rules)
    try:
        chosen = _chosen(settings, files)
        content = contents(chosen.archive, settings.limits)
        job = read_log(chosen.log, settings.limits)
        if job.failed:
            return Verdict(False, f"the job ended with exit code {job.exit_code}")
        if settings.comparison.method is Method.NUMERIC:
            _check_numbers(chosen.archive, content, settings)
        if rules is not None and rules.defines("validate"):
            with ExitStack() as stack:
                if not rules.validate(_unpacked(settings, chosen, job, stack)):
                    return Verdict(False, f"rejected by validate in {rules.path.name}")
    except InputError as error:
        return Verdict(False, error.message)
    return GOOD


def compare(settings: Settings, first: Sequence[Path], second: Sequence[Path]) -> Verdict:
    """Whether two results are equivalent: the same exit code, and equal by the project's rule, else by the method in
    app.toml. Raises as ``validate``."""
    rules = project_rules.load(settings.rules)
    try:
        a, b = _chosen(settings, first), _chosen(settings, second)
        job_a, job_b = (read_log(files.log, settings.limits) for files in (a, b))
        if (job_a.exit_code or 0) != (job_b.exit_code or 0):  # no log: the host reported 0
            return Verdict(False, f"exit codes {job_a.exit_code or 0} and {job_b.exit_code or 0}")
        if rules is not None and rules.defines("equivalent"):
            with ExitStack() as stack:
                left, right = (_unpacked(settings, *side, stack) for side in ((a, job_a), (b, job_b)))
                same = rules.equivalent(left, right)
            return GOOD if same else Verdict(False, f"rejected by equivalent in {rules.path.name}")
        if settings.comparison.method is Method.TRIVIAL:
            return GOOD
        return _compare(settings, a.archive, b.archive)
    except InputError as error:
        return Verdict(False, error.message)


def _chosen(settings: Settings, files: Sequence[Path]) -> _Files:
    """The archive to judge and its log, both checked to be readable."""
    by_name = present_files(files, settings.outputs)
    main = settings.outputs[0]
    if main not in by_name:
        raise InputError("no-output", f"{main} is missing")
    log = by_name.get(settings.log_output) if settings.log_output else None
    parsed = parse_output(by_name[main].name)
    return _Files(by_name[main], log, parsed.workunit if parsed else by_name[main].name)


def _unpacked(settings: Settings, files: _Files, job: JobRecord, stack: ExitStack) -> Result:
    directory = stack.enter_context(leftovers.scratch()) / "results"
    unpack(files.archive, directory, settings.limits, durable=False)
    return Result(
        app=settings.app,
        name=files.name,
        directory=directory,
        exit_code=job.exit_code,
        seconds=job.seconds,
        metrics=job.metrics,
    )


def _compared(content: dict[str, Content], settings: Comparison) -> dict[str, Content]:
    return {
        name: facts
        for name, facts in content.items()
        if not any(fnmatchcase(name, pattern) for pattern in settings.ignore)
    }


def _check_numbers(archive: Path, content: dict[str, Content], settings: Settings) -> None:
    from boinc2docker.results import numbers  # numpy takes longer to load than a bitwise comparison

    numeric = {name for name in _compared(content, settings.comparison) if numbers.is_numeric(name)}
    with opened(archive) as source:
        for member in members(source, settings.limits):
            if member.name in numeric and member.kind is Kind.FILE:
                numbers.require_size(member.name, member.size, settings.comparison)
                numbers.check(member.name, b"".join(member.chunks()), settings.comparison)


def _compare(settings: Settings, a: Path, b: Path) -> Verdict:
    left = _compared(contents(a, settings.limits), settings.comparison)
    right = _compared(contents(b, settings.limits), settings.comparison)
    if missing := sorted(set(left) ^ set(right)):
        return Verdict(False, f"only one result has {ascii(missing[0])[1:-1]}")
    differing = [name for name in sorted(left) if left[name] != right[name]]
    if not differing:
        return GOOD
    why = f"{ascii(differing[0])[1:-1]} differs"
    if settings.comparison.method is Method.NUMERIC:
        why = _numeric_difference(settings, (a, left), (b, right), differing) or ""
    return Verdict(not why, why)


def _numeric_difference(
    settings: Settings, a: tuple[Path, dict[str, Content]], b: tuple[Path, dict[str, Content]], names: Sequence[str]
) -> str | None:
    """The first difference beyond the tolerances. Holds one pair of files in memory at a time."""
    from boinc2docker.results import numbers

    for name in names:
        both = [content[name] for _, content in (a, b)]
        if not numbers.is_numeric(name) or any(facts.digest is None for facts in both):
            return f"{ascii(name)[1:-1]} differs"
        for facts in both:
            numbers.require_size(name, facts.bytes, settings.comparison)
    with leftovers.scratch() as work:
        roots = [work / "a", work / "b"]
        for root, (archive, content) in zip(roots, (a, b), strict=True):
            root.mkdir()
            sources = {content[name].source for name in names}
            extract(archive, settings.limits, {member: _place(root, member) for member in sources})
        for name in names:
            first, second = (
                _place(root, content[name].source).read_bytes()
                for root, (_, content) in zip(roots, (a, b), strict=True)
            )
            if why := numbers.difference(name, first, second, settings.comparison):
                return why
    return None


def _place(root: Path, member: str) -> Path:
    """A separate file for each member, whatever it is called."""
    return root / hashlib.sha256(member.encode(errors="surrogateescape")).hexdigest()
