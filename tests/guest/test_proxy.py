"""The volunteer's proxy out of BOINC's init_data.xml: the right one, and nothing else of that file."""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.guest.machine import WORLDS, Machine, everyday
from tests.guest.store_job import SHELLS

PROPERTY = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PARTS = "proxy"
AUTHENTICATOR = "0123456789abcdef_authenticator"
PASSWORD = b"p:@/\\%\"'<&]]> $(touch x)`x`\t\r\n\xc3\xa9\xff"
# What xml_escape() lets through; it drops the other control characters.
SECRET = st.lists(st.sampled_from([9, 10, 13, *range(32, 256)]), max_size=60).map(bytes)


def escaped(value: bytes) -> bytes:
    """As BOINC's lib/parse.cpp, xml_escape() describes it."""
    value = value.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b"]]>", b"]]&gt;")
    return b"".join(bytes([b]) if 32 <= b <= 127 else b"&#%d;" % b for b in value)


@dataclass
class Settings:
    """A volunteer's proxy settings, as the client writes them."""

    http: str = ""
    http_port: int = 80
    user: bytes = b""
    password: bytes = b""
    socks: str = ""
    socks_port: int = 80
    socks_user: bytes = b""
    socks_password: bytes = b""
    no_proxy: str = ""
    flags: set[str] = field(default_factory=lambda: {"use_http_proxy", "use_http_auth"})

    def lines(self) -> list[bytes]:
        flags = [
            b"    <%s/>" % f.encode() for f in ("use_http_proxy", "use_socks_proxy", "use_http_auth") if f in self.flags
        ]
        elements = {
            "socks_server_name": self.socks.encode(),
            "socks_server_port": b"%d" % self.socks_port,
            "http_server_name": self.http.encode(),
            "http_server_port": b"%d" % self.http_port,
            "socks5_user_name": escaped(self.socks_user),
            "socks5_user_passwd": escaped(self.socks_password),
            "socks5_remote_dns": b"%d" % ("socks5_remote_dns" in self.flags),
            "http_user_name": escaped(self.user),
            "http_user_passwd": escaped(self.password),
            "no_proxy": self.no_proxy.encode(),
            "no_autodetect": b"0",
        }
        body = [b"    <%s>%s</%s>" % (name.encode(), value, name.encode()) for name, value in elements.items()]
        return [b"<proxy_info>", *flags, *body, b"</proxy_info>"]

    def file(self, end: bytes = b"\n") -> bytes:
        """init_data.xml, with a project that has a proxy_info of its own in its preferences."""
        foreign = Settings("evil.example").lines()
        head = [b"<app_init_data>", b"<project_preferences>", *foreign, b"</project_preferences>"]
        head += [b"<user_name>A &amp; B</user_name>", f"<authenticator>{AUTHENTICATOR}</authenticator>".encode()]
        return end.join(
            [*head, *self.lines(), b"<global_preferences>", b"</global_preferences>", b"</app_init_data>", b""]
        )


