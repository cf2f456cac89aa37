from __future__ import annotations

import io

import pytest
from debian.deb822 import Deb822

from boinc2docker.base.debian import image_faults, maintainer
from boinc2docker.base.debian.tree import Spool, Tree, directory, file, link
from boinc2docker.errors import InputError


def tree(**files: bytes) -> Tree:
    made = Tree()
    for path, content in files.items():
        made.add(path, file(content))
    return made


def test_the_top_level_leads_into_usr() -> None:
    made = Tree()
    made.add("bin/sh", file(b""))
    made.add("lib64/ld-linux-x86-64.so.2", file(b""))
    maintainer.merge_usr(made)
    assert made.resolve("bin/sh") == "usr/bin/sh"
    assert made.resolve("lib64/ld-linux-x86-64.so.2") == "usr/lib64/ld-linux-x86-64.so.2"
    assert made.resolve("sbin") == "usr/sbin"


def test_certificates_become_one_bundle_with_an_end_of_line_each(spool: Spool) -> None:
    made = Tree()
    made.add("usr/share/ca-certificates/mozilla/B.crt", file(b"-----B-----"))
    made.add("usr/share/ca-certificates/mozilla/A.crt", file(b"-----A-----\n\n"))
    assert maintainer.bundle_certificates(made, spool) == 2
    assert spool.read(made["etc/ssl/certs/ca-certificates.crt"].content) == b"-----A-----\n-----B-----\n"
    assert "usr/share/ca-certificates" not in made


def test_an_image_without_certificates_is_refused(spool: Spool) -> None:
    with pytest.raises(InputError, match="no certificate authorities"):
        maintainer.bundle_certificates(Tree(), spool)


def test_real_programs_win_over_applets() -> None:
    made = Tree()
    for path in ("usr/bin/busybox", "usr/bin/tar", "usr/sbin/mke2fs"):
        made.add(path, file(b"", 0o755))
    applets = ["bin/tar", "bin/mke2fs", "bin/ls", "sbin/init", "usr/sbin/httpd", "usr/bin/awk"]
    assert maintainer.link_applets(made, applets, without=["httpd"]) == ["usr/bin/awk", "usr/bin/ls", "usr/sbin/init"]
    for path in ("usr/bin/ls", "usr/sbin/init", "usr/bin/awk"):
        assert made.resolve(path) == "usr/bin/busybox"
    assert made.resolve("usr/bin/tar") == "usr/bin/tar"


def test_links_have_to_lead_somewhere() -> None:
    made = tree(real=b"")
    maintainer.make_links(made, {"good": "real", "run-time": "/run/x", "mounts": "/proc/mounts"})
    with pytest.raises(InputError, match="/bad would point to nowhere"):
        maintainer.make_links(made, {"bad": "nowhere"})
    assert maintainer.unfinished(made) == ["bad"]


def test_modes_are_set_on_files_that_are_there() -> None:
    made = tree(secret=b"x")
    maintainer.set_modes(made, {"secret": 0o600})
    assert made["secret"].mode == 0o600
    assert made["secret"].content == b"x"
    with pytest.raises(InputError, match="gives a mode to /gone"):
        maintainer.set_modes(made, {"gone": 0o600})


def test_dpkgs_record_is_read_back_by_a_control_file_reader() -> None:
    first = Deb822({"Package": "zlib1g", "Version": "1:1.3", "Description": "compression\n long text\n ."})
    second = Deb822({"Package": "curl", "Source": "curl", "Version": "8.14"})
    made = Tree()
    maintainer.record_packages(made, [first, second])
    content = made["var/lib/dpkg/status"].content
    assert isinstance(content, bytes)
    found = list(Deb822.iter_paragraphs(io.BytesIO(content)))
    assert [paragraph["Package"] for paragraph in found] == ["curl", "zlib1g"]
    assert {paragraph["Status"] for paragraph in found} == {"install ok installed"}
    assert found[1]["Description"] == first["Description"]


def test_modes_that_let_others_in_are_found() -> None:
    made = Tree()
    made.add("tmp", directory(0o1777))
    made.add("srv", directory(0o777))
    made.add("su", file(b"", 0o4755))
    made.add("link", link("su"))
    assert list(image_faults.bad_modes(made)) == [
        "/srv may be written by everybody",
        "/su is set-user-id or set-group-id",
    ]
