"""``completion`` and ``man``: documents that are made from the table of commands."""

from __future__ import annotations

from boinc2docker import console
from boinc2docker.cli import completion, man
from boinc2docker.cli.command import Command, Example, Given
from boinc2docker.cli.option import Option, values

_SHELL = (
    Option(
        "shell",
        "The shell.",
        "argument",
        noun="SHELL",
        choices=tuple(completion.SHELLS),
        required=True,
        group="Arguments",
    ),
)


def print_completion(given: Given) -> None:
    """The script of one shell, on stdout."""
    from boinc2docker.cli.program import entries  # it imports this module's list

    shell = values(_SHELL, given)["shell"]
    console.result(completion.script(shell, entries()))


def print_manual(_: Given) -> None:
    """The manual page as roff, on stdout."""
    from boinc2docker.cli.program import entries

    console.result(man.page(entries()))


COMMAND_COMPLETION = Command(
    "completion",
    print_completion,
    _SHELL,
    (
        Example("completion bash > ~/.local/share/bash-completion/completions/boinc2docker", "For bash."),
        Example("completion zsh > ~/.zfunc/_boinc2docker", "For zsh, with ~/.zfunc in fpath."),
        Example("completion fish > ~/.config/fish/completions/boinc2docker.fish", "For fish."),
    ),
    "Completes boinc2docker, and ci/invoke and invoke in a checkout.",
)
COMMAND_MAN = Command(
    "man",
    print_manual,
    (),
    (Example("man > ~/.local/share/man/man1/boinc2docker.1", "Install it for yourself; then: man boinc2docker."),),
)
