"""A work unit's XML from an input template: which ``file_info`` is which file, what wins, what is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.equipment.stand_ins.server import Config, cached_md5, md5_of

BLOB = 65535
NAME_BUFFER = 255
NUMBERS: dict[str, type] = {
    "rsc_fpops_est": float,
    "rsc_fpops_bound": float,
    "rsc_memory_bound": float,
    "rsc_disk_bound": float,
    "rsc_bandwidth_bound": float,
    "batch": int,
    "delay_bound": int,
    "min_quorum": int,
    "target_nresults": int,
    "max_error_results": int,
    "max_total_results": int,
    "max_success_results": int,
    "size_class": int,
}


class TemplateError(Exception):
    """What create_work prints; the job is not made."""


@dataclass(frozen=True)
class InFile:
    """A file of the command line: a name in the hierarchy, or a remote file."""

    name: str
    url: str = ""
    nbytes: float = 0
    md5: str = ""


def unescape(text: str) -> str:
    """As BOINC's parser: a number is one byte, which is no UTF-8 from 128 on, and larger ones stay as they are."""
    names = {"lt": "<", "gt": ">", "quot": '"', "apos": "'", "amp": "&"}

    def one(found: re.Match[str]) -> str:
        if found[1]:
            return names[found[1]]
        number = int(found[2])
        return found[0] if number > 255 else bytes([number]).decode(errors="surrogateescape")

    return re.sub(r"&(?:(lt|gt|quot|apos|amp)|#(\d{1,3}));", one, text)


@dataclass
class Tags:
    """BOINC's XML parser: tags as they are spelt, text between them, nothing validated."""

    tokens: list[str]
    at: int = 0

    @classmethod
    def of(cls, text: str) -> Tags:
        text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
        return cls([token.strip() for token in re.findall(r"<[^>]*>|[^<]+", text) if token.strip()])

    def __iter__(self) -> Iterator[str]:
        while self.at < len(self.tokens):
            self.at += 1
            yield self.tokens[self.at - 1]

    def text(self, tag: str) -> str:
        """The text of the element whose start tag was just read, entities resolved."""
        if self.at < len(self.tokens) and self.tokens[self.at] == f"</{tag}>":
            self.at += 1
            return ""
        if self.at + 1 >= len(self.tokens) or self.tokens[self.at + 1] != f"</{tag}>":
            raise TemplateError(f"process_input_template(): <{tag}> is not closed")
        self.at += 2
        return unescape(self.tokens[self.at - 2])

    def copied(self, token: str) -> str:
        """An element nobody knows, as it is."""
        if token.endswith("/>") or not token.startswith("<"):
            return token
        name = re.split(r"[\s>]", token[1:])[0]
        taken = [token]
        for one in self:
            taken.append(one)
            if one == f"</{name}>":
                return "".join(taken)
        raise TemplateError(f"process_input_template(): {token} is not closed")


@dataclass
class Filled:
    """The XML, and the numbers that the template gives; they win over the command line's."""

    xml: str
    numbers: dict[str, float] = field(default_factory=dict)


def fill(template: str, files: list[InFile], config: Config, command_line: str, additional: str) -> Filled:
    """Raises TemplateError with create_work's message."""
    filled = Filled("")
    used: list[InFile] = []
    taken = 0
    tags = Tags.of(template)
    found = False
    for token in tags:
        if token == "<file_info>":
            text, one, variable = _file_info(tags, files, taken, config)
            taken += variable
            used.append(one)
            filled.xml += text
        elif token == "<workunit>":
            found = True
            _workunit(tags, filled, used, command_line, additional)
    if not found:
        raise TemplateError("process_input_template: bad WU template - no <workunit>")
    if taken != len(files):
        raise TemplateError(f"process_input_template: {len(files)} input files given, but template has {taken}")
    if len(filled.xml.encode()) > BLOB:
        raise TemplateError(
            f"create_work: WU XML field is too long ({len(filled.xml.encode())} bytes; max is {BLOB})\n"
            "process_input_template(): buffer overflow"
        )
    return filled


@dataclass
class _FileInfo:
    """What a ``file_info`` says. ``known`` are elements that create_work reads, ``copied`` those it does not."""

    known: dict[str, str]
    urls: list[str]
    copied: str
    gzip: bool

    @classmethod
    def read(cls, tags: Tags) -> _FileInfo:
        found = cls({}, [], "", gzip=False)
        for token in tags:
            name = token.strip("<>")
            if token == "</file_info>":
                break
            if token in ("<gzip/>", "<gzip />"):
                found.gzip = True
            elif token == "<url>":
                found.urls.append(tags.text("url"))
            elif name in ("physical_name", "number", "md5_cksum", "nbytes", "gzipped_nbytes"):
                found.known[name] = tags.text(name)
            else:
                found.copied += tags.copied(token) + "\n"
        return found