def read(machine: Machine, content: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """PROXY_HTTP, PROXY_NO, PROXY_SHOWN, PROXY_ERROR after proxy_read."""
    file = machine.share / "init_data.xml"
    file.write_bytes(content)
    script = 'proxy_read "$1"; got=$?\nprintf "%s\\n" "$PROXY_HTTP" "$PROXY_NO" "$PROXY_SHOWN" "$PROXY_ERROR" "$got"'
    url, no, shown, error, status = machine.sh(script, str(file), parts=PARTS).split(b"\n")[:5]
    assert (status == b"0") == bool(url)
    return url, no, shown, error


def test_no_proxy_is_the_ordinary_case(machine: Machine) -> None:
    plain = b"<app_init_data>\n<authenticator>x</authenticator>\n</app_init_data>\n"
    assert read(machine, plain) == (b"", b"", b"", b"")
    machine.sh('proxy_read "$1" && exit 9; proxy_apply', str(machine.share / "not there"), parts=PARTS)
    machine.sh('proxy_read "$1" && exit 9; proxy_apply', str(machine.share), parts=PARTS)
    assert machine.log() == ""


def test_a_link_is_not_followed(machine: Machine) -> None:
    target = machine.root / "elsewhere"
    target.write_bytes(Settings("p.example", 3128).file())
    (machine.share / "init_data.xml").symlink_to(target)
    machine.sh('proxy_read "$1" && exit 9; :', str(machine.share / "init_data.xml"), parts=PARTS)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_an_http_proxy(machine: Machine, end: bytes) -> None:
    settings = Settings("Proxy.example", 3128, b"user", PASSWORD, no_proxy="a.org,b.org")
    url, no, shown, error = read(machine, settings.file(end))
    parts = urlsplit(url)
    assert (parts.scheme, parts.hostname, parts.port, error) == (b"http", b"proxy.example", 3128, b"")
    assert unquote_to_bytes(parts.password or b"") == PASSWORD
    assert (no, shown) == (b"a.org,b.org", b"proxy.example:3128")


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        (Settings("p", 3128, b"u", b"p", flags={"use_http_proxy"}), "http://p:3128"),
        (Settings("p", 3128, flags=set()), ""),
        (Settings("p", 0), "http://p:80"),
        (Settings(socks="s", socks_port=1080, flags={"use_socks_proxy"}), "socks5://s:1080"),
        (Settings(socks="s", socks_port=0, flags={"use_socks_proxy", "socks5_remote_dns"}), "socks5h://s:1080"),
        (Settings(socks="s", socks_user=b"a b", flags={"use_socks_proxy"}), "socks5://a%20b:@s:80"),
        (Settings("p", 1, socks="s", flags={"use_http_proxy", "use_socks_proxy"}), "http://p:1"),
        (Settings("", 1, socks="s", flags={"use_http_proxy", "use_socks_proxy"}), "socks5://s:80"),
        # What people type into the field for the server's name.
        (Settings("http://p.example/", 8080), "http://p.example:8080"),
        (Settings("https://p.example", 443), "https://p.example:443"),
        (Settings(" p.example:8080 ", 80), "http://p.example:8080"),
        (Settings("2001:db8::1", 80), "http://[2001:db8::1]:80"),
        # The host's own loopback is the NAT's gateway here.
        (Settings("localhost", 3128), "http://10.0.2.2:3128"),
        (Settings("127.0.0.1", 9050), "http://10.0.2.2:9050"),
        (Settings(socks="::1", socks_port=9050, flags={"use_socks_proxy"}), "socks5://10.0.2.2:9050"),
    ],
)
def test_which_proxy(machine: Machine, settings: Settings, url: str) -> None:
    assert read(machine, settings.file())[0].decode() == url


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        (Settings("p x"), "name"),
        (Settings("$(id)"), "name"),
        (Settings("-x"), "name"),
        (Settings("é"), "name"),
        (Settings("a" * 300), "name"),
        (Settings("ftp://p"), "scheme"),
        (Settings("p", 65536), "port"),
        (Settings("p", -1), "port"),
        (Settings("p", 1, b"u" * 5000), "user"),
        (Settings("p", 1, b"u", b"p" * 5000), "password"),
    ],
)
def test_a_proxy_that_makes_no_sense_is_not_used_and_not_repeated(
    machine: Machine, settings: Settings, wrong: str
) -> None:
    assert read(machine, settings.file())[0] == b""
    machine.sh('proxy_read "$1"; proxy_apply', str(machine.share / "init_data.xml"), parts=PARTS)
    assert (
        machine.log().split(" ", 2)[2] == f"boot the volunteer's proxy is not used: its {wrong} cannot be understood\n"
    )


