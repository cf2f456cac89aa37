"""The Debian base's answer to its DHCP client, with a stand-in for ``ip``."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from builder import PROJECT_ROOT

LEASE = PROJECT_ROOT / "guest/debian/rootfs/usr/lib/boinc2docker/lease"
STUB = """
B2D={0}
mark() {{ echo "$1 1" >>{0}/marks; }}
ip() {{
	case "$*" in
	"-4 address show dev eth0") cat {0}/addresses; return ;;
	"address flush dev eth0") : >{0}/addresses ;;
	"address add "*) echo "    inet $3 scope global eth0" >>{0}/addresses ;;
	esac
	echo "$*" >>{0}/calls
}}
"""


@pytest.mark.parametrize("shell", ["busybox sh", "dash"])
def test_a_renewal_of_the_same_address_leaves_it_alone(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "boot.sh").write_text(STUB.format(tmp_path))
    for name in ("marks", "addresses"):
        (tmp_path / name).touch()
    script = LEASE.read_text().replace("/usr/lib/boinc2docker/", f"{tmp_path}/").replace("/run/", f"{tmp_path}/")

    def lease(event: str, address: str, server: str = "10.0.2.3") -> list[str]:
        (tmp_path / "calls").write_text("")
        given = {"interface": "eth0", "ip": address, "mask": "24", "router": "10.0.2.2", "dns": server}
        subprocess.run(
            [*shell.split(), "-c", script, "lease", event], env={"PATH": "/usr/bin:/bin", **given}, check=True
        )
        return (tmp_path / "calls").read_text().splitlines()

    route = "route replace default via 10.0.2.2 dev eth0"

    def new(address: str) -> list[str]:
        return ["address flush dev eth0", f"address add {address}/24 dev eth0", route]

    assert lease("bound", "10.0.2.15") == new("10.0.2.15")
    assert lease("renew", "10.0.2.15", "10.0.2.4") == [route]
    assert (tmp_path / "resolv.conf").read_text() == "nameserver 10.0.2.4\n"
    assert lease("renew", "10.0.2.1") == new("10.0.2.1")
    assert lease("deconfig", "") == ["address flush dev eth0", "link set eth0 up"]
    assert (tmp_path / "marks").read_text() == "network 1\n"
