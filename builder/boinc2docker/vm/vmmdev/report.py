"""What one machine asked of its device, for tests: a JSON file, written anew whole each time."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boinc2docker.vm.vmmdev.device import VmmDev
from boinc2docker.vm.vmmdev.folder_format import Function
from boinc2docker.vm.vmmdev.shared_folders import Host
from boinc2docker.vm.vmmdev.windows_folders import WindowsRules

_NAMES = {f"function {one.value}": one.name.lower() for one in Function}


@dataclass(frozen=True)
class Report:
    """``path`` None: nobody wants one."""

    path: Path | None

    def write(self, device: VmmDev, host: Host, *, messages: int, restores: int) -> None:
        """Puts the figures so far into the file."""
        if self.path is None:
            return
        text = json.dumps(figures(device, host, messages=messages, restores=restores), indent=2) + "\n"
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        draft.write_text(text)
        draft.replace(self.path)


def figures(device: VmmDev, host: Host, *, messages: int, restores: int) -> dict[str, Any]:
    """Counts and seconds by function; ``host``: which faults were asked for, so that a test can tell they were there;
    ``stale``: calls on numbers from before a restore (see ``handles``)."""
    stale = host.stale
    return {
        "messages": messages,
        "interrupts": device.counts["interrupts"],
        "restores": restores,
        "host": {"windows": isinstance(host.rules, WindowsRules), "scanner": host.rules.scanner, "delay": host.delay},
        "calls": {
            _NAMES.get(name, name): {"count": count, "seconds": round(device.seconds[name], 3)}
            for name, count in sorted(device.counts.items())
            if name.startswith("function")
        },
        "requests": {
            name.removeprefix("request "): count
            for name, count in sorted(device.counts.items())
            if name.startswith("request")
        },
        "stale": {
            "writes": stale.writes,
            "closes": stale.closes,
            "others": stale.others,
            "refused": stale.refused,
            "hits": [list(hit) for hit in stale.hits],
        },
        "disk": {"full": host.disk.room() == 0, "grown": host.disk.grown, "refused": host.disk.refused},
    }