def _file_info(tags: Tags, files: list[InFile], taken: int, config: Config) -> tuple[str, InFile, bool]:
    said = _FileInfo.read(tags)
    if physical := said.known.get("physical_name", ""):
        _fits(physical, "physical_name")
        one = _constant(physical, config)
        return _info(said.copied, one, [config.url_of(physical)]), one, False
    if taken >= len(files):
        raise TemplateError(f"Too few var input files given; need at least {taken + 1}")
    given = files[taken]
    if float(said.known.get("nbytes", -1)) > 0:
        if not said.known.get("md5_cksum") or not said.urls:
            raise TemplateError("All file properties must be defined if at least one is defined")
        one = InFile(given.name, nbytes=float(said.known["nbytes"]), md5=said.known["md5_cksum"])
        return _info(said.copied, one, [url + one.name for url in said.urls]), one, True
    if given.url:
        one = InFile(f"jf_{given.md5}", given.url, given.nbytes, given.md5)
        return _info(said.copied, one, [given.url]), one, True
    one = _normal(given.name, config)
    if said.gzip and not config.path_of(given.name + ".gz").exists():
        raise TemplateError(f"process_input_template: missing gzip file {given.name}.gz")
    return _info(said.copied, one, [config.url_of(given.name)]), one, True


def _info(copied: str, one: InFile, urls: list[str]) -> str:
    lines = "".join(f"    <url>{url}</url>\n" for url in urls)
    return (
        f"<file_info>\n{copied}    <name>{one.name}</name>\n{lines}"
        f"    <md5_cksum>{one.md5}</md5_cksum>\n    <nbytes>{one.nbytes:.0f}</nbytes>\n</file_info>\n"
    )


def _fits(text: str, what: str) -> None:
    if len(text.encode()) > NAME_BUFFER:
        raise TemplateError(f"{what} of more than {NAME_BUFFER} bytes: create_work's buffer overflows")


def _constant(name: str, config: Config) -> InFile:
    """Must be staged, with its ``.md5``."""
    known = cached_md5(config.path_of(name))
    if known is None:
        raise TemplateError(f"missing MD5 info file for {name}")
    return InFile(name, nbytes=known[1], md5=known[0])


def _normal(name: str, config: Config) -> InFile:
    """Staged, or at the top of the download directory, from where it is copied; ``.md5`` is made if there is none."""
    _fits(name, "file name")
    path = config.path_of(name)
    if not path.exists():
        top = config.download / name
        if top.exists():
            path.write_bytes(top.read_bytes())
        print(f"copy {top} to {path}")
    if known := cached_md5(path):
        return InFile(name, nbytes=known[1], md5=known[0])
    if not path.is_file():
        raise TemplateError(f"md5_file: can't open {path}\nprocess_input_template: md5_file can't open file")
    made = InFile(name, nbytes=path.stat().st_size, md5=md5_of(path))
    beside = path.with_name(path.name + ".md5")
    if not beside.exists():
        beside.write_text(f"{made.md5} {made.nbytes:.15e}\n")
    return made


def _workunit(tags: Tags, filled: Filled, used: list[InFile], command_line: str, additional: str) -> None:
    filled.xml += f"<workunit>\n<command_line>\n{command_line}\n</command_line>\n"
    references = 0
    for token in tags:
        name = token.strip("<>")
        if token == "</workunit>":
            break
        if token == "<file_ref>":
            if references >= len(used):
                raise TemplateError("too many <file_ref>s")
            filled.xml += _file_ref(tags, used[references])
            references += 1
        elif token == "<command_line>":
            own = tags.text("command_line")
            if command_line:
                raise TemplateError(f"Can't specify command line {own}; already specified as {command_line}")
            filled.xml += f"<command_line>\n{own}\n</command_line>\n"
        elif name in NUMBERS:
            filled.numbers[name] = NUMBERS[name](float(tags.text(name)))
        else:
            filled.xml += tags.copied(token) + "\n"
    filled.xml += (additional + "\n" if additional else "") + "</workunit>"
    if references != len(used):
        raise TemplateError("#file refs != #file infos")


def _file_ref(tags: Tags, one: InFile) -> str:
    text = f"<file_ref>\n    <file_name>{one.name}</file_name>\n"
    opened = copied = False
    for token in tags:
        name = token.strip("<>")
        if token == "</file_ref>":
            break
        if token == "<open_name>":
            opened, open_name = True, tags.text("open_name")
            _fits(open_name, "open_name")
            text += f"    <open_name>{open_name}</open_name>\n"
        elif token == "<copy_file/>":
            copied = True
            text += "    <copy_file/>\n"
        elif name in ("file_number", "file_name"):
            tags.text(name)
        else:
            text += tags.copied(token) + "\n"
    if not opened and not copied:
        raise TemplateError("No open name found and copy_file not specified")
    return text + (f"    <open_name>{one.name}</open_name>\n" if not opened else "") + "</file_ref>\n"