@pytest.mark.parametrize(
    ("given_hosts", "hosts"),
    [
        ("", ""),
        ("a.org", "a.org"),
        (" A.org ; http://b.org:80/x,,*.c.org .d.org", "a.org,b.org,.c.org,.d.org"),
        ("10.0.0.0/8,192.168.1.1:8080", "10.0.0.0/8,192.168.1.1"),
        ("*,$(id),`x`,a'b,\"", ""),
    ],
)
def test_hosts_that_need_no_proxy(machine: Machine, given_hosts: str, hosts: str) -> None:
    assert read(machine, Settings("p", no_proxy=given_hosts).file())[1].decode() == hosts


@pytest.mark.parametrize("world", everyday(WORLDS))
def test_every_user_and_password_arrives(make: Callable[[str], Machine], world: str) -> None:
    machine = make(world)

    @PROPERTY
    @given(SECRET, SECRET)
    def check(user: bytes, password: bytes) -> None:
        url = read(machine, Settings("p", 1, user, password).file())[0]
        login, _, server = url.removeprefix(b"http://").rpartition(b"@")
        assert server == b"p:1"
        assert [unquote_to_bytes(part) for part in (login or b":").split(b":")] == [user, password]

    check()


@pytest.mark.parametrize("world", everyday(WORLDS))
def test_any_bytes_are_survived(make: Callable[[str], Machine], world: str) -> None:
    machine = make(world)
    whole = Settings("p", 1, b"u", PASSWORD).file()

    @PROPERTY
    @given(st.binary(max_size=200), st.integers(0, len(whole)), st.integers(0, 200))
    def check(garbage: bytes, at: int, gone: int) -> None:
        read(machine, whole[:at] + garbage + whole[at + gone :])

    check()
    assert not (machine.root / "x").exists()


def test_huge_files_and_lines(machine: Machine) -> None:
    whole = Settings("p", 1).file()
    assert read(machine, b"\0" * 500_000 + whole)[0] == b"http://p:1"
    assert read(machine, b"<app_file>x</app_file>\n" * 20_000 + whole)[0] == b"http://p:1"
    assert read(machine, b"x" * 2_000_000 + b"\n" + whole)[0] == b"", "only the first megabyte is read"


APPLY = """
proxy_read "$1"
env >"$STUB/env-read"
proxy_apply
printf '%s\\n' "$SITE_HTTP_PROXY" "$SITE_HTTPS_PROXY" "$SITE_NO_PROXY"
"""


@pytest.mark.parametrize(
    ("site", "used"),
    [
        ({}, ["http://p:1", "http://p:1", "v"]),
        ({"HTTP": "http://s"}, ["http://s", "http://p:1", "v"]),
        ({"HTTPS": "http://s", "NO": "n"}, ["http://p:1", "http://s", "n"]),
        ({"HTTP": "http://s", "HTTPS": "http://t"}, ["http://s", "http://t", ""]),
    ],
)
def test_the_project_s_own_settings_win(machine: Machine, site: dict[str, str], used: list[str]) -> None:
    read(machine, Settings("p", 1, no_proxy="v").file())
    machine.environment |= {f"SITE_{name}_PROXY": site.get(name, "") for name in ("HTTP", "HTTPS", "NO")}
    shown = machine.sh(APPLY, str(machine.share / "init_data.xml"), parts=PARTS).decode().split("\n")
    assert shown[:3] == used
    assert machine.log().count("the volunteer's proxy p:1 is used\n") == (0 if len(site) == 2 and "HTTP" in site else 1)


def test_nothing_else_of_the_file_gets_anywhere(machine: Machine) -> None:
    file = machine.share / "init_data.xml"
    file.write_bytes(Settings("p.example", 3128, b"theuser", b"thepassword").file())
    shell = machine.sh(APPLY + "set", str(file), parts=PARTS)
    assert AUTHENTICATOR.encode() not in shell
    assert b"http://theuser:thepassword@p.example:3128" in shell, "the test looks in the right place"
    assert machine.log().split(" ", 2)[2] == "boot the volunteer's proxy p.example:3128 is used\n"
    for path in machine.root.rglob("*"):
        if path.is_file() and not path.is_symlink() and path != file:
            content = path.read_bytes()
            assert b"thepassword" not in content, path
            assert AUTHENTICATOR.encode() not in content, path


