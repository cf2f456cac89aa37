"""Completion scripts in the shells they are for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from boinc2docker.cli.completion import SHELLS, script
from tasks import ENTRIES


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("completion")
    found = {shell: place / f"completion.{shell}" for shell in SHELLS}
    for shell, path in found.items():
        path.write_text(script(shell, ENTRIES) + "\n")
    return found


def bash(scripts: dict[str, Path], cwd: Path, *words: str) -> list[str]:
    """What bash would offer for the last of the words, which the function sees as bash splits them."""
    text = (
        f'source "{scripts["bash"]}"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _boinc2docker; '
        "printf '%s\\n' \"${COMPREPLY[@]}\"; complete -p boinc2docker ci/invoke invoke >&2"
    )
    done = subprocess.run(
        ["bash", "--norc", "-u", "-c", text, "bash", *words], cwd=cwd, capture_output=True, text=True, check=True
    )
    assert done.stderr.count("-F _boinc2docker") == 3, done.stderr
    return [word for word in done.stdout.splitlines() if word]


@pytest.mark.parametrize("program", ["boinc2docker", "ci/invoke", "./ci/invoke", "/usr/bin/boinc2docker"])
def test_bash_completes_commands(scripts: dict[str, Path], tmp_path: Path, program: str) -> None:
    assert bash(scripts, tmp_path, program, "bu") == ["build-iso"]
    assert set(bash(scripts, tmp_path, program, "")) == {"help", *(entry.name for entry in ENTRIES)}
    assert bash(scripts, tmp_path, program, "help", "sub") == ["submit"]


def test_bash_leaves_other_peoples_invoke_alone(scripts: dict[str, Path], tmp_path: Path) -> None:
    assert bash(scripts, tmp_path, "invoke", "bu") == []
    (tmp_path / "builder" / "boinc2docker").mkdir(parents=True)
    assert bash(scripts, tmp_path, "invoke", "bu") == ["build-iso"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "--mem"], ["--memory"]),
        (["run", "-e", "A", "=", "1", "--mem"], ["--memory"]),
        (["run", "--env", "--via", "--mem"], ["--memory"]),
        (["run", "--via", "b"], ["boinc"]),
        (["run", "--via", "=", "b"], ["boinc"]),
        (["run", "--via", "="], ["registry", "boinc"]),
        (["run", "--memory", "--mem"], []),
        (["run", "hello.tar", "--mem"], []),
        (["run", "hello.tar", "ls", "--"], []),
        (["run", "--", "--mem"], []),
        (["run", "--interac"], []),
        (["results", ""], ["ls", "show", "export", "plot", "retry"]),
        (["results", "export", "--par"], ["--parquet"]),
        (["store", "g"], ["gc"]),
        (["completion", "f"], ["fish"]),
    ],
)
def test_bash_completes_options_and_choices(
    scripts: dict[str, Path], tmp_path: Path, words: list[str], expected: list[str]
) -> None:
    assert bash(scripts, tmp_path, "boinc2docker", *words) == expected


def test_every_shell_reads_its_script(scripts: dict[str, Path]) -> None:
    for shell, path in scripts.items():
        if shutil.which(shell):
            done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, ""), shell
        text = path.read_text()
        assert all(entry.name in text and entry.load().name for entry in ENTRIES)


def test_fish_completes(scripts: dict[str, Path], tmp_path: Path) -> None:
    if not shutil.which("fish"):
        pytest.skip("needs fish")
    for line, expected in (
        ("boinc2docker bu", ["build-iso"]),
        ("boinc2docker run --mem", ["--memory"]),
        ("boinc2docker run --via ", ["registry", "boinc"]),
        ("boinc2docker store g", ["gc"]),
    ):
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"source {scripts['fish']}; complete -C '{line}'"],
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        found = [row.partition("\t")[0] for row in done.stdout.splitlines()]
        assert set(expected) <= set(found), (line, done.stdout)


def test_zsh_completes(scripts: dict[str, Path], tmp_path: Path) -> None:
    """In a pseudo-terminal of zsh itself (zpty), as someone who presses Tab."""
    if not shutil.which("zsh"):
        pytest.skip("needs zsh")
    text = (
        "zmodload zsh/zpty; zpty z zsh -f -i; "
        f"zpty -w z 'PS1=; autoload -U compinit; compinit -u -d {tmp_path}/dump; source {scripts['zsh']}'; "
        "zpty -w z 'echo rea''dy'; "
        "zpty -r z out '*ready*'; "
        "zpty -w -n z $'boinc2docker run --via bo\\t'; "
        "zpty -r -t z more; for i in {1..50}; do sleep 0.1; zpty -r -t z part && more+=$part; "
        "[[ $more == *via\\ boinc* ]] && break; done; print -r -- $more"
    )
    done = subprocess.run(
        ["zsh", "-f", "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert "--via boinc" in done.stdout, done
