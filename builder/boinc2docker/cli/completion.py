"""Completion scripts of bash, zsh and fish, made from the table of commands. Pure.

A script completes ``boinc2docker``, and ``ci/invoke`` and ``invoke`` in a checkout of this project: elsewhere
``invoke`` belongs to other people's tasks. After IMAGE come the container's words: a shell completes files there.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence

from boinc2docker.cli.command import Command, Entry
from boinc2docker.cli.option import Option

PROGRAMS = ("boinc2docker", "ci/invoke", "invoke")


def script(shell: str, entries: Sequence[Entry]) -> str:
    """The script for a shell of ``SHELLS``."""
    return "\n".join(SHELLS[shell](entries))


def _options(command: Command) -> list[Option]:
    return [one for one in command.table if one.kind != "argument" and not one.hidden]


def _first_choices(command: Command) -> Sequence[str]:
    return list(command.arguments[0].choices) if command.arguments else []


def _bash(entries: Sequence[Entry]) -> Iterator[str]:
    yield "# Completion of boinc2docker for bash. Made by `boinc2docker completion bash`."
    yield from _BASH_HEAD.replace("@COMMANDS@", " ".join(["help", *(one.name for one in entries)])).splitlines()
    for entry in entries:
        command = entry.load()
        spelled = [word for one in _options(command) for word in one.spellings[:2] if word not in one.aliases]
        taking = [word for one in command.table if one.takes_value for word in one.spellings]
        yield f"    {entry.name})"
        yield f"        options={shlex.quote(' '.join(spelled))}"
        yield f"        taking={shlex.quote(' '.join(taking))}"
        if choices := _first_choices(command):
            yield f"        first={shlex.quote(' '.join(choices))}"
        if command.words == "container":
            yield "        container=yes"
        yield "        ;;"
    yield "    esac"
    yield from _BASH_WALK.splitlines()
    for entry in entries:
        for one in _options(entry.load()):
            if one.choices:
                pattern = "|".join(f"'{entry.name} {word}'" for word in one.spellings)
                yield f'    {pattern}) COMPREPLY=($(compgen -W {shlex.quote(" ".join(one.choices))} -- "$cur")) ;;'
    yield from _BASH_TAIL.splitlines()
    yield f"complete -o default -F _boinc2docker {' '.join(PROGRAMS)}"


_BASH_HEAD = """\
_boinc2docker() {
    local cur=${COMP_WORDS[COMP_CWORD]} options='' taking='' first='' container='' expecting='' seen=0 i
    local command=${COMP_WORDS[1]} commands='@COMMANDS@'
    COMPREPLY=()
    case ${COMP_WORDS[0]} in
    boinc2docker | */boinc2docker | */ci/invoke | ci/invoke) ;;
    *) [ -d builder/boinc2docker ] || return ;;
    esac
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "$commands" -- "$cur"))
        return
    fi
    case $command in
    help)
        first=$commands
        ;;"""
_BASH_WALK = """\
    for ((i = 2; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        = | :) [ -n "$expecting" ] || i=$((i + 1)) ;; # bash splits words there
        --) [ -n "$expecting" ] || return ;;
        -*)
            if [ -n "$expecting" ]; then
                expecting=''
            elif [[ " $taking " == *" ${COMP_WORDS[i]} "* ]]; then
                expecting=${COMP_WORDS[i]}
            fi
            ;;
        *)
            [ -n "$expecting" ] || seen=$((seen + 1))
            expecting=''
            ;;
        esac
    done
    [ "$cur" != = ] || cur=''
    [ -z "$container" ] || [ "$seen" -eq 0 ] || return
    case "$command $expecting" in"""
_BASH_TAIL = """\
    "$command ")
        case $cur in
        -*) COMPREPLY=($(compgen -W "$options" -- "$cur")) ;;
        *) [ "$seen" -gt 0 ] || COMPREPLY=($(compgen -W "$first" -- "$cur")) ;;
        esac
        ;;
    esac
}"""


def _zsh(entries: Sequence[Entry]) -> Iterator[str]:
    yield f"#compdef {' '.join(PROGRAMS)}"
    yield "# Completion of boinc2docker for zsh. Made by `boinc2docker completion zsh`."
    yield "_boinc2docker() {"
    yield "    case $words[1] in"
    yield "    boinc2docker | */boinc2docker | */ci/invoke | ci/invoke) ;;"
    yield "    *) [[ -d builder/boinc2docker ]] || { _default; return; } ;;"
    yield "    esac"
    yield "    local -a commands=("
    for entry in entries:
        yield f"        {shlex.quote(f'{entry.name}:{entry.summary}')}"
    yield "        'help:Explain a command.'"
    yield "    )"
    yield "    if ((CURRENT == 2)); then"
    yield "        _describe command commands"
    yield "        return"
    yield "    fi"
    yield "    local command=$words[2]"
    yield "    shift words"
    yield "    ((CURRENT--))"
    yield "    case $command in"
    yield "    help) _describe command commands ;;"
    for entry in entries:
        command = entry.load()
        yield f"    {entry.name})"
        lines = [*map(_zsh_option, _options(command)), *_zsh_arguments(command)]
        yield " \\\n            ".join(["        _arguments -S", *lines])
        yield "        ;;"
    yield "    esac"
    yield "}"
    yield 'if [ "$funcstack[1]" = _boinc2docker ]; then'
    yield '    _boinc2docker "$@"'
    yield "else"
    yield f"    compdef _boinc2docker {' '.join(PROGRAMS)}"
    yield "fi"


def _zsh_option(option: Option) -> str:
    text = option.help.translate({ord(sign): f"\\{sign}" for sign in "[]:\\"})
    value = ""
    if option.takes_value:
        noun = (option.noun or option.name).replace(":", " ").replace("[", "").replace("]", "")
        value = f":{noun}:({' '.join(option.choices)})" if option.choices else f":{noun}:_files"
    names = [word for word in option.spellings if word not in option.aliases]
    many = "*" if option.kind == "list" else f"({' '.join(names)})" if len(names) > 1 else ""
    return " ".join(shlex.quote(f"{many}{name}[{text}]{value}") for name in names)


def _zsh_arguments(command: Command) -> Iterator[str]:
    if command.words == "container":
        yield "'1:IMAGE:_files'"
        yield "'*:::word:_default'"
    elif command.arguments:
        choices = _first_choices(command)
        first = f"({' '.join(choices)})" if choices else "_files"
        yield shlex.quote(f"1:{command.arguments[0].shown_value}:{first}")
        yield "'*:word:_files'"


def _fish(entries: Sequence[Entry]) -> Iterator[str]:
    yield "# Completion of boinc2docker for fish. Made by `boinc2docker completion fish`."
    yield "function __boinc2docker_ours"
    yield "    set -l words (commandline -opc)"
    yield "    string match -qr '(^|/)boinc2docker$|(^|/)ci/invoke$' -- $words[1]; or test -d builder/boinc2docker"
    yield "end"
    yield "function __boinc2docker_at -a command"
    yield "    __boinc2docker_ours; or return 1"
    yield "    set -l words (commandline -opc)"
    yield "    if test -z $command"
    yield "        test (count $words) -eq 1"
    yield "    else"
    yield "        test (count $words) -gt 1; and test $words[2] = $command; and not contains -- -- $words"
    yield "    end"
    yield "end"
    for program in ("boinc2docker", "invoke"):  # fish looks at the last part of a path
        start = f"complete -c {program}"
        for entry in entries:
            yield f"{start} -n '__boinc2docker_at \"\"' -f -a {entry.name} -d {_fish_text(entry.summary)}"
        for entry in entries:
            command = entry.load()
            at = f"{start} -n '__boinc2docker_at {entry.name}'"
            for one in _options(command):
                yield f"{at} {_fish_option(one)}"
            if choices := _first_choices(command):
                yield f"{at} -a {_fish_text(' '.join(choices))}"


def _fish_option(option: Option) -> str:
    names = [word for word in option.spellings if word not in option.aliases]
    words = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in names]
    if option.takes_value:
        words.append(f"-x -a {_fish_text(' '.join(option.choices))}" if option.choices else "-r")
    return " ".join([*words, "-d", _fish_text(option.help)])


def _fish_text(text: str) -> str:
    """In fish only the backslash and the quote itself are special between single quotes."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


SHELLS: Mapping[str, Callable[[Sequence[Entry]], Iterator[str]]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
