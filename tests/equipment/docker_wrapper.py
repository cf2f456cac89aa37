"""A stand-in for BOINC's docker_wrapper that keeps to its contract, oddities included, and shares no code with ours.

Facts: BOINC, ``samples/docker_wrapper/docker_wrapper.cpp``, release 22. Run in a slot, under a client. What it does not
imitate: Windows' shell in WSL, graphics, waiting for a network.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

from tests.equipment.boinc_client import REQUEST, STATUS, Messages

COMMAND = 1023
POLL = 1.0
POLLS_TO_LOOK = 10


class Wrapper:
    """One run of the program."""

    def __init__(self) -> None:
        init = ET.parse("init_data.xml").getroot()
        self.program = {"1": "docker", "2": "podman"}[init.findtext("host_info/docker_type", "")]
        project = Path(init.findtext("project_dir", "")).name
        self.container = f"boinc__{project}__{init.findtext('result_name')}".lower()
        self.image = f"boinc__{project}__{init.findtext('wu_name')}".lower()
        self.cpus = int(init.findtext("ncpus", "1"))
        self.settings = tomllib.loads(Path("job.toml").read_text()) if Path("job.toml").exists() else {}
        self.messages = Messages(Path("boinc_mmap_file"))

    def call(self, words: str) -> str:
        """A command, cut without a word where it is too long, as a shell runs it."""
        command = f"{self.program} {words} 2>&1".encode()[:COMMAND].decode(errors="ignore")
        return subprocess.run(["/bin/sh", "-c", command], stdout=subprocess.PIPE, check=False).stdout.decode(
            errors="replace"
        )

    def must(self, words: str) -> None:
        """A failure is seen by one word of the output, whose text is lost."""
        if "Error" in self.call(words):
            say("command failed: Error -1")
            raise SystemExit(1)

    def exists(self) -> str:
        """The status of the job's container at the start; empty if there is none."""
        said = self.call(f'ps --all --filter "name=^{self.container}$" --format "{{{{.Names}}}}|{{{{.Status}}}}"')
        return next((line.split("|", 1)[1] for line in said.splitlines() if line.startswith("boinc__")), "")

    def look(self) -> str:
        """The first line about *a* container whose name has the job's in it."""
        said = self.call(f'ps --all -f "name={self.container}"')
        return next((line for line in said.splitlines() if self.container in line), "")

    def start(self) -> None:
        found = self.exists()
        if "paused" in found.lower():
            self.must(f"unpause {self.container}")
            return
        if found.startswith("Up"):
            return
        if not found:
            if f"{self.image} " not in self.call("images"):
                retry = " --retry 0" if self.program == "podman" else ""
                self.must(f'build "." -t {self.image} -f Dockerfile{retry}')
            words = [f'create --name {self.container} -v "./":"{self.settings.get("workdir", "/app")}"', '-e ARGS=""']
            words += [f"--cpus {self.cpus}"] if self.cpus > 1 else []
            words += [str(self.settings.get("create_args", ""))]
            words += ["--log-driver=k8s-file"] if self.program == "podman" else []
            self.must(" ".join([*words, self.image]))
        self.must(f"start {self.container}")

    def run(self) -> int:
        self.start()
        looks = POLLS_TO_LOOK - 2
        while True:
            looks += 1
            match self.messages.receive(REQUEST):
                case str(text) if "suspend" in text:
                    self.must(f"pause {self.container}")
                case str(text) if "resume" in text:
                    self.must(f"unpause {self.container}")
                case str(text) if "quit" in text:
                    self.must(f"pause {self.container}")
                    return 0
                case str(text) if "abort" in text:
                    self.call(f"kill {self.container}")
                    self.remove()
                    return 0
                case _:
                    pass
            if looks >= POLLS_TO_LOOK:
                looks = 0
                self.report()
                if ended := re.search(r"Exited \((\d+)\)", self.look()):
                    return self.end(int(ended[1]))
            time.sleep(POLL)

    def report(self) -> None:
        fraction = Path("fraction_done")
        text = fraction.read_text().strip() if fraction.exists() else ""
        used = "<current_cpu_time>1</current_cpu_time>\n"
        self.messages.send(STATUS, f"{used}<fraction_done>{text or 0}</fraction_done>\n")

    def end(self, code: int) -> int:
        say(self.call(f"logs {self.container}"))
        self.remove()
        return code

    def remove(self) -> None:
        self.call(f"container rm {self.container}")
        self.call(f"image rm {self.image}")


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    raise SystemExit(Wrapper().run())