class _Proxy(http.server.BaseHTTPRequestHandler):
    """An HTTP proxy that wants user and password, in the way that the path names."""

    def do_GET(self) -> None:
        wanted = self.path.rpartition("/")[2]
        kind, _, token = self.headers.get("Proxy-Authorization", "").partition(" ")
        if kind != wanted:
            self.send_response(407)
            self.send_header("Proxy-Authenticate", f'{wanted} realm="home", nonce="1", qop="auth"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = self.path.encode() + b"\n" + (base64.b64decode(token) if kind == "Basic" else token.encode("latin-1"))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


@pytest.fixture
def proxy_port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Proxy) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("kind", ["Basic", "Digest"])
@pytest.mark.parametrize("shell", everyday(SHELLS))
def test_the_store_s_requests_go_through_it(
    make: Callable[[str], Machine], shell: str, kind: str, proxy_port: int
) -> None:
    machine = make(shell)
    file: Path = machine.share / "init_data.xml"
    # 127.0.0.1 would become the NAT's gateway, which is not here.
    file.write_bytes(Settings("p.example", proxy_port, b"us er", b"a:b@c/%\xc3\xa9").file())
    machine.environment |= {"SITE_HTTP_PROXY": "", "SITE_HTTPS_PROXY": "", "SITE_NO_PROXY": ""}
    out = machine.root / "out"
    script = (
        'proxy_read "$1"\nPROXY_HTTP=$(printf %s "$PROXY_HTTP" | sed s/p.example/127.0.0.1/)\nproxy_apply\n'
        ': >"$B2D_RUN/curl.config"\nregistry_program 1000 -f -o "$2" "http://registry.invalid/v2/$3"'
    )
    machine.sh(script, str(file), str(out), kind, parts=f"{PARTS} registry")
    url, _, account = out.read_bytes().partition(b"\n")
    assert url == f"http://registry.invalid/v2/{kind}".encode()
    assert account.startswith(b"us er:a:b@c/%\xc3\xa9" if kind == "Basic" else b'username="us er"')


def test_the_agent_reads_the_file_and_takes_it_away(machine: Machine) -> None:
    file = machine.share / "init_data.xml"
    file.write_bytes(Settings("p.example", 3128, b"theuser", b"thepassword").file())
    machine.job('#!/bin/sh\necho "$SITE_HTTPS_PROXY" >"$STUB/proxy"\n')
    (machine.run_dir / "dns-note").write_text("name servers: 127.0.0.53 cannot work from here, using 10.0.2.3\n")
    assert machine.run_job() == (0, "")
    assert not file.exists()
    assert (machine.stub / "proxy").read_text() == "http://theuser:thepassword@p.example:3128\n"
    assert "boot the volunteer's proxy p.example:3128 is used\n" in machine.log()
    assert machine.log().count("boot name servers: 127.0.0.53 cannot work from here, using 10.0.2.3\n") == 1
    for content in machine.archive("boinc_log.tgz").values():
        assert b"thepassword" not in content
        assert AUTHENTICATOR.encode() not in content
    for path in machine.root.rglob("*"):
        if path.is_file() and not path.is_symlink() and path != machine.stub / "proxy":
            assert b"thepassword" not in path.read_bytes(), path
            assert AUTHENTICATOR.encode() not in path.read_bytes(), path


def test_a_file_that_vboxwrapper_copies_again_goes_too(machine: Machine) -> None:
    """As it does when it restores a machine from its saved state, where no agent starts."""
    (machine.stub / "again").write_bytes(Settings("p", 1).file())
    machine.job(
        '#!/bin/sh\ncp "$STUB/again" "$B2D_SHARE/init_data.xml"\n'
        'while [ -e "$B2D_SHARE/init_data.xml" ]; do sleep 0.1; done\n'
    )
    assert machine.run_job() == (0, "")
