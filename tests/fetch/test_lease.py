"""The Debian base's answer to its DHCP client, with a stand-in for ``ip``."""

from __future__ import annotations

import ipaddress
import json
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.equipment.checkout import PROJECT_ROOT

ROOTFS = PROJECT_ROOT / "guest/debian/rootfs"
LEASE = ROOTFS / "usr/lib/boinc2docker/lease"
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
ROUTE = "route replace default via 10.0.2.2 dev eth0"
VIRTUALBOX = {"ip": "10.0.2.15", "router": "10.0.2.2"}


@dataclass
class Client:
    """udhcpc in a directory of its own."""

    root: Path
    shell: list[str]

    def __post_init__(self) -> None:
        (self.root / "boot.sh").write_text(STUB.format(self.root))
        for name in ("marks", "addresses"):
            (self.root / name).touch()
        script = LEASE.read_text().replace("/usr/lib/boinc2docker/", f"{self.root}/")
        self.script = script.replace("/run/", f"{self.root}/")

    def call(self, event: str, **lease: str) -> list[str]:
        """Runs the script with this lease; returns what it asked of ``ip``."""
        (self.root / "calls").write_text("")
        environment = {"PATH": "/usr/bin:/bin", "interface": "eth0", "mask": "24", **lease}
        argv = [*self.shell, "-c", self.script, "lease", event]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return (self.root / "calls").read_text().splitlines()

    def servers(self, **lease: str) -> list[str]:
        """The name servers in resolv.conf with this lease."""
        self.call("bound", **lease)
        lines = (self.root / "resolv.conf").read_text().splitlines()
        return [line.removeprefix("nameserver ") for line in lines if not line.startswith("search ")]

    def take_note(self) -> str | None:
        """What the agent would log now; it takes the note away."""
        note = self.root / "dns-note"
        if not note.exists():
            return None
        text = note.read_text()
        note.unlink()
        return text


@pytest.fixture(params=["busybox sh", "dash"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Client:
    shell = str(request.param).split()
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed")
    return Client(tmp_path, shell)


def test_a_renewal_of_the_same_address_leaves_it_alone(client: Client) -> None:
    def new(address: str) -> list[str]:
        return ["address flush dev eth0", f"address add {address}/24 dev eth0", ROUTE]

    def lease(event: str, address: str, server: str = "10.0.2.3") -> list[str]:
        return client.call(event, ip=address, router="10.0.2.2", dns=server)

    assert lease("bound", "10.0.2.15") == new("10.0.2.15")
    assert lease("renew", "10.0.2.15", "10.0.2.4") == [ROUTE]
    assert (client.root / "resolv.conf").read_text().startswith("nameserver 10.0.2.4\n")
    assert lease("renew", "10.0.2.1") == new("10.0.2.1")
    assert lease("deconfig", "") == ["address flush dev eth0", "link set eth0 up"]
    assert (client.root / "marks").read_text() == "network 1\n"


@pytest.mark.parametrize(
    ("lease", "servers"),
    [
        # VirtualBox 7.2 on a host with systemd-resolved (its issue 205), and one with an IPv6 name server (660).
        ({**VIRTUALBOX, "dns": "127.0.0.53"}, ["10.0.2.3", "10.0.2.2"]),
        ({**VIRTUALBOX, "dns": "2.127.0.0 192.168.11.254"}, ["192.168.11.254", "10.0.2.3", "10.0.2.2"]),
        ({**VIRTUALBOX, "dns": "10.0.2.3"}, ["10.0.2.3", "10.0.2.2"]),
        (VIRTUALBOX, ["10.0.2.3", "10.0.2.2"]),
        # The lease's own come first, each once, and there is room for three.
        ({**VIRTUALBOX, "dns": "9.9.9.9 127.0.0.1 9.9.9.9 1.1.1.1"}, ["9.9.9.9", "1.1.1.1", "10.0.2.3"]),
        ({**VIRTUALBOX, "dns": "1.0.0.1 1.0.0.2 1.0.0.3 1.0.0.4"}, ["1.0.0.1", "1.0.0.2", "1.0.0.3"]),
        # VirtualBox' second card. A home network has no resolver on .3, and this machine none at all.
        ({"ip": "10.0.3.15", "router": "10.0.3.2", "dns": "::1"}, ["10.0.3.3", "10.0.3.2"]),
        ({"ip": "192.168.1.9", "router": "192.168.1.2", "dns": "::"}, ["192.168.1.2"]),
        ({"ip": "10.0.2.3", "router": "10.0.2.2", "dns": "10.0.2.3"}, ["10.0.2.2"]),
        ({"ip": "10.0.2.15", "router": "10.0.2.2", "mask": "16", "dns": "0.0.0.0"}, ["10.0.2.2"]),
        # A link-local name server is right where the machine itself has a link-local address.
        ({"ip": "169.254.7.7", "dns": "169.254.7.1"}, ["169.254.7.1"]),
        ({"ip": "192.168.1.9", "dns": "169.254.7.1"}, []),
        ({"ip": "192.168.1.9", "router": "192.168.1.1 192.168.1.254", "dns": "224.0.0.1"}, ["192.168.1.1"]),
    ],
)
def test_the_name_servers(client: Client, lease: dict[str, str], servers: list[str]) -> None:
    assert client.servers(**lease) == servers


@pytest.mark.parametrize(
    "word",
    ["1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.", ".1.2.3.4", "1..3.4", "01.2.3.4", "1.2.3.4x", "*", "-n", "fe80::1"],
)
def test_malformed_addresses_are_passed_over(client: Client, word: str) -> None:
    assert client.servers(ip="192.168.1.9", dns=f"{word} 9.9.9.9") == ["9.9.9.9"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    leased=st.lists(st.ip_addresses(v=4) | st.sampled_from([ipaddress.ip_address(f"127.0.0.{n}") for n in (1, 53)])),
    router=st.sampled_from(["", "10.0.2.2", "192.168.1.1"]),
)
def test_docker_hands_exactly_these_servers_to_containers(
    client: Client, leased: list[ipaddress.IPv4Address], router: str
) -> None:
    """dockerd leaves out loopback servers, and takes 8.8.8.8 if none is left: nothing is left out, and one is there."""
    servers = client.servers(ip="10.0.2.15", router=router, dns=" ".join(map(str, leased)))
    assert len(servers) == len(set(servers)) <= 3
    addresses = [ipaddress.ip_address(server) for server in servers]
    assert not [one for one in addresses if one.is_loopback or one.is_unspecified or one.is_multicast]
    assert addresses or not router


def test_docker_reads_the_file_that_is_written() -> None:
    """dockerd copies /etc/resolv.conf, unless configured otherwise or 127.0.0.53 (systemd-resolved) is alone in it."""
    with (PROJECT_ROOT / "guest/debian/image.toml").open("rb") as file:
        links = tomllib.load(file)["links"]
    assert links["etc/resolv.conf"] == "/run/resolv.conf"
    assert "mv /run/resolv.conf.new /run/resolv.conf\n" in LEASE.read_text()
    daemon = json.loads((ROOTFS / "etc/docker/daemon.json").read_text())
    assert not [key for key in daemon if "dns" in key or "resolv" in key]
    assert "--dns" not in (ROOTFS / "etc/init.d/engine").read_text()


def test_what_was_passed_over_is_said_once(client: Client) -> None:
    lease = {**VIRTUALBOX, "dns": "127.0.0.53 127.0.0.53 ::1"}
    client.servers(**lease)
    said = "name servers: 127.0.0.53 ::1 cannot work from here, using 10.0.2.3 10.0.2.2\n"
    assert client.take_note() == said
    client.call("renew", **lease)
    assert client.take_note() is None
    client.call("renew", ip="192.168.1.9")
    assert client.take_note() == "name servers: the lease names none, using none\n"
    client.call("renew", **VIRTUALBOX, dns="10.0.2.3")
    assert client.take_note() is None
    client.call("renew", **lease)
    client.call("renew", **VIRTUALBOX, dns="10.0.2.3")
    assert client.take_note() is None, "what no longer holds is not said"
